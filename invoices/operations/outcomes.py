"""What Stripe's answers come to: the closed table from a gateway error to our code, and what of it is kept."""

from __future__ import annotations

from typing import Any

from invoices import gateway
from invoices.models import Operation
from invoices.operations.advice import advice_for
from invoices.operations.catalog import Spec

AUTHENTICATION = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "subscription_payment_intent_requires_action",
        "payment_intent_authentication_failure",
    }
)
# The members of Stripe's error that are kept. Its objects stay out: they hold client secrets and card data.
KEPT = (
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
        needs = {error.code, error.body.get("decline_code")} & AUTHENTICATION
        return "authentication_required" if needs else "card_declined"
    if isinstance(error, gateway.Missing):
        return "resource_missing"
    return "stripe_refused"


def of_error(error: gateway.GatewayError) -> dict[str, Any]:
    """The columns of an operation that Stripe refused."""
    code, decline = code_of(error), error.body.get("decline_code") or ""
    return {
        "code": code,
        "decline_code": decline,
        "message": error.message,
        "advice": advice_for(code, decline, error.code),
        "error": reduced(error),
        "stripe_request_id": error.request_id,
        "outcome_by": "nobody",
    }


def reduced(error: gateway.GatewayError) -> dict[str, Any]:
    """Stripe's error without its objects; of those only the ids, and the intent's status."""
    body = error.body
    kept: dict[str, Any] = {key: body[key] for key in KEPT if body.get(key) is not None}
    kept["status"] = error.status
    for member in ("charge", "payment_intent", "payment_method", "setup_intent"):
        value = body.get(member)
        if isinstance(value, dict):
            kept[member] = {key: value[key] for key in ("id", "object", "status") if key in value}
        elif isinstance(value, str):
            kept[member] = value
    return kept


def is_processing(spec: Spec, operation: Operation, invoice: dict[str, Any]) -> bool:
    """Whether Stripe took the payment while the money is on its way (a bank debit): answered 200, not yet paid."""
    return spec.charges(operation.params) and invoice.get("status") != "paid"


def succeeded(spec: Spec, operation: Operation, data: dict[str, Any]) -> dict[str, Any]:
    """The columns of an operation that took effect, by us."""
    processing = is_processing(spec, operation, data)
    number = data.get("number") or operation.invoice
    message = (
        f"Stripe has taken the payment of {number}; the bank is still processing it."
        if processing
        else f"{number} has been {spec.done_word}."
    )
    return {"processing": processing, "message": message, "outcome_by": "us", "code": "", "advice": ""}
