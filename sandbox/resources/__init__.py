"""The resources of the API, one module each; ROUTES has every address below /v1/."""

from sandbox.resources import (
    account,
    billing_portal,
    charges,
    credit_notes,
    customers,
    events,
    invoice_lines,
    invoice_payments,
    invoiceitems,
    invoices,
    mandates,
    payment_intents,
    payment_methods,
    payment_records,
    previews,
    products,
    refunds,
    sources,
    subscriptions,
    webhook_endpoints,
)
from sandbox.routes import Route

MODULES = (
    account,
    billing_portal,
    charges,
    credit_notes,
    customers,
    events,
    invoice_lines,
    invoice_payments,
    invoiceitems,
    invoices,
    mandates,
    payment_intents,
    payment_methods,
    payment_records,
    previews,
    products,
    refunds,
    sources,
    subscriptions,
    webhook_endpoints,
)
ROUTES: list[Route] = [route for module in MODULES for route in module.ROUTES]
