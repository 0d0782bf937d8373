"""What people wrote about differences between Stripe and the mirror that no run healed."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules


class DriftExplanation(ImmutableModel):
    """Why a difference is as it is, in a person's words; or that an explanation holds no longer."""

    class What(models.TextChoices):
        EXPLAINED = "explained", gettext_lazy("Explained")
        TAKEN_BACK = "taken_back", gettext_lazy("Explanation taken back")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    drift = models.ForeignKey("Drift", db_index=False, on_delete=models.PROTECT, related_name="explanations")
    what = models.CharField(max_length=16, choices=What.choices)
    text = models.TextField()
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, db_index=False, on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField(default=clock.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = gettext_lazy("explanation of drift")
        verbose_name_plural = gettext_lazy("explanations of drift")
        indexes = [models.Index("drift", "written_at", name="driftexplanation_drift")]

    def __str__(self) -> str:
        return f"{self.what}: drift {self.drift_id}"

    rules = Rules(texts=frozenset({"text"}))
