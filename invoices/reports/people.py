"""Operations by person: what each asked for in these days, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Operation
from invoices.operations import label_of
from invoices.record_tables import SHAPES, at_stake
from invoices.reports.asked import Asked
from invoices.reports.report import Entry, Report, of_records
from invoices.reports.walking import walk

_AT_STAKE = ("approval_amount", "expected", "params")  # what `at_stake` reads
_COLUMNS = ("action", "state", "currency", "invoice", "customer", "actor__username", *_AT_STAKE)


class Operations(Report):
    """Its groups are `user/action/state`."""

    name = "operations"
    title = gettext_noop("Operations by person")
    answers = gettext_noop("Who asked for what in these days, and what came of it?")
    counts = gettext_noop("Operations")
    sums = gettext_noop("Amount")
    groups_are = gettext_noop("Person, action and state")
    adds_up = False  # what failed is not added to what was done
    permissions = ("invoices.view_operation", "invoices.view_invoice", "invoices.view_customer")
    limits = (
        gettext_noop(
            "The day is that of the request. The amount is what a second person would agree to, otherwise what was "
            "left to pay when it was asked for."
        ),
    )
    shape = of_records(SHAPES[Operation], Operation.objects.all)
    shown = ("Action", "Invoice", "Customer", "Amount", "State", "Decided by", "Reason")

    def label(self, group: str) -> str:
        person, action, state = (*group.rsplit("/", 2), "", "")[:3]
        if state not in Operation.State.values:
            return super().label(group)
        return f"{person or '–'} · {_(label_of(action))} · {Operation.State(state).label}"

    def place(self, group: str) -> tuple[int, str]:
        return 0, group

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        asked_for = Operation.objects.filter(created_at__gte=asked.begin, created_at__lt=asked.end)
        for page in walk(asked_for, "created_at", *_COLUMNS):
            yield [
                Entry(
                    str(row.pk),
                    row.created_at,
                    row.currency or "",
                    at_stake(row) if row.currency else None,
                    f"{row.actor__username or ''}/{row.action}/{row.state}",
                    row.invoice,
                    row.customer,
                )
                for row in page
            ]
