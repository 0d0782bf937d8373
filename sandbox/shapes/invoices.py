"""A new draft invoice, invoice item and invoice line."""

from typing import Any

from sandbox import ACCOUNT
from sandbox.ids import ids
from sandbox.shapes.customers import of_customer
from sandbox.store import StripeObject

TRANSITIONS = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")


def invoice(now: int, customer: StripeObject, currency: str, delivered: bool) -> StripeObject:
    """A draft. `delivered`: no receiver waits for invoice.created, so `webhooks_delivered_at` is set at once."""
    id = ids.new("invoice")
    return {
        "id": id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        **of_customer(customer),
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": f"/v1/invoices/{id}/lines"},
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": {
            "amount_tax_display": None,
            "pdf": {"page_size": "auto"},
            "template": None,
            "template_version": None,
        },
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": dict.fromkeys(TRANSITIONS),
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "test_clock": None,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": now if delivered else None,
    }


def hosted_urls(invoice: StripeObject) -> StripeObject:
    place = f"{ACCOUNT}/test_{invoice['id'].removeprefix('in_')}"
    return {
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{place}?s=ap",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{place}/pdf?s=ap",
    }


def price_details(unit_amount: int | str) -> StripeObject:
    """The pricing of an item without a price of its own: Stripe creates a price and a product for the amount."""
    return {
        "price_details": {"price": ids.new("price"), "product": ids.new("product")},
        "type": "price_details",
        "unit_amount_decimal": str(unit_amount),
    }


def invoiceitem(now: int, customer: str, currency: str, amount: int, **members: Any) -> StripeObject:
    return {
        "id": ids.new("invoiceitem"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "date": now,
        "description": None,
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "net_amount": None,  # the amount, where discountable is false
        "parent": None,
        "period": {"end": now, "start": now},
        "pricing": price_details(amount) if "pricing" not in members else None,
        "proration": False,
        "proration_details": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
        **members,
    }


def line(invoice: str, item: StripeObject) -> StripeObject:
    """The line of an invoice item."""
    return {
        "id": ids.new("line_item"),
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": item["discountable"],
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": item["metadata"],
        "parent": {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
        "quantity_decimal": item["quantity_decimal"],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": [],
    }
