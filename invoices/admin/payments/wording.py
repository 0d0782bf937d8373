"""The status of a PaymentIntent, the reason of a decline, and what a charge was charged to, in words."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.admin.formatting import words
from invoices.models.reading import member, text

PAYMENT_INTENT_STATUS = {
    "requires_payment_method": gettext_noop("waits for a payment method"),
    "requires_confirmation": gettext_noop("waits to be confirmed"),
    "requires_action": gettext_noop("waits for the customer's confirmation"),
    "requires_capture": gettext_noop("authorised, not captured"),
    "processing": gettext_noop("on its way"),
    "succeeded": gettext_noop("succeeded"),
    "canceled": gettext_noop("withdrawn"),
}


def decline_reason(error: Any) -> str:
    """Why a charge did not go through. `error` is a PaymentIntent's `last_payment_error`: its message, followed by its
    decline code (or code) in words where the message does not contain it."""
    message = text(error, "message", limit=1000) or _("Stripe gave no reason")
    code = member(error, "decline_code") or member(error, "code")
    if not isinstance(code, str) or code.replace("_", " ") in message.lower():
        return message
    return f"{message.rstrip('.')} ({words(code)})."


def charge_failure(charge: Any) -> str:
    """Why a charge failed: the message, followed by the bank's reason in words where the message does not have it."""
    return decline_reason(
        {
            "message": member(charge, "failure_message"),
            "decline_code": member(charge, "outcome", "reason"),
            "code": member(charge, "failure_code"),
        }
    )


def charged_to(charge: Any) -> str:
    """The card or the bank account that was charged, such as `Visa •••• 4242`; of another kind its name."""
    kind = text(charge, "payment_method_details", "type") or ""
    details = member(charge, "payment_method_details", kind)
    name = text(details, "brand") or text(details, "bank_name") or kind
    last4 = text(details, "last4")
    return (words(name).capitalize() + (f" •••• {last4}" if last4 else "")) or "–"
