"""One state of one Stripe object, and the span of Stripe's clock in which it was seen to be true."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from invoices.models import MIRRORED

# What Stripe's own clocks and stamps may disagree by; and a stamp in whole seconds stands for the second after it.
MARGIN = timedelta(seconds=2)
SECOND = timedelta(seconds=1)
EVENT_SPAN = MARGIN + SECOND + MARGIN
LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an event or a read says of one object.

    `begun_at` is the database's clock when the read began, None for an event. `data` is None where Stripe answered that
    there is no such object. A `hint` says that something happened, in a shape that we do not rely on: read the object.
    """

    object: str
    id: str
    data: dict[str, Any] | None
    since: datetime
    until: datetime
    begun_at: datetime | None = None
    deleted: bool = False
    hint: bool = False


def of_event(data: dict[str, Any], created: datetime, *, deleted: bool, hint: bool) -> Snapshot:
    """The object inside an event. `created` is the event's stamp: whole seconds, and it may lag."""
    return Snapshot(
        data["object"], data["id"], data, created - MARGIN, created + SECOND + MARGIN, deleted=deleted, hint=hint
    )


def of_read(
    object: str, id: str, data: dict[str, Any] | None, *, date: datetime, took: float, begun_at: datetime
) -> Snapshot:
    """The object in a reply. `date` is the reply's Date header, `took` the request's seconds, `begun_at` our clock."""
    since = (date - timedelta(seconds=took) - MARGIN).replace(microsecond=0)
    gone = data is None or data.get("deleted") is True
    return Snapshot(object, id, data, since, date + SECOND + MARGIN, begun_at, deleted=gone)


def is_object(data: Any) -> bool:
    """Whether this is one of the objects that we mirror, with an id that can be its key."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("object"), str)
        and data["object"] in MIRRORED
        and is_id(data.get("id"))
    )


def is_id(value: Any) -> TypeGuard[str]:
    """Whether this can be a key: not empty, not longer than the column, nothing in it that a database refuses."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable()


def stripe_time(seconds: int) -> datetime:
    """Stripe's seconds since 1970 as an aware datetime. Raises ValueError, OverflowError for what is no time."""
    return datetime.fromtimestamp(seconds, UTC)
