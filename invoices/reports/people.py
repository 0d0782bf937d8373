"""Operations by person: what each asked for in these days and what came of it, and what each decided for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Code, Operation
from invoices.operations import label_of
from invoices.record_tables import SHAPES, at_stake
from invoices.reports.asked import Asked
from invoices.reports.report import Entry, Report, of_records
from invoices.reports.walking import walk
from invoices.thresholds import REQUEST_EXPIRES

_AT_STAKE = ("approval_amount", "expected", "params")  # what `at_stake` reads
_COLUMNS = ("action", "state", "currency", "invoice", "customer", "actor__username", *_AT_STAKE)
_OF_DECISION = ("action", "code", "currency", "invoice", "customer", "decided_at", "approver__username", *_AT_STAKE)
# Between the request and the decision on it; a day more than either may lie apart.
_DECIDED_WITHIN = REQUEST_EXPIRES + timedelta(days=1)
APPROVED, REJECTED = "approved", "rejected"
_DECISIONS = {APPROVED: gettext_noop("approved"), REJECTED: gettext_noop("rejected")}


class Operations(Report):
    """Its groups are `user/action/state` of what somebody asked for, and `user/action/approved` or `rejected` of what
    somebody decided."""

    name = "operations"
    title = gettext_noop("Operations by person")
    answers = gettext_noop("Who asked for what in these days, who decided on it, and what came of it?")
    counts = gettext_noop("Operations")
    sums = gettext_noop("Amount")
    groups_are = gettext_noop("Person, action and state")
    adds_up = False  # what failed is not added to what was done
    permissions = ("invoices.view_operation", "invoices.view_invoice", "invoices.view_customer")
    limits = (
        gettext_noop(
            "A decision of a second person counts for that person, on the day of the decision; so a request on which "
            "somebody decided stands in two groups. A batch that was rejected before it began has no operations."
        ),
        gettext_noop(
            "The day is that of the request. The amount is what a second person would agree to, otherwise what was "
            "left to pay when it was asked for."
        ),
    )
    shape = of_records(SHAPES[Operation], Operation.objects.all)
    shown = ("Action", "Invoice", "Customer", "Amount", "State", "Decided by", "Reason")

    def label(self, group: str) -> str:
        person, action, state = (*group.rsplit("/", 2), "", "")[:3]
        if state in _DECISIONS:
            return f"{person} · {_(label_of(action))} · {_(_DECISIONS[state])}"
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
        yield from self._decisions(asked)

    def _decisions(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        """What second persons decided in these days. Found by when it was asked for, which has an index."""
        decided = Operation.objects.filter(
            approver__isnull=False,
            decided_at__gte=asked.begin,
            decided_at__lt=asked.end,
            created_at__gte=asked.begin - _DECIDED_WITHIN,
            created_at__lt=asked.end + _DECIDED_WITHIN,
        )
        for page in walk(decided, "created_at", *_OF_DECISION):
            yield [
                Entry(
                    str(row.pk),
                    row.decided_at,
                    row.currency or "",
                    at_stake(row) if row.currency else None,
                    f"{row.approver__username}/{row.action}/{REJECTED if row.code == Code.REJECTED else APPROVED}",
                    row.invoice,
                    row.customer,
                )
                for row in page
            ]
