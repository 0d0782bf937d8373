"""Of which Stripe account the mirror is, and to which account each API key belongs."""

from __future__ import annotations

from django.db import models

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules


class AccountRecord(ImmutableModel):
    """From then on the mirror is of this account and mode. The newest record counts; the first import makes one."""

    number = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 and so on")
    account = models.CharField(max_length=255, help_text="Stripe's id: acct_…")
    livemode = models.BooleanField(help_text="Live mode or test mode: an account has different objects in each")
    recorded_at = models.DateTimeField(default=clock.now)
    recorded_by = models.CharField(
        max_length=255, blank=True, help_text="Who ran the command: user@host; empty: the first import"
    )
    reason = models.TextField()

    def __str__(self) -> str:
        return f"{self.account}, {'live' if self.livemode else 'test'} mode"

    rules = Rules()


class CheckedKey(models.Model):
    """Stripe's answer to the question whose key this is: it is asked once a day, and not once in every process."""

    fingerprint = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of Stripe's address and the key")
    account = models.CharField(max_length=255)
    checked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"a key of {self.account}"
