"""What the pages ask of the tallies. Each question reads one queue's days, never an object.

A currency's amount is never added to another's. Ages are counted in whole days, UTC: an invoice is one day overdue on
the day after the day on which it was due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db.models import Min, Q, QuerySet, Sum
from django.utils.translation import gettext_noop

from invoices import clock
from invoices.models import Tallied, Tally, TallyProgress
from invoices.models.tallies import NO_DAY
from invoices.tallies.buckets import CHARGED, DECLINED, DECLINED_THEN_PAID, OPEN, RECOVERED, WAITING

ATTEMPTS = (CHARGED, DECLINED, DECLINED_THEN_PAID)


@dataclass(frozen=True)
class AgeBand:
    """Open invoices by how many days they are overdue. `most` None: without end."""

    name: str
    title: str  # in English; pages translate it
    least: int
    most: int | None

    def days(self, today: date) -> tuple[date | None, date]:
        """The first and the last due day of this band, both included; None: without beginning."""
        first = None if self.most is None else today - timedelta(days=self.most)
        return first, today - timedelta(days=self.least)


OVERDUE_BANDS = (
    AgeBand("1-7", gettext_noop("1 to 7 days"), 1, 7),
    AgeBand("8-30", gettext_noop("8 to 30 days"), 8, 30),
    AgeBand("31-90", gettext_noop("31 to 90 days"), 31, 90),
    AgeBand("over-90", gettext_noop("over 90 days"), 91, None),
)
NOT_DUE, NO_DUE_DATE = "not-due", "no-due-date"  # the other open invoices


@dataclass
class Amounts:
    """A number of objects, and per currency how many and what they add up to (minor units)."""

    count: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    oldest: date | None = None

    def add(self, currency: str, number: int, amount: int, oldest: date | None = None) -> None:
        self.count += number
        self.sums[currency] = self.sums.get(currency, 0) + amount
        self.counts[currency] = self.counts.get(currency, 0) + number
        if oldest is not None and oldest != NO_DAY:
            self.oldest = oldest if self.oldest is None else min(self.oldest, oldest)

    @classmethod
    def together(cls, several: Iterable[Amounts]) -> Amounts:
        """All of these."""
        found = cls()
        for amounts in several:
            for currency, amount in amounts.sums.items():
                found.add(currency, amounts.counts[currency], amount, amounts.oldest)
        return found


@dataclass(frozen=True)
class State:
    """How old the tallies are. `counted_at` None: nothing was counted yet. `is_filled`: everything was counted once.
    `wrong`: how many the last proof found wrong."""

    counted_at: datetime | None
    is_filled: bool
    proved_at: datetime | None
    wrong: int


def state() -> State:
    progress = TallyProgress.objects.first()
    if progress is None:
        return State(None, False, None, 0)
    return State(progress.counted_at, progress.filled_at is not None, progress.proved_at, progress.wrong)


def today() -> date:
    """The day, UTC, by the database's clock."""
    return clock.now().date()


def by_reason(since: date) -> dict[str, dict[str, Amounts]]:
    """What stands in each queue by the reason, those of the most objects first: of charges only those since this day.
    OPEN and RECOVERED are not among them, which are asked for by their days."""
    found: dict[str, dict[str, Amounts]] = defaultdict(dict)
    rows = Tally.objects.filter(Q(queue__in=WAITING.values()) | Q(queue__in=ATTEMPTS, day__gte=since))
    for queue, reason, currency, number, amount, oldest in (
        rows.values_list("queue", "reason", "currency")
        .annotate(number=Sum("count"), sum=Sum("amount"), oldest=Min("day"))
        .order_by("queue", "reason", "currency")
    ):
        found[queue].setdefault(reason, Amounts()).add(currency, int(number), int(amount), oldest)
    return {
        queue: dict(sorted(of_queue.items(), key=lambda item: (-item[1].count, item[0])))
        for queue, of_queue in found.items()
    }


def has_reason(queue: str, reason: str) -> bool:
    """Whether anything was counted in this queue for this reason, of whichever day."""
    return Tally.objects.filter(queue=queue, reason=reason).exists()


def by_band(day: date, without: Mapping[tuple[date, str], tuple[int, int]] | None = None) -> dict[str, Amounts]:
    """The open invoices by their age on this day: a band's name, NOT_DUE or NO_DUE_DATE → what stands there.

    `without`: due day and currency → how many invoices, and which amount, are left out."""
    found = {name: Amounts() for name in (NO_DUE_DATE, NOT_DUE, *(band.name for band in OVERDUE_BANDS))}
    rows = Tally.objects.filter(queue=OPEN).values_list("day", "currency", "count", "amount")
    for due, currency, number, amount in rows.order_by("day", "currency"):
        fewer, less = (without or {}).get((due, currency), (0, 0))
        if number > fewer:
            found[band_of(due, day)].add(currency, number - fewer, max(0, amount - less), due)
    return found


def band_of(due: date, day: date) -> str:
    if due == NO_DAY:
        return NO_DUE_DATE
    late = (day - due).days
    return next((band.name for band in reversed(OVERDUE_BANDS) if late >= band.least), NOT_DUE)


def recovered(since: date) -> dict[date, Amounts]:
    """What was paid after it had failed or was overdue, by the day of its payment."""
    found: dict[date, Amounts] = defaultdict(Amounts)
    rows = Tally.objects.filter(queue=RECOVERED, day__gte=since).values_list("day", "currency", "count", "amount")
    for day, currency, number, amount in rows.order_by("day", "currency"):
        found[day].add(currency, number, amount)
    return found


def ids_in(
    kind: str, *queues: str, reason: str | None = None, first: date | None = None, last: date | None = None
) -> QuerySet:
    """The ids of the objects of this kind that stand in these queues, for a list that shows exactly what is counted.
    `first` and `last`: only of these days, both included.

    No queue has objects of two kinds. But by kind and id an index finds one object's place at once, so that a list need
    not put together all that stands in a queue to show the newest of it."""
    found = Tallied.objects.filter(object_type=kind, queue__in=queues)
    if reason is not None:
        found = found.filter(reason=reason)
    if first is not None:
        found = found.filter(day__gte=first)
    if last is not None:
        found = found.filter(day__lte=last)
    return found.values("object_id")
