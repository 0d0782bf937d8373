"""One state of one Stripe object, and the span of Stripe's clock in which it was seen to be true."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from invoices.models import MIRRORED
from invoices.models.reading import expandable_id, is_id

CLOCK_MARGIN = timedelta(seconds=2)  # by which the clocks of Stripe's hosts may differ from each other
STAMP_LAG = timedelta(seconds=10)  # by which an event's `created` may lie after the change, or before it
STAMP_RESOLUTION = timedelta(seconds=1)  # Stripe's stamps are whole seconds: one stands for the second after it


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of one object, as an event or a read told it.

    Between `since` and `until` (Stripe's clock) the state was seen to be true. `begun_at` is the database's clock when
    the read began, None for an event. `data` is None where Stripe answered 404. `other_version` marks an event of
    another API version than ours: it tells that something happened, in a shape that we do not rely on, so the object
    has to be refetched.
    """

    object: str  # Stripe's `object` value
    id: str
    data: dict[str, Any] | None
    since: datetime
    until: datetime
    begun_at: datetime | None = None
    deleted: bool = False
    other_version: bool = False


def of_event(data: dict[str, Any], created: datetime, *, deleted: bool, other_version: bool) -> Snapshot:
    """The object inside an event. `created` is the event's stamp."""
    since, until = span_of_event(created)
    return Snapshot(data["object"], data["id"], data, since, until, deleted=deleted, other_version=other_version)


def span_of_event(created: datetime) -> tuple[datetime, datetime]:
    """In which what the event tells of happened: from, until. `created` has whole seconds, and tells of the change's
    moment only roughly: it may lag behind it, or lie before it."""
    return created - STAMP_LAG, created + STAMP_RESOLUTION + STAMP_LAG


@dataclass(frozen=True, slots=True)
class ReadTime:
    """When a request to Stripe was answered. Stripe looked at the object at some moment of the request."""

    date: datetime  # the reply's Date header: Stripe's clock
    took: float  # the request's duration in seconds
    begun_at: datetime  # the database's clock before the request


def of_read(object: str, id: str, data: dict[str, Any] | None, time: ReadTime) -> Snapshot:
    """The object in a reply; `data` is None for a 404."""
    since = (time.date - timedelta(seconds=time.took) - CLOCK_MARGIN).replace(microsecond=0)
    until = time.date + STAMP_RESOLUTION + CLOCK_MARGIN
    gone = data is None or data.get("deleted") is True
    return Snapshot(object, id, data, since, until, time.begun_at, deleted=gone)


def is_object(data: Any) -> bool:
    """Whether this is an object of a mirrored kind, with an id that can be its key."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("object"), str)
        and data["object"] in MIRRORED
        and is_id(data.get("id"))
    )


def disputed_charge(data: Any) -> str | None:
    """The charge that a dispute is about: it is another one since, and no event of its own tells so. None for what is
    no dispute."""
    is_dispute = isinstance(data, dict) and data.get("object") == "dispute"
    return expandable_id(data, "charge") if is_dispute else None


def stripe_time(seconds: int) -> datetime:
    """Stripe's seconds since 1970 as an aware UTC datetime. Raises ValueError or OverflowError."""
    return datetime.fromtimestamp(seconds, UTC)
