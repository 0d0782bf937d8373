"""The months that finance has closed: who, when, what the list of checks said then, and the journal's head."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.fields import ObjectField
from invoices.models.immutable import ImmutableModel, Rules


class MonthClose(ImmutableModel):
    """One closing of a month. A month that is closed again gets another row, with a higher number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    month = models.DateField(help_text="Its first day")
    time_zone = models.CharField(max_length=64, help_text="In which its days begin and end")
    number = models.PositiveIntegerField(help_text="1; one more each time that the month is closed again")
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, db_index=False, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, help_text="Needed where a check was not met, or the month was closed before")
    checks = ObjectField(default=list, help_text="month_end.Check as JSON: what each said at that moment")
    totals = ObjectField(default=dict, help_text="What → currency → minor units, of the month")
    head_position = models.BigIntegerField(null=True, blank=True, help_text="The journal's last link at that moment")
    head_hash = models.CharField(max_length=64, blank=True)
    figures = ObjectField(null=True, help_text="What of the month was known then: kind → id → what counts of it")
    change_sequence = models.BigIntegerField(default=0, help_text="The last change of the mirror that it has seen")
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    shell_user = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = gettext_lazy("closed month")
        verbose_name_plural = gettext_lazy("closed months")
        constraints = [models.UniqueConstraint(fields=["month", "number"], name="monthclose_once")]
        indexes = [models.Index(models.F("month").desc(), models.F("number").desc(), name="monthclose_newest")]
        permissions = [("close_month", "Can close a month")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"

    rules = Rules(texts=frozenset({"reason"}))
