"""What of reconciliation is due, by the rows of finished runs alone, so that a restart forgets nothing.

Every night: the sweep, and a part of a full run. Every week: the proof of equality. Beat asks each hour. What has not
finished since the night began is due, so a run that failed is tried again hourly.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from invoices import clock, gateway
from invoices.models import ReconciliationRun
from invoices.reconcile import runs
from invoices.reconcile.sweep import sweep_lists
from invoices.reconcile.verify import verify
from invoices.reconcile.windows import FULL_RUN_PARTS

log = logging.getLogger(__name__)

NIGHT_BEGINS = timedelta(hours=2, minutes=15)  # after midnight, UTC
PROOF_WEEKDAY = 6  # the proof is due from Sunday's night on
# A part whose night was missed is made up for. More than so many parts a night would be a full run in disguise.
MAX_PARTS_PER_NIGHT = 4

Kind = ReconciliationRun.Kind


@dataclass(frozen=True)
class Due:
    """A run that should begin now. `part` says which part of a full run, for the kind PART."""

    kind: str
    part: int | None = None


def run_due() -> int:
    """Begins what is due, one run after the other, and returns how many finished.

    Each is tried once. One that failed waits for the next hour, and keeps the others waiting only if Stripe answers
    nothing at all: what else is wrong with it may be wrong for weeks. The others wait too where another run of its lane
    is at work, or this process is to end.
    """
    finished, tried = 0, set[Due]()
    while due := next_due(clock.now(), tried):
        tried.add(due)
        try:
            run = verify() if due.kind == Kind.VERIFY else sweep_lists(due.kind, part=due.part)
        except runs.AlreadyRunning as error:
            log.info("Nothing begins now: %s", error)
            break
        except Exception:  # what no run expects; its row says it
            log.exception("The run of %s failed.", due)
            continue
        if run.state == ReconciliationRun.State.INTERRUPTED:
            break
        if run.state == ReconciliationRun.State.FINISHED:
            finished += 1
        elif not _stripe_answers():
            break
    return finished


def _stripe_answers() -> bool:
    try:
        gateway.read("/v1/invoices", throttled=True, limit=1)
    except gateway.GatewayError:
        return False
    return True


def next_due(now: datetime, tried: Collection[Due] = ()) -> Due | None:
    """The next run that is due, without those that were tried just now; None where nothing is."""
    return next((due for due in _all_due(now) if due not in tried), None)


def _all_due(now: datetime) -> Iterator[Due]:
    night = night_of(now)
    if not _finished(Kind.SWEEP, Kind.FULL).filter(started_at__gte=night).exists():
        yield Due(Kind.SWEEP)
    yield from (Due(Kind.PART, part) for part in islice(_parts_due(night), MAX_PARTS_PER_NIGHT))
    if not _finished(Kind.VERIFY).filter(started_at__gte=week_of(now)).exists():
        yield Due(Kind.VERIFY)


def night_of(now: datetime) -> datetime:
    """When the last night began."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tonight = midnight + NIGHT_BEGINS
    return tonight if tonight <= now else tonight - timedelta(days=1)


def week_of(now: datetime) -> datetime:
    """When the last night began from which on a proof is due."""
    night = night_of(now)
    return night - timedelta(days=(night.weekday() - PROOF_WEEKDAY) % 7)


def _parts_due(night: datetime) -> Iterator[int]:
    """The parts that were compared longest ago: one every night, and more while others missed theirs."""
    if _finished(Kind.FULL).filter(started_at__gte=night).exists():
        return
    compared = parts_compared_at()
    tonight = sum(1 for at in compared.values() if at is not None and at >= night)
    for part in sorted(compared, key=lambda part: (compared[part] is not None, compared[part], part)):
        last = compared[part]
        missed = last is None or last < night - timedelta(days=FULL_RUN_PARTS - 1)
        if not (not tonight or (missed and tonight < MAX_PARTS_PER_NIGHT)):
            return
        yield part


# --- when each kind succeeded last ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LastSuccesses:
    """When what must be done regularly was done last; None where it never was."""

    sweep: ReconciliationRun | None
    everything_since: datetime | None  # every object of every kind was compared after this moment
    catch_up: ReconciliationRun | None
    proof: ReconciliationRun | None
    first: datetime | None  # when the first sweep or full run finished: before it nothing can be late


def last_successes() -> LastSuccesses:
    """For /readyz, /metrics and the home page. A few rows are read."""
    compared = list(parts_compared_at().values())
    first = _finished(Kind.SWEEP, Kind.FULL).order_by("started_at").values_list("finished_at", flat=True).first()
    return LastSuccesses(
        sweep=_newest(Kind.SWEEP, Kind.FULL),
        everything_since=None if None in compared else min(at for at in compared if at is not None),
        catch_up=_newest(Kind.CATCH_UP),
        proof=_newest(Kind.VERIFY),
        first=first,
    )


def parts_compared_at() -> dict[int, datetime | None]:
    """When the last comparison of each part of a full run began; a full run compares all. None: never."""
    full = _finished(Kind.FULL).order_by("-started_at").values_list("started_at", flat=True).first()
    compared: dict[int, datetime | None] = dict.fromkeys(range(FULL_RUN_PARTS), full)
    # Of a part that is not among so many, the full run or nothing counts: it is due either way.
    newest = _finished(Kind.PART).order_by("-started_at").values_list("params", "started_at")
    for params, started_at in newest[: FULL_RUN_PARTS * MAX_PARTS_PER_NIGHT]:
        part, known = params.get("part"), compared.get(params.get("part"))
        if part in compared and (known is None or known < started_at):
            compared[part] = started_at
    return compared


def _finished(*kinds: str) -> QuerySet[ReconciliationRun]:
    """The runs of these kinds that did all their work. A sweep or proof that was asked for a part of the time does not
    count."""
    found = ReconciliationRun.objects.filter(kind__in=kinds, state=ReconciliationRun.State.FINISHED, dry_run=False)
    return found.exclude(params__has_key="since").defer("report", "progress")


def _newest(*kinds: str) -> Any:
    return _finished(*kinds).exclude(finished_at=None).order_by("-started_at").first()
