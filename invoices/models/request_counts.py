"""How many requests a caller sent in a minute, where no Redis counts them: invoices/request_limits.py."""

from __future__ import annotations

from django.db import models


class RequestCount(models.Model):
    """`key` is a hash of who is counted and why, so the row names nobody. Rows of earlier minutes are deleted."""

    key = models.BigIntegerField()
    minute = models.BigIntegerField(help_text="Minutes since 1970")
    number = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "key"], name="one_count_per_key_and_minute")]

    def __str__(self) -> str:
        return f"{self.number} in minute {self.minute}"
