"""Attempts to charge: how many succeeded in these days, and why the others were declined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import tallies
from invoices.models import Charge
from invoices.models.reading import text
from invoices.record_tables import SHAPES
from invoices.reports.asked import Asked
from invoices.reports.report import Entry, Report, of_records
from invoices.reports.walking import walk

SUCCEEDED, DECLINED = "succeeded", "declined"


class Attempts(Report):
    """Its groups are `succeeded` and `declined.REASON`."""

    name = "attempts"
    title = gettext_noop("Charges by decline reason")
    answers = gettext_noop("How many attempts to charge succeeded in these days, and why were the others declined?")
    counts = gettext_noop("Attempts")
    sums = gettext_noop("Amount")
    groups_are = gettext_noop("Result")
    adds_up = False  # an amount that was declined is tried again
    permissions = ("invoices.view_charge", "invoices.view_invoice", "invoices.view_customer")
    limits = (gettext_noop("Each attempt counts, also where the same payment was tried again."),)
    shape = of_records(SHAPES[Charge], Charge.objects.all)
    shown = ("Customer", "Amount", "Failure code", "Paid with", "Card or bank", "Last four digits")

    def label(self, group: str) -> str:
        result, _dot, reason = group.partition(".")
        if result == DECLINED and reason:
            return _("Declined: {reason}").format(reason=_(reason.replace("_", " ")))
        return _("Succeeded") if result == SUCCEEDED else super().label(group)

    def place(self, group: str) -> tuple[int, str]:
        return (0 if group == SUCCEEDED else 1), group

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        tried = Charge.objects.filter(
            created__gte=asked.begin, created__lt=asked.end, status__in=("succeeded", "failed"), deleted_at=None
        )
        for page in walk(tried, "created", "status", "currency", "amount", "customer", "failure_code"):
            reasons = _reasons([row.pk for row in page if row.status == "failed"])
            yield [_entry(row, reasons) for row in page]


def _entry(row: Any, reasons: dict[str, str]) -> Entry:
    group = SUCCEEDED
    if row.status == "failed":
        group = f"{DECLINED}.{reasons.get(row.pk) or row.failure_code or tallies.UNKNOWN_REASON}"
    return Entry(row.pk, row.created, row.currency or "", row.amount, group, "", row.customer or "")


def _reasons(ids: Sequence[str]) -> dict[str, str]:
    """Why these charges failed, as Stripe's `outcome` says it."""
    failed = Charge.objects.filter(pk__among=ids).order_by().values_list("pk", "data")
    return {pk: text(data, "outcome", "reason") or "" for pk, data in failed} if ids else {}
