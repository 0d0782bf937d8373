"""What became of the differences that a run found: which are open, and what healed the others.

A run that heals says so in its rows (`healed_at`). A proof and a dry run heal nothing, so what came later is looked
for: the mirror's row, another run, an event. Nothing of it is stored, so a row is never behind what it tells of.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.admin.links import url_of
from invoices.models import Drift, Event
from invoices.models.reading import storable_json

# An event may be made some time before it comes: Stripe tries for three days to deliver it.
EVENT_DELIVERED_WITHIN = timedelta(days=3)
HEALED = gettext_noop("healed")
EVENTS_READ = 500  # of all objects of a page together


@dataclass(frozen=True)
class Fate:
    """What became of one difference."""

    words: str  # in English; pages translate it
    tone: str  # of its badge
    by: str = ""  # what healed it
    link: str = ""  # to that
    at: datetime | None = None


OPEN = Fate("open", "amber")
EXPLAINED = Fate(gettext_noop("explained"), "blue")
CHANGED = Fate(gettext_noop("changed since"), "violet", gettext_noop("neither value is the one of today"))


def fates(drift: list[Drift], objects: dict[tuple[str, str], Any]) -> dict[int, Fate]:
    """What became of each of these differences. `objects`: the mirror's rows as they are now, by Stripe's type and
    id."""
    left = [row for row in drift if row.healed_at is None]
    found: dict[int, Fate] = {
        row.pk: Fate(HEALED, "green", by=_("this run"), at=row.healed_at) for row in drift if row.healed_at
    }
    stand = {row.pk: _stands(row, objects.get((row.object_type, row.object_id))) for row in left}
    stand |= {row.pk: EXPLAINED for row in left if stand[row.pk] is OPEN and row.explanation_id}
    gone = [row for row in left if stand[row.pk] is None]
    found |= {row.pk: fate for row in left if (fate := stand[row.pk])}
    if not gone:
        return found
    runs, events = _later_runs(gone), _later_events(gone)
    for row in gone:
        found[row.pk] = _healed_by(row, objects.get((row.object_type, row.object_id)), runs, events)
    return found


def _stands(row: Drift, object: Any) -> Fate | None:
    """OPEN or CHANGED while the mirror does not have what Stripe had; None once it has."""
    if row.kind == Drift.Kind.MISSING_HERE:
        return None if object is not None and object.deleted_at is None else OPEN
    if row.kind == Drift.Kind.MISSING_AT_STRIPE:
        return None if object is None or object.deleted_at is not None else OPEN
    if object is None:
        return OPEN
    if row.kind == Drift.Kind.COLUMN:
        return None if row.field not in object.wrong_columns() else OPEN
    if row.kind == Drift.Kind.DIFFERS and row.field:
        today = storable_json(value_at(object.data, row.field))
        if today == row.theirs:
            return None
        return OPEN if today == row.ours else CHANGED
    # Unreadable then, or not to be told apart by a member: whatever was stored since was readable and is Stripe's.
    return None if object.stored_at and object.stored_at > row.found_at else OPEN


def value_at(data: Any, path: str) -> Any:
    """The value at a path as `compare.differences` writes it: `lines.data.3.amount`. None where it ends early."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


Key = tuple[str, str]  # Stripe's `object` and the id


def _later_runs(rows: list[Drift]) -> dict[Key, list[Drift]]:
    """The differences of the same objects that later runs healed, oldest first."""
    later: dict[Key, list[Drift]] = defaultdict(list)
    since = min(row.found_at for row in rows)
    same = Drift.objects.filter(object_id__in={row.object_id for row in rows}, found_at__gt=since)
    for row in same.filter(healed_at__isnull=False).order_by("found_at", "pk"):
        later[row.object_type, row.object_id].append(row)
    return later


def _later_events(rows: list[Drift]) -> dict[str, list[Event]]:
    """The events about these objects that came later and are in the mirror, in the order in which they came."""
    later: dict[str, list[Event]] = defaultdict(list)
    since = min(row.found_at for row in rows)
    about = Event.objects.filter(
        object_id__in={row.object_id for row in rows},
        created__gt=since - EVENT_DELIVERED_WITHIN,
        received_at__gt=since,
        state=Event.State.DONE,
    )
    for event in about.only("id", "type", "object_id", "received_at").order_by("received_at")[:EVENTS_READ]:
        later[event.object_id or ""].append(event)
    return later


def _healed_by(row: Drift, object: Any, runs: dict[Key, list[Drift]], events: dict[str, list[Event]]) -> Fate:
    """The run that healed the same difference; else the first event that came after it; else a read of the object."""
    for later in runs[row.object_type, row.object_id]:
        if later.found_at > row.found_at and (later.field == row.field or not later.field):
            link = url_of("reconciliationrun", later.run_id)
            return Fate(
                HEALED, "green", by=_("run #{number}").format(number=later.run_id), link=link, at=later.healed_at
            )
    for event in events[row.object_id]:
        if event.received_at > row.found_at:
            return Fate(HEALED, "green", by=event.type, link=url_of("event", event.pk), at=event.received_at)
    return Fate(
        HEALED, "green", by=gettext_noop("a read from Stripe"), at=object.stored_at if object is not None else None
    )
