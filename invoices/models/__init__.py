"""What we keep: the mirror (mirrored.py), the journal (journal.py), who may knock (access.py)."""

from invoices.models.access import ApiToken, Heartbeat
from invoices.models.journal import Action, Drift, Event, Operation, ReconciliationRun
from invoices.models.mirrored import MIRRORED, Customer, Invoice, InvoicePayment, Mirrored, PaymentIntent

__all__ = [
    "MIRRORED",
    "Action",
    "ApiToken",
    "Customer",
    "Drift",
    "Event",
    "Heartbeat",
    "Invoice",
    "InvoicePayment",
    "Mirrored",
    "Operation",
    "PaymentIntent",
    "ReconciliationRun",
]
