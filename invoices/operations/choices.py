"""What a person can choose from, read live from Stripe: saved payment methods, a link to update a card."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from invoices import gateway
from invoices.models.reading import member


@dataclass(frozen=True)
class SavedMethod:
    """One of the customer's saved payment methods: its id, and in words `Visa •••• 4242, expires 8/2030`."""

    id: str
    words: str


def payment_methods(customer: str) -> list[SavedMethod]:
    """The customer's saved payment methods, as Stripe has them now. Raises GatewayError."""
    found = gateway.walk(f"/v1/customers/{customer}/payment_methods", most=100)
    return [SavedMethod(method["id"], _words(method)) for method in found]


def _words(method: dict[str, Any]) -> str:
    kind = str(method.get("type") or "")
    details = method.get(kind) or {}
    name = str(details.get("brand") or details.get("bank_name") or kind.replace("_", " ")).capitalize()
    last4 = details.get("last4")
    month, year = details.get("exp_month"), details.get("exp_year")
    return name + (f" •••• {last4}" if last4 else "") + (f", expires {month}/{year}" if month and year else "")


def update_card_link(customer: str) -> str:
    """A link with which the customer updates the card: a billing-portal session, made on demand, short-lived.

    Raises GatewayError.
    """
    params = {"customer": customer, "flow_data": {"type": "payment_method_update"}}
    reply = gateway.act("/v1/billing_portal/sessions", params, key=str(uuid.uuid4()))
    return str(member(reply.data, "url") or "")


def attachable(params: dict[str, Any]) -> dict[str, Any]:
    """The payment that is to be attached, as Stripe has it: {id, customer, currency, amount, status}.

    Raises GatewayError; Missing where there is no such payment.
    """
    if intent := params.get("payment_intent"):
        data = gateway.read(f"/v1/payment_intents/{intent}").data
        return {name: data.get(name) for name in ("id", "customer", "currency", "amount", "status")}
    data = gateway.read(f"/v1/payment_records/{params['payment_record']}").data
    return {
        "id": data.get("id"),
        "customer": member(data, "customer_details", "customer"),
        "currency": member(data, "amount_requested", "currency"),
        "amount": member(data, "amount_requested", "value"),
        "status": "succeeded" if member(data, "amount_guaranteed", "value") else "not guaranteed",
    }
