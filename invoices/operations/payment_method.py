"""Which payment method a charge takes, and which card that is: from Stripe's objects, from its errors, from parameters.

Where nothing is chosen, Stripe charges the invoice's own default, else its subscription's, else the customer's (Stripe
docs: `default_payment_method` of each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _

from invoices import gateway
from invoices.models import Invoice
from invoices.models.reading import expandable_id, integer, member, text


@dataclass(frozen=True)
class PaymentMethodFacts:
    """A payment method, as far as it is known. The same card saved twice has two ids and one fingerprint."""

    id: str = ""
    fingerprint: str = ""  # Stripe's, of the card or bank account
    name: str = ""  # `Visa •••• 4242`
    expires: str = ""  # `8/2030`

    @classmethod
    def of(cls, data: Any) -> PaymentMethodFacts:
        """From a payment method, or a source of before, as Stripe has it; or from its id. Empty for anything else."""
        if not isinstance(data, dict):
            return cls(id=data[:255] if isinstance(data, str) else "")
        kind = text(data, "type") or text(data, "object") or ""
        details = member(data, kind) or data  # a card of before holds its members itself
        brand = text(details, "brand") or text(details, "bank_name") or kind.replace("_", " ")
        last4 = text(details, "last4")
        month, year = integer(details, "exp_month"), integer(details, "exp_year")
        return cls(
            id=text(data, "id") or "",
            fingerprint=text(details, "fingerprint") or "",
            name=brand.capitalize() + (f" •••• {last4}" if last4 else ""),
            expires=f"{month}/{year}" if month and year else "",
        )

    @property
    def words(self) -> str:
        """`Visa •••• 4242, expires 8/2030`."""
        if not self.expires:
            return self.name
        return _("{payment_method}, expires {month}").format(payment_method=self.name, month=self.expires)

    def is_same(self, other: PaymentMethodFacts) -> bool:
        """Whether both are known to be one card or bank account."""
        by_id = self.id != "" and self.id == other.id
        return by_id or (self.fingerprint != "" and self.fingerprint == other.fingerprint)


def chosen(params: Mapping[str, Any]) -> str:
    """The id of what the caller asked to be charged; empty for the default."""
    return str(params.get("payment_method") or params.get("source") or "")[:255]


def charged(error: Any) -> PaymentMethodFacts:
    """What Stripe tried to charge, from its error or a PaymentIntent's `last_payment_error`. Stripe leaves each of
    these members out at times."""
    intent = member(error, "payment_intent")
    places = (error, intent, member(intent, "last_payment_error"))
    found = (PaymentMethodFacts.of(member(place, name)) for place in places for name in ("payment_method", "source"))
    return next((method for method in found if method.id), PaymentMethodFacts())


def own_default(data: Any) -> str:
    """The id of the default payment method, or source, that an invoice or a subscription has of its own."""
    return expandable_id(data, "default_payment_method") or expandable_id(data, "default_source") or ""


def default_at_stripe(invoice: Invoice, *, throttled: bool = False) -> str:
    """The id of what Stripe charges when nothing is chosen, as Stripe has it now; empty where there is none.

    The invoice's own default is taken from `invoice`. Raises GatewayError.
    """
    if own := own_default(invoice.data):
        return own
    if invoice.subscription and (own := own_default(_read(f"/v1/subscriptions/{invoice.subscription}", throttled))):
        return own
    if not invoice.customer_id:
        return ""
    customer = _read(f"/v1/customers/{invoice.customer_id}", throttled)
    return (
        expandable_id(customer, "invoice_settings", "default_payment_method")
        or expandable_id(customer, "default_source")
        or ""
    )


def read(id: str, *, throttled: bool = False) -> PaymentMethodFacts:
    """The payment method as Stripe has it now; the id alone where Stripe knows no such one. Raises GatewayError."""
    return replace(PaymentMethodFacts.of(_read(f"/v1/payment_methods/{quote(id, safe='')}", throttled)), id=id)


def _read(path: str, throttled: bool) -> dict[str, Any]:
    """The object at this address; empty where Stripe has none. Raises GatewayError."""
    try:
        return gateway.read(path, throttled=throttled).data
    except (gateway.Missing, gateway.RefusedByStripe):
        return {}
