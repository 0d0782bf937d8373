"""Record a payment (attach out-of-band payment): record money that was received outside Stripe, the whole or a part.

Two calls: report the payment as a payment record, then attach that record to the invoice.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations.action import (
    Action,
    Call,
    Params,
    Results,
    amount_refusal,
    expanding,
    part_refusal,
    remaining,
)
from invoices.operations.effects import object_created, payment_attached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Invalid, Refusal
from invoices.thresholds import REPEATED_FORM, REPEATED_RECORD

METHODS = (gettext_noop("Bank transfer"), gettext_noop("Check"), gettext_noop("Cash"), gettext_noop("Other"))


def _report_payment(operation: Operation, results: Results) -> dict[str, Any]:
    params = operation.params
    received = int(datetime.fromisoformat(params["received_on"]).replace(tzinfo=UTC).timestamp())
    body: dict[str, Any] = {
        "amount_requested": {"currency": operation.before["currency"], "value": params["amount"]},
        "initiated_at": received,
        "outcome": "guaranteed",
        "guaranteed": {"guaranteed_at": received},
        "payment_method_details": {"type": "custom", "custom": {"display_name": params["method"]}},
        # By this settling finds the record that we made, even if Stripe's reply never came.
        "metadata": {"operation": str(operation.stripe_key_base), "invoice": operation.invoice},
    }
    if operation.before.get("customer"):
        body["customer_details"] = {"customer": operation.before["customer"]}
    if params.get("reference"):
        body["processor_details"] = {"type": "custom", "custom": {"payment_reference": params["reference"]}}
    if params.get("note"):
        body["description"] = params["note"]
    return body


def _attach_record(operation: Operation, results: Results) -> dict[str, Any]:
    return {"payment_record": results["report_payment"].id, **expanding(operation)}


def _reference(invoice: Invoice, params: Params) -> str:
    """By which the payment can be told from others, however it is written; empty where it cannot: without a digit it is
    a word such as "cash", and the invoice's number stands on every transfer for it."""
    letters = _letters(params.get("reference") or "")
    return letters if any(map(str.isdigit, letters)) and letters != _letters(invoice.number or "") else ""


def _letters(text: str) -> str:
    """Without spaces and signs. Unicode writes one letter in several ways, such as full-width or with a mark of its
    own: what is copied from a bank's file or a PDF often has another than what is typed."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


class AttachOutOfBandPayment(Action):
    name = "attach_out_of_band_payment"
    label = gettext_noop("Record a payment")
    stripe_term = "attach out-of-band payment"
    verb = gettext_noop("Record {amounts}")
    may = gettext_noop("record a payment made outside Stripe")
    position = 20
    # Stripe documents that an uncollectible invoice can be paid, and not whether this is a way: its answer is shown.
    statuses = frozenset({"open", "uncollectible"})
    calls = (
        Call(
            "report_payment",
            "/v1/payment_records/report_payment",
            _report_payment,
            object_created("/v1/payment_records"),
        ),
        Call(
            "attach_payment",
            "/v1/invoices/{invoice}/attach_payment",
            _attach_record,
            payment_attached(events=("invoice.paid", "invoice.updated", "invoice_payment.paid"), payment_is_ours=True),
        ),
    )
    reasons = (
        gettext_noop("The money is on our bank account"),
        gettext_noop("The customer sent a check"),
        gettext_noop("The customer paid in cash"),
        gettext_noop("Another system collected the money"),
    )
    undo = gettext_noop("It cannot be undone.")
    done_word = gettext_noop("credited with a payment received outside Stripe")
    parameters = (
        Parameter(
            "amount",
            "money",
            gettext_noop("Amount"),
            gettext_noop("The whole or a part of what remains."),
            required=True,
        ),
        Parameter("method", "choice", gettext_noop("Method"), required=True, choices=METHODS),
        Parameter("reference", "text", gettext_noop("Reference"), gettext_noop("Check number, bank reference.")),
        Parameter("received_on", "date", gettext_noop("Received on"), required=True),
        Parameter("note", "text", gettext_noop("Note")),
    )
    bulk_parameters = ("method", "reference", "received_on", "note")
    bulk_note = gettext_noop("Of each invoice the whole that remains is recorded as received.")
    id_parameter = "invoice"
    repeated_within = REPEATED_RECORD
    payment_type = "payment_record"

    def is_repeat(
        self, invoice: Invoice, params: Params, earlier: Params, *, on_same_invoice: bool, ago: timedelta
    ) -> bool:
        ours, theirs = _reference(invoice, params), _reference(invoice, earlier)
        if ours and ours == theirs:
            return True
        if params.get("amount") != earlier.get("amount"):
            return False
        if on_same_invoice and (ago < REPEATED_FORM or "received_on" not in earlier):
            return True
        # Two invoices of one amount, paid on one day by two transfers, each with a reference of its own, are ordinary.
        are_two = bool(ours and theirs) and not on_same_invoice
        return params.get("received_on") == earlier.get("received_on") and not are_two

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return params.get("amount")

    def bulk_params(self, amount_remaining: int | None) -> dict[str, Any]:
        return {"amount": amount_remaining}

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        amount, whole = params.get("amount"), invoice.amount_remaining
        if refusal := amount_refusal(invoice, amount):
            return refusal
        if amount and whole is not None and amount < whole and (said := part_refusal(invoice)):
            give = _("Give the whole, {amount}.").format(amount=remaining(invoice))
            return Invalid("amount", f"{said} {give}")
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        amount, whole = params.get("amount"), invoice.amount_remaining
        if amount is None or whole is None:
            recorded = _("A payment that you received outside Stripe is recorded. {amount} is still to pay.")
            return [recorded.format(amount=remaining(invoice))]

        def with_amount(sentence: str, minor_units: int) -> str:
            return sentence.format(amount=money.text(minor_units, invoice.currency))

        said = [with_amount(_("A payment of {amount} that you received outside Stripe is recorded."), amount)]
        if amount < whole:
            said.append(with_amount(_("The invoice stays open with {amount} to pay."), whole - amount))
        else:
            said.append(_("The invoice becomes paid."))
        if amount > whole:
            said.append(with_amount(_("Stripe credits {amount} to the customer's balance."), amount - whole))
        return [*said, _("No money is moved.")]

    def button(self, invoice: Invoice, params: Params) -> str:
        if params.get("amount") is None or not invoice.currency:
            return _(self.label)
        return self.with_amounts(money.text(params["amount"], invoice.currency))
