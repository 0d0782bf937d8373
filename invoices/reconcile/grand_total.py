"""The grand total of a proof of equality: numbers and sums of everything that was compared, of both sides.

For the proof's page, the command and the e-mail to finance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from invoices import money
from invoices.models import MIRRORED

OLD_SUMS = ("total", "amount_paid", "amount_remaining")  # of a report before version 2, which has invoices alone


@dataclass(frozen=True)
class Total:
    """All objects of one kind in one currency: their number, and the sums of the kind's amounts in minor units."""

    object: str  # Stripe's `object` value
    currency: str  # in small letters; empty where the objects have none
    sums: tuple[str, ...]  # the members that are added up
    ours: tuple[int, ...]  # the number, then each sum
    theirs: tuple[int, ...]

    @property
    def equal(self) -> bool:
        return self.ours == self.theirs

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """What is counted (`number`, or the member), ours, Stripe's, and ours less Stripe's (empty where it is
        nothing), as the language of the page writes numbers."""
        for name, ours, theirs in zip(("number", *self.sums), self.ours, self.theirs, strict=True):
            if name == "number":
                over = f"{'+' if ours > theirs else '-'}{_number(abs(ours - theirs))}" if ours != theirs else ""
                yield name, _number(ours), _number(theirs), over
            elif self.currency:
                over = money.text(ours - theirs, self.currency) if ours != theirs else ""
                yield name, money.text(ours, self.currency), money.text(theirs, self.currency), over


def grand_total(report: Any) -> list[Total]:
    """Kind by kind, currency by currency. `report`: a RunReport of any version; what cannot be read is left out."""
    kinds = report.get("kinds") if isinstance(report, dict) else None
    kinds = kinds if isinstance(kinds, dict) else {}
    sides: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(dict)
    for day in (report.get("days") if isinstance(report, dict) else None) or ():
        if not isinstance(day, dict):
            continue
        object = day.get("object", "invoice")
        size = 1 + len(_sums(kinds, object))
        for side in ("ours", "theirs"):
            groups = day[side].get("groups") if isinstance(day.get(side), dict) else None
            for group, numbers in (groups or {}).items():
                currency = group.partition(" ")[0].strip("–")
                had = sides[object, currency].setdefault(side, [0] * size)
                sides[object, currency][side] = [one + more for one, more in zip(had, numbers, strict=False)]
    place = {object: number for number, object in enumerate(MIRRORED)}
    totals = [
        Total(
            object,
            currency,
            tuple(_sums(kinds, object)),
            *(tuple(both.get(side) or [0] * (1 + len(_sums(kinds, object)))) for side in ("ours", "theirs")),
        )
        for (object, currency), both in sides.items()
    ]
    return sorted(totals, key=lambda total: (place.get(total.object, len(place)), total.currency))


def _sums(kinds: dict[str, Any], object: str) -> tuple[str, ...]:
    kind = kinds.get(object)
    return tuple(kind.get("sums", OLD_SUMS)) if isinstance(kind, dict) else OLD_SUMS


def result(totals: list[Total], equal: bool) -> str:
    """The last line of a proof."""
    if not totals:
        return _("Neither side has anything.")
    ours, theirs = (sum(getattr(total, side)[0] for total in totals) for side in ("ours", "theirs"))
    numbers = {"here": _number(ours), "at_stripe": _number(theirs)}
    if wrong := sum(not total.equal for total in totals):
        said = _("{here} objects here, {at_stripe} at Stripe: {wrong} of {totals} totals are not the same.")
        return said.format(**numbers, wrong=_number(wrong), totals=_number(len(totals)))
    if equal:
        said = _("{here} objects here, {at_stripe} at Stripe: every number and every sum is the same.")
    else:
        said = _(
            "{here} objects here, {at_stripe} at Stripe: every number and every sum is the same, but something else "
            "differs."
        )
    return said.format(**numbers)


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)
