"""Reads one object from Stripe as it is now, and stores it in the mirror."""

from invoices import gateway, mirror


def refetch(object: str, id: str, *, throttled: bool = False) -> list[mirror.Outcome]:
    """Reads the object and what belongs to it: an invoice's lines and payments. The object's outcome is the first.

    `throttled`: its requests wait for slots of the throttle. Raises GatewayError.
    """
    return mirror.store(gateway.retrieve(object, id, throttled=throttled))
