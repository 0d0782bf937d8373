"""What we keep: the mirror (mirrored.py), the journal (journal.py), who may knock (access.py)."""

from invoices.models.access import ApiToken, Heartbeat
from invoices.models.journal import Action, Batch, Drift, Event, Operation, Pause, ReconciliationRun
from invoices.models.mirrored import MIRRORED, Customer, Invoice, InvoicePayment, Mirrored, PaymentIntent

__all__ = [
    "MIRRORED",
    "Action",
    "ApiToken",
    "Batch",
    "Customer",
    "Drift",
    "Event",
    "Heartbeat",
    "Invoice",
    "InvoicePayment",
    "Mirrored",
    "Operation",
    "Pause",
    "PaymentIntent",
    "ReconciliationRun",
]
