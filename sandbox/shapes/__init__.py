"""New objects as Stripe creates them, with every member that the API shows."""

from sandbox.shapes.credits import credit_note, credit_note_line, refund, refund_of_credit_note
from sandbox.shapes.customers import billing_details, customer, no_address, of_customer
from sandbox.shapes.invoices import hosted_urls, invoice, invoiceitem, line, price_details
from sandbox.shapes.payments import charge, declined_outcome, invoice_payment, payment_intent
from sandbox.shapes.subscriptions import (
    period_of,
    price,
    product,
    subscription,
    subscription_line,
    subscription_parent,
)

__all__ = [
    "billing_details",
    "charge",
    "credit_note",
    "credit_note_line",
    "customer",
    "declined_outcome",
    "hosted_urls",
    "invoice",
    "invoice_payment",
    "invoiceitem",
    "line",
    "no_address",
    "of_customer",
    "payment_intent",
    "period_of",
    "price",
    "price_details",
    "product",
    "refund",
    "refund_of_credit_note",
    "subscription",
    "subscription_line",
    "subscription_parent",
]
