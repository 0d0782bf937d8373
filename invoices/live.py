"""Reads one object from Stripe, as it is now, into the mirror."""

from invoices import gateway, mirror


def read_now(object: str, id: str) -> list[mirror.Outcome]:
    """The object, and what hangs on it: an invoice's lines and payments. Raises GatewayError."""
    return mirror.store(gateway.retrieve(object, id))
