"""How much money is in the differences that a run found: for each kind and currency, what we had and what Stripe had.

Only amounts that differ are added up, each kind's own (`SUMS`), never two currencies together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from invoices import money
from invoices.admin.formatting import words
from invoices.models import MIRRORED, Customer, Drift, ReconciliationRun
from invoices.models.reading import BIGINT_LIMIT, integer, member, text
from invoices.reconcile import proof_in_words
from invoices.reconcile.sides import SUMS

MOST_ROWS = 2_000  # differences of a run that are added up; of more, the page says that these are the newest

Key = tuple[str, str]  # Stripe's `object` and the id


@dataclass(frozen=True)
class Stake:
    """One amount of one kind in one currency, added up over the objects in which it differs. In minor units."""

    kind: str  # in words
    amount: str  # in words
    currency: str
    objects: int
    ours: int
    theirs: int

    @property
    def here(self) -> str:
        return money.text(self.ours, self.currency)

    @property
    def at_stripe(self) -> str:
        return money.text(self.theirs, self.currency)

    @property
    def too_much(self) -> str:
        """What we had more than Stripe; negative: less."""
        return money.text(self.ours - self.theirs, self.currency)


def of_run(run: ReconciliationRun) -> tuple[list[Stake], bool]:
    """The money of all differences of a run, and whether there are more than were added up."""
    names = {name for sums in SUMS.values() for name in sums}
    missing = (Drift.Kind.MISSING_HERE, Drift.Kind.MISSING_AT_STRIPE)
    differing = run.drift.filter(Q(kind__in=missing) | Q(kind=Drift.Kind.DIFFERS, field__in=names))
    rows = list(differing.order_by("-found_at", "-pk")[: MOST_ROWS + 1])
    return of_rows(rows[:MOST_ROWS], currencies(rows)), len(rows) > MOST_ROWS


def currencies(rows: Iterable[Drift], objects: dict[Key, Any] | None = None) -> dict[Key, str]:
    """The currency of each object of these differences, as the mirror has it now; from the difference itself where the
    mirror does not hold it. `objects`: rows of the mirror that were read already."""
    wanted: dict[str, set[str]] = defaultdict(set)
    found: dict[Key, str] = {}
    for row in rows:
        said = text(row.theirs, "currency") or text(row.ours, "currency")
        if said:
            found[row.object_type, row.object_id] = said
        elif objects is not None:
            held = objects.get((row.object_type, row.object_id))
            found[row.object_type, row.object_id] = text(held.data, "currency") or "" if held else ""
        elif row.object_type in MIRRORED:
            wanted[row.object_type].add(row.object_id)
    for object, ids in wanted.items():
        of_mirror: Any = MIRRORED[object].objects.filter(pk__in=ids)
        if MIRRORED[object] is Customer:  # has no column for it, and is small
            found |= {(object, pk): text(data, "currency") or "" for pk, data in of_mirror.values_list("pk", "data")}
        else:  # an invoice's `data` has up to thousands of lines
            found |= {(object, pk): currency or "" for pk, currency in of_mirror.values_list("pk", "currency")}
    return found


def of_rows(rows: Iterable[Drift], currency_of: dict[Key, str]) -> list[Stake]:
    """The money of these differences: kinds in the order of the mirror's, then by currency."""
    ours: dict[tuple[str, str, str], int] = defaultdict(int)
    theirs: dict[tuple[str, str, str], int] = defaultdict(int)
    objects: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        currency = currency_of.get((row.object_type, row.object_id), "")
        for name, here, there in _amounts(row):
            key = (row.object_type, name, currency)
            if currency and here != there and row.object_id not in objects[key]:
                ours[key], theirs[key] = ours[key] + here, theirs[key] + there
                objects[key].add(row.object_id)
    place = {object: number for number, object in enumerate(SUMS)}
    return [
        Stake(proof_in_words.plural(key[0]), words(key[1]), key[2], len(objects[key]), ours[key], theirs[key])
        for key in sorted(ours, key=lambda key: (place.get(key[0], len(place)), key[2], SUMS[key[0]].index(key[1])))
    ]


def _amounts(row: Drift) -> Iterable[tuple[str, int, int]]:
    """The amounts that differ: member, ours, Stripe's. What a side lacks altogether counts as nothing there."""
    names = SUMS.get(row.object_type, ())
    if row.kind == Drift.Kind.DIFFERS:
        if row.field in names:
            yield row.field, _number(row.ours), _number(row.theirs)
    elif row.kind in (Drift.Kind.MISSING_HERE, Drift.Kind.MISSING_AT_STRIPE):
        for name in names:
            yield name, _number(member(row.ours, name)), _number(member(row.theirs, name))


def _number(value: Any) -> int:
    """The value where it can be an amount; else nothing, as where a side has none."""
    number = integer({"value": value}, "value") or 0
    return number if abs(number) < BIGINT_LIMIT else 0
