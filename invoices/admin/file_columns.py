"""Which columns of a file stand for a column that a list shows, for files that have what is shown.

An amount brings its currency and its minor units with it, and what names a record brings its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Model

from invoices.models import (
    ApiToken,
    BankStatement,
    BankTransaction,
    Batch,
    Charge,
    CreditNote,
    Customer,
    Drift,
    Email,
    Event,
    Invoice,
    InvoicePayment,
    MonthClose,
    Note,
    Operation,
    Pause,
    PaymentIntent,
    Promise,
    ReconciliationRun,
    Refund,
    ScheduledRefetch,
    SignInRecord,
    WebhookEndpoint,
)
from invoices.record_tables import Field


def _amount(*labels: str) -> tuple[str, ...]:
    return ("Currency", *(each for label in labels for each in (label, f"{label} (minor units)")))


_CREATED = {"created_": ("Created (UTC)",), "as_of": ("As of (UTC)",)}
_WHO = ("Customer", "Customer e-mail", "Customer id")

# Of each list: its columns, by their names in `list_display`, and the labels in its table.
SHOWN: dict[type[Model], dict[str, Sequence[str]]] = {
    Invoice: {
        "number_": ("Invoice", "Invoice id"),
        "customer_": _WHO,
        "status_": ("Status",),
        "amount_": _amount("Due", "Remaining"),
        "due_": (
            *("Due date (UTC)", "Next attempt (UTC)"),
            *("Paid at (UTC)", "Voided (UTC)", "Marked uncollectible (UTC)"),
        ),
        "work_": ("Assigned to", "Promised until"),
        "created_": ("Created (UTC)",),
        "remaining_": _amount("Remaining"),
        "total_": _amount("Total"),
        "age_": ("Created (UTC)",),
        "paid_": ("Paid at (UTC)",),
    },
    Customer: {
        "name_": ("Customer",),
        "email_": ("Customer e-mail",),
        "id_": ("Customer id",),
        **_CREATED,
    },
    InvoicePayment: {
        "id_": ("Payment id",),
        "invoice_": ("Invoice", "Invoice id"),
        "customer_": _WHO,
        "amount_": _amount("Requested", "Paid"),
        "status_": ("Status",),
        "paid_": ("Paid at (UTC)", "Received on"),
        "paid_through": ("Through", "Method", "Reference", "PaymentIntent id", "Payment record id", "Charge id"),
        **_CREATED,
    },
    PaymentIntent: {
        "id_": ("PaymentIntent id",),
        "amount_": _amount("Amount"),
        "status_": ("Status",),
        "stripe_message": ("Stripe said",),
        **_CREATED,
    },
    Charge: {
        "id_": ("Charge id",),
        "amount_": _amount("Amount"),
        "status_": ("Status",),
        "method_": ("Paid with", "Card or bank", "Last four digits", "Failure code"),
        **_CREATED,
    },
    CreditNote: {
        "id_": ("Credit note id",),
        "number_": ("Credit note",),
        "invoice_": ("Invoice", "Invoice id"),
        "amount_": _amount("Amount"),
        "type_": ("Type",),
        "status_": ("Status",),
        **_CREATED,
    },
    Refund: {
        "id_": ("Refund id",),
        "amount_": _amount("Amount"),
        "status_": ("Status",),
        "intent_": ("PaymentIntent id",),
        "charge_": ("Charge id",),
        **_CREATED,
    },
    Operation: {
        "what": ("Action", "Operation id"),
        "invoice_": ("Invoice", "Invoice id"),
        "customer_": _WHO,
        "amount_": _amount("Amount"),
        "state_": ("State",),
        "outcome_": ("Code", "Decline code", "Message"),
        "who_": ("Asked by", "Way in"),
        "why": ("Reason", "Ticket"),
        "when": ("Asked (UTC)",),
        "decided_by_": ("Decided by",),
    },
    Note: {
        "invoice_": ("Invoice", "Invoice id", "Note id"),
        "customer_": _WHO,
        "text_": ("Note",),
        "author_": ("Author",),
        "when": ("Written (UTC)", "Last edited (UTC)"),
    },
    Promise: {
        "invoice_": ("Invoice", "Invoice id", "Promise id"),
        "customer_": _WHO,
        "amount_": _amount("Promised"),
        "day_": ("Promised until",),
        "state_": ("State", "Because"),
        "who_": ("Recorded by",),
        "when": ("Recorded (UTC)",),
    },
    Batch: {
        "what": ("Action", "Batch id"),
        "invoices_": ("Invoices", "Succeeded", "Not done", "Money under way"),
        "state_": ("State",),
        "who": ("Asked by",),
        "why": ("Reason", "Ticket"),
        "when": ("Asked (UTC)",),
    },
    Pause: {
        "what": ("Action",),
        "state_": ("Resumed (UTC)", "Resumed by"),
        "why": ("Reason",),
        "who": ("Paused by",),
        "since": ("Since (UTC)",),
        "until": ("Until (UTC)",),
        "resume_": (),  # a button
    },
    ApiToken: {
        "name_": ("Name", "Begins with"),
        "acts_as": ("User",),
        "made_by": ("Created by", "Command run by"),
        "may": ("For",),
        "last_used": ("Last used (UTC)",),
        "created_": ("Created (UTC)",),
        "expires": ("Expires (UTC)", "Revoked (UTC)"),
    },
    WebhookEndpoint: {
        "url_": ("Address", "Endpoint id"),
        "state_": ("Failing since (UTC)", "Disabled (UTC)", "Disabled because"),
        "takes": ("Takes",),
        "owner": ("Owner",),
        "created": ("Made (UTC)",),
    },
    Email: {
        "subject_": ("Subject", "About"),
        "recipient_": ("To",),
        "state_": ("State", "Failed attempts"),
        "error_": ("Last error",),
        "written": ("Written (UTC)",),
    },
    Event: {
        "what": ("Type", "Event id"),
        "object_": ("Object", "Object id"),
        "state_": ("State", "Because"),
        "created_": ("Stripe's stamp (UTC)",),
        "received": ("Received (UTC)",),
    },
    ReconciliationRun: {
        "what": ("Kind", "Dry run", "Run"),
        "state_": ("State",),
        "result": ("Exit code", "Error", "Seen"),
        "started": ("Began (UTC)",),
        "took": ("Ended (UTC)",),
        "drift_": ("Healed", "Left"),
    },
    Drift: {
        "what": ("Difference", "Field"),
        "object_": ("Object", "Object id"),
        "healed": ("Healed (UTC)", "Explanation", "Explained by"),
        "found": ("Found (UTC)",),
        "run_": ("Run",),
    },
    ScheduledRefetch: {
        "object_": ("Object", "Object id"),
        "state_": ("State",),
        "error_": ("Last error",),
        "attempts_": ("Attempts",),
        "asked": ("Asked for (UTC)",),
        "due": ("Next attempt (UTC)",),
    },
    MonthClose: {
        "month_": ("Month", "Time zone", "Journal position", "Journal head"),
        "times": ("Closing",),
        "who": ("Closed by",),
        "when": ("Closed (UTC)",),
        "why": ("Reason",),
    },
    BankStatement: {
        "name_": ("Account", "Number", "Statement id"),
        "period_": ("From", "To"),
        "lines_": ("Lines", "Known before"),
        "opening_": _amount("Opening balance"),
        "closing_": _amount("Closing balance"),
        "format_": ("Format", "File", "SHA-256"),
        "who": ("Uploaded by",),
        "when": ("Uploaded (UTC)",),
    },
    BankTransaction: {
        "payer_": ("Payer", "Payer's account", "Transaction id"),
        "text_": ("Text", "Reference", "End-to-end reference", "Bank's reference"),
        "amount_": _amount("Amount"),
        "left_": _amount("Left to match"),
        "state_": ("State", "Pays"),
        "proposal_": ("Confidence", "Proposed invoices"),
        "booked_": ("Booked", "Value date"),
        "account_": ("Account",),
    },
    SignInRecord: {
        "when": ("When (UTC)",),
        "what_": ("What",),
        "account": ("Account",),
        "by_": ("By",),
        "detail_": ("Detail", "Reason"),
        "address_": ("Address",),
    },
}


def as_shown(model: Any, fields: Sequence[Field], columns: Iterable[str]) -> list[Field]:
    """Those of these fields that stand for the columns of the list, in the list's order, each once."""
    by_label = {field.column.label: field for field in fields}
    labels = [label for name in columns for label in SHOWN[model].get(name, ())]
    return [by_label[label] for label in dict.fromkeys(labels) if label in by_label]
