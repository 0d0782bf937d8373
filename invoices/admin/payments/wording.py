"""The status of a PaymentIntent and the reason of a decline, in words."""

from typing import Any

from invoices.admin.formatting import words
from invoices.models.reading import member, text

PAYMENT_INTENT_STATUS = {
    "requires_payment_method": "waits for a payment method",
    "requires_confirmation": "waits to be confirmed",
    "requires_action": "waits for the customer's confirmation",
    "requires_capture": "authorised, not captured",
    "processing": "on its way",
    "succeeded": "succeeded",
    "canceled": "withdrawn",
}


def decline_reason(error: Any) -> str:
    """Why a charge did not go through. `error` is a PaymentIntent's `last_payment_error`: its message, followed by its
    decline code (or code) in words where the message does not contain it."""
    message = text(error, "message", limit=1000) or "Stripe gave no reason"
    code = member(error, "decline_code") or member(error, "code")
    if not isinstance(code, str) or words(code) in message.lower():
        return message
    return f"{message.rstrip('.')} ({words(code)})."
