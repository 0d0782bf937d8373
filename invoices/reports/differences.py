"""Drift: the differences between the desk and Stripe that runs of reconciliation found in these days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Drift
from invoices.record_tables import SHAPES
from invoices.reports.asked import Asked
from invoices.reports.report import Entry, Report, of_records
from invoices.reports.walking import walk

HEALED, EXPLAINED, LEFT = "healed", "explained", "left"


class Differences(Report):
    """Its groups are `kind.healed`, `kind.explained` and `kind.left`."""

    name = "drift"
    title = gettext_noop("Drift found")
    answers = gettext_noop("Where did the desk differ from Stripe in these days, and was it healed?")
    counts = gettext_noop("Differences")
    groups_are = gettext_noop("Kind of difference")
    permissions = ("invoices.view_drift", "invoices.view_invoice")
    limits = (
        gettext_noop("A difference is of one field, or of a whole object. The day is that on which it was found."),
    )
    shape = of_records(SHAPES[Drift], Drift.objects.all)
    shown = ("Object", "Object id", "Field", "Here", "At Stripe", "Healed (UTC)", "Explanation")

    def label(self, group: str) -> str:
        kind, _dot, state = group.partition(".")
        if kind not in Drift.Kind.values:
            return super().label(group)
        what = str(Drift.Kind(kind).label)
        fates = {HEALED: _("{what}, healed"), EXPLAINED: _("{what}, left and explained"), LEFT: _("{what}, left")}
        return fates.get(state, "{what}").format(what=what)

    def place(self, group: str) -> tuple[int, str]:
        kind, _dot, state = group.partition(".")
        return (LEFT, EXPLAINED, HEALED).index(state) if state in (LEFT, EXPLAINED) else 2, kind

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        found = Drift.objects.filter(found_at__gte=asked.begin, found_at__lt=asked.end)
        for page in walk(found, "found_at", "kind", "healed_at", "explanation_id", "invoice"):
            yield [
                Entry(
                    str(row.pk),
                    row.found_at,
                    "",
                    None,
                    f"{row.kind}.{HEALED if row.healed_at else EXPLAINED if row.explanation_id else LEFT}",
                    row.invoice,
                )
                for row in page
            ]
