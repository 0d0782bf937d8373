"""A new customer, and the customer's members that an invoice copies."""

from sandbox.ids import ids
from sandbox.store import StripeObject


def customer(now: int, prefix: str) -> StripeObject:
    """`prefix` begins the customer's invoice numbers."""
    return {
        "id": ids.new("customer"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def of_customer(customer: StripeObject) -> StripeObject:
    """The members that an invoice copies from its customer, until finalization freezes them."""
    return {
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
    }


def billing_details() -> StripeObject:
    return {**dict.fromkeys(("email", "name", "phone", "tax_id")), "address": no_address()}


def no_address() -> StripeObject:
    return dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
