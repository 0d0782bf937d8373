"""The back office's pages, one package ("room") per page.

Django's autodiscovery imports this package; the imports below import every module that registers a page.

What all rooms share is in the modules beside this file. A room imports those, and of another room only its `wording`.
One exception: the page of an operation also shows the payments and the decline advice that `invoices` prepares.
"""

from invoices.admin import (
    customers,
    emails,
    mentions,
    month_end,
    notes_and_promises,
    prepared_files,
    refetches,
    webhook_endpoints,
)
from invoices.admin.bank import statements, transactions
from invoices.admin.events import list as events_list
from invoices.admin.invoices import list as invoices_list
from invoices.admin.operations import batches, pauses
from invoices.admin.operations import list as operations_list
from invoices.admin.payments import charges, credit_notes, invoice_payments, payment_intents, refunds
from invoices.admin.people import api_tokens, sign_ins, users
from invoices.admin.reconciliation import drift, runs
from invoices.admin.reports import pages as report_pages

__all__ = [
    "api_tokens",
    "batches",
    "charges",
    "credit_notes",
    "customers",
    "drift",
    "emails",
    "events_list",
    "invoice_payments",
    "invoices_list",
    "mentions",
    "month_end",
    "notes_and_promises",
    "operations_list",
    "pauses",
    "payment_intents",
    "prepared_files",
    "refetches",
    "refunds",
    "report_pages",
    "runs",
    "sign_ins",
    "statements",
    "transactions",
    "users",
    "webhook_endpoints",
]
