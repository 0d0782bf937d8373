"""One module per resource of the API; together they are all the addresses there are."""

from sandbox.resources import (
    charges,
    customers,
    events,
    invoice_payments,
    invoiceitems,
    invoices,
    payment_intents,
    payment_methods,
    payment_records,
    webhook_endpoints,
)
from sandbox.routes import Route

ROUTES: list[Route] = [
    route
    for module in (
        charges,
        customers,
        events,
        invoice_payments,
        invoiceitems,
        invoices,
        payment_intents,
        payment_methods,
        payment_records,
        webhook_endpoints,
    )
    for route in module.ROUTES
]
