"""What a form asks Stripe at once: saved payment methods, the payment to attach, a link for updating the card."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_noop

from invoices import gateway
from invoices.models.reading import expandable_id, integer, member, text
from invoices.operations.payment_method import PaymentMethodFacts


def payment_methods(customer: str) -> list[PaymentMethodFacts]:
    """The customer's saved payment methods, as Stripe has them now. Raises GatewayError."""
    found = gateway.walk(f"/v1/customers/{customer}/payment_methods", stop_after=100)
    return [PaymentMethodFacts.of(method) for method in found]


def update_card_link(customer: str) -> str:
    """A link with which the customer updates the card: a billing-portal session, made on demand, short-lived.

    Raises GatewayError.
    """
    params = {"customer": customer, "flow_data": {"type": "payment_method_update"}}
    reply = gateway.act("/v1/billing_portal/sessions", params, idempotency_key=str(uuid.uuid4()))
    return str(member(reply.data, "url") or "")


@dataclass(frozen=True)
class AttachablePayment:
    """A payment that is to be attached to an invoice, as Stripe has it. Members are None where Stripe does not say."""

    customer: str | None  # its id
    currency: str | None
    amount: int | None  # minor units
    status: str  # of a PaymentIntent Stripe's; of a payment record "succeeded" or "not guaranteed"


def attachable(params: Mapping[str, Any]) -> AttachablePayment:
    """The payment that the parameters name, by either id. Raises GatewayError; Missing where there is none."""
    if intent := params.get("payment_intent"):
        data = gateway.read(f"/v1/payment_intents/{quote(intent, safe='')}").data
        return AttachablePayment(
            expandable_id(data, "customer"), text(data, "currency"), integer(data, "amount"), text(data, "status") or ""
        )
    data = gateway.read(f"/v1/payment_records/{quote(params['payment_record'], safe='')}").data
    return AttachablePayment(
        text(data, "customer_details", "customer"),
        text(data, "amount_requested", "currency"),
        integer(data, "amount_requested", "value"),
        "succeeded" if member(data, "amount_guaranteed", "value") else gettext_noop("not guaranteed"),
    )
