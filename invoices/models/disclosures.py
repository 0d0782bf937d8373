"""The journal of disclosures: who looked at all that is stored about a customer, or downloaded it, and why."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules


class Disclosure(ImmutableModel):
    """One look at the page of what is stored about a customer, or one download of it. Written before the answer."""

    class What(models.TextChoices):
        VIEWED = "viewed", gettext_lazy("Viewed")
        DOWNLOADED = "downloaded", gettext_lazy("Downloaded")

    customer = models.CharField(max_length=255, help_text="The customer's id")
    what = models.CharField(max_length=16, choices=What.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    reason = models.TextField(blank=True, help_text="Of a download: why, such as the ticket of the customer's request")

    class Meta:
        indexes = [models.Index("customer", "at", name="disclosure_customer")]
        permissions = [("disclose_customer", "Can see and download all that is stored about a customer")]

    def __str__(self) -> str:
        return f"{self.customer} {self.what} by {self.by}"

    rules = Rules(texts=frozenset({"reason"}))
