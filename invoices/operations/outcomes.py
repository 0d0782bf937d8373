"""What Stripe's answers come to: the closed table from a gateway error to our code, and what of it is kept."""

from __future__ import annotations

from typing import Any, cast

from django.utils.translation import gettext as _

from invoices import gateway
from invoices.models import Code, Operation, OutcomeBy
from invoices.models.reading import storable_json, text
from invoices.operations import payment_method
from invoices.operations.action import Action
from invoices.operations.advice import advice_for
from invoices.operations.payment_method import PaymentMethodFacts
from invoices.operations.refusals import Refusal

# Stripe's codes, and decline codes, which say that the customer must authenticate (3-D Secure).
AUTHENTICATION_CODES = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "subscription_payment_intent_requires_action",
        "payment_intent_authentication_failure",
    }
)
# The members of Stripe's error that the journal keeps. Its objects stay out: they hold client secrets and card data.
ERROR_MEMBERS = (
    "type",
    "code",
    "decline_code",
    "message",
    "param",
    "advice_code",
    "network_decline_code",
    "network_advice_code",
    "doc_url",
    "request_log_url",
)


def code_of(error: gateway.GatewayError) -> str:
    """Our stable code for a definite refusal of Stripe's."""
    if isinstance(error, gateway.Declined):
        return decline_code_of(error.code, text(error.body, "decline_code"))
    if isinstance(error, gateway.Missing):
        return Code.RESOURCE_MISSING
    return Code.STRIPE_REFUSED


def decline_code_of(*stripe_codes: str | None) -> str:
    """Our code for a charge that did not go through, from Stripe's code and decline code."""
    return Code.AUTHENTICATION_REQUIRED if AUTHENTICATION_CODES & {*stripe_codes} else Code.CARD_DECLINED


def of_error(error: gateway.GatewayError) -> dict[str, Any]:
    """The columns of an operation that Stripe refused."""
    code, decline = code_of(error), text(error.body, "decline_code") or ""
    charged = payment_method.charged(error.body) if isinstance(error, gateway.Declined) else PaymentMethodFacts()
    return {
        "code": code,
        "decline_code": decline,
        "message": error.message,
        "advice": advice_for(code, decline, error.code),
        "error": reduced(error),
        "stripe_request_id": error.request_id,
        "outcome_by": OutcomeBy.NOBODY,
        "card_fingerprint": charged.fingerprint,
        # What Stripe charged may be another one than we thought.
        **({"payment_method": charged.id} if charged.id else {}),
    }


def reduced(error: gateway.GatewayError) -> dict[str, Any]:
    """Stripe's error without its objects: of each object only the id, the kind and the status stay."""
    body = error.body
    kept: dict[str, Any] = {key: body[key] for key in ERROR_MEMBERS if body.get(key) is not None}
    kept["status"] = error.status
    for member in ("charge", "payment_intent", "payment_method", "setup_intent", "source"):
        value = body.get(member)
        if isinstance(value, dict):
            kept[member] = {key: value[key] for key in ("id", "object", "status") if key in value}
        elif isinstance(value, str):
            kept[member] = value
    return cast("dict[str, Any]", storable_json(kept))


def of_rate_limit(error: gateway.GatewayError) -> dict[str, Any] | None:
    """Stripe's 429 with its advice, so that a caller of the API hears it as Stripe said it; None for another error."""
    if not isinstance(error, gateway.RateLimited):
        return None
    advice = {"retry_after": error.retry_after, "should_retry": error.should_retry}
    return reduced(error) | {name: value for name, value in advice.items() if value is not None}


def unavailable(message: str, error: gateway.GatewayError) -> Refusal:
    """The refusal where Stripe had to be asked before anything was sent, and did not answer."""
    return Refusal(Code.STRIPE_UNAVAILABLE, message, error=of_rate_limit(error))


def is_under_way(action: Action, operation: Operation, invoice: dict[str, Any]) -> bool:
    """Whether Stripe took the payment while the money is on its way (a bank debit): answered 200, not yet paid."""
    return action.charges(operation.params) and invoice.get("status") != "paid"


def under_way(operation: Operation, data: dict[str, Any]) -> dict[str, Any]:
    """The columns of an operation whose money is on its way. `data` is the invoice afterwards."""
    number = data.get("number") or operation.invoice
    message = _("Stripe has taken the payment of {number}; the bank is still processing it.").format(number=number)
    return {"processing": True, "message": message, "outcome_by": OutcomeBy.US, "code": "", "advice": ""}


def succeeded(action: Action, operation: Operation, data: dict[str, Any]) -> dict[str, Any]:
    """The columns of an operation that took effect by our request. `data` is the invoice afterwards."""
    number = data.get("number") or operation.invoice
    message = _("{number} has been {word}.").format(number=number, word=_(action.done_word))
    return {"processing": False, "message": message, "outcome_by": OutcomeBy.US, "code": "", "advice": ""}


def of_failed_charge(error: dict[str, Any]) -> dict[str, Any]:
    """The columns of an operation whose charge did not go through, from Stripe's `last_payment_error`, which may be
    empty."""
    message = text(error, "message", limit=2000) or _("The payment did not go through.")
    declined = gateway.Declined(message, status=402, body={"type": "card_error", **error})
    outcome = {"processing": False, **of_error(declined)}
    del outcome["stripe_request_id"]  # the request itself was answered otherwise
    return outcome
