"""Reads one object from Stripe as it is now, and stores it in the mirror."""

from invoices import clock, gateway, mirror, scheduled_refetches
from invoices.models import MIRRORED


def refetch(object: str, id: str, *, throttled: bool = False) -> list[mirror.Outcome]:
    """Reads the object and what belongs to it: an invoice's lines and payments. The object's outcome is the first.

    A refetch of it that was scheduled before is met by this. `throttled`: its requests wait for slots of the throttle.
    Raises GatewayError.
    """
    begun_at = clock.now()
    outcomes = mirror.store(gateway.retrieve(object, id, throttled=throttled))
    scheduled_refetches.done(object, id, begun_at)
    return outcomes


def bring(object: str, id: str, *, throttled: bool = False) -> bool:
    """As `refetch`, for an object of which the mirror may hold nothing. Whether Stripe has it. Raises GatewayError.

    A 404 for what the mirror does not hold is not stored: it would leave an empty row for each id that somebody tries.
    """
    begun_at = clock.now()
    snapshots = gateway.retrieve(object, id, throttled=throttled)
    is_there = snapshots[0].data is not None
    if is_there or MIRRORED[object].rows.filter(pk=id).exists():
        mirror.store(snapshots)
        scheduled_refetches.done(object, id, begun_at)
    return is_there
