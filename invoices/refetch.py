"""Reads one object from Stripe as it is now, and stores it in the mirror."""

from invoices import clock, gateway, mirror, scheduled_refetches


def refetch(object: str, id: str, *, throttled: bool = False) -> list[mirror.Outcome]:
    """Reads the object and what belongs to it: an invoice's lines and payments. The object's outcome is the first.

    A refetch of it that was scheduled before is met by this. `throttled`: its requests wait for slots of the throttle.
    Raises GatewayError.
    """
    begun_at = clock.now()
    outcomes = mirror.store(gateway.retrieve(object, id, throttled=throttled))
    scheduled_refetches.done(object, id, begun_at)
    return outcomes
