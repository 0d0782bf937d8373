"""What the API answers when an action is done or was declined: what Stripe shows, whole, with what the caller wants to
see whole.

Where Stripe has just answered this process, that is the answer. A key that comes again, and an outcome that settling
found out, are answered with one read for it, because neither the journal nor the mirror has what was expanded: a
PaymentIntent in the mirror may be older than the payment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from invoices import gateway, mirror
from invoices.models import Operation

# Members of Stripe's error that are objects, and where such an object is read.
ERROR_OBJECTS = {
    "payment_intent": "/v1/payment_intents/",
    "payment_method": "/v1/payment_methods/",
    "setup_intent": "/v1/setup_intents/",
}


def invoice(operation: Operation) -> dict[str, Any] | None:
    """The invoice with what was to be expanded; None where Stripe must be asked, and does not answer."""
    heard = operation.heard.invoice if operation.heard else None
    if heard is None:
        try:
            return read(operation.invoice, operation.expand or [])
        except gateway.GatewayError:
            return None
    if "payments" in heard and not any(path.split(".")[0] == "payments" for path in operation.expand or ()):
        return {name: value for name, value in heard.items() if name != "payments"}  # expanded for ourselves
    return dict(heard)


def read(invoice: str, expand: Sequence[str]) -> dict[str, Any]:
    """The invoice as Stripe has it now, with these paths expanded; what it shows goes into the mirror. Raises
    GatewayError."""
    reply = gateway.read(f"/v1/invoices/{quote(invoice, safe='')}", expand=list(expand))
    mirror.store(gateway.of_reply(reply, expanded=expand, complete=False))
    return reply.data


def error(operation: Operation) -> dict[str, Any]:
    """Stripe's error with its objects whole; of one that cannot be read only its id, kind and status. Empty where there
    is none."""
    kept = operation.error or {}
    if operation.heard and operation.heard.error and kept:
        return {**operation.heard.error, "status": kept.get("status")}
    return {name: _whole(name, value) if name in ERROR_OBJECTS else value for name, value in kept.items()}


def _whole(name: str, kept: Any) -> Any:
    if not isinstance(kept, dict) or not kept.get("id"):
        return kept
    try:
        return gateway.read(f"{ERROR_OBJECTS[name]}{quote(str(kept['id']), safe='')}").data
    except gateway.GatewayError:
        return kept
