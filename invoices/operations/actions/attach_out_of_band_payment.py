"""Record a payment (attach out-of-band payment): record money that was received outside Stripe, the whole or a part.

Two calls: report the payment as a payment record, then attach that record to the invoice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from invoices import money
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations.action import Action, Call, Params, Results, expanding, remaining
from invoices.operations.effects import object_created, payment_attached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Invalid, Refusal

METHODS = ("Bank transfer", "Check", "Cash", "Other")


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


class AttachOutOfBandPayment(Action):
    name = "attach_out_of_band_payment"
    label = "Record a payment"
    stripe_term = "attach out-of-band payment"
    verb = "Record"
    may = "record a payment made outside Stripe"
    position = 20
    statuses = frozenset({"open"})
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
        "The money is on our bank account",
        "The customer sent a check",
        "The customer paid in cash",
        "Another system collected the money",
    )
    undo = "It cannot be undone."
    done_word = "credited with a payment received outside Stripe"
    parameters = (
        Parameter("amount", "money", "Amount", "The whole or a part of what remains.", required=True),
        Parameter("method", "choice", "Method", required=True, choices=METHODS),
        Parameter("reference", "text", "Reference", "Check number, bank reference."),
        Parameter("received_on", "date", "Received on", required=True),
        Parameter("note", "text", "Note"),
    )
    bulk_parameters = ("method", "reference", "received_on", "note")
    bulk_note = "Of each invoice the whole that remains is recorded as received."
    id_parameter = "invoice"

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return params.get("amount")

    def bulk_params(self, amount_remaining: int | None) -> dict[str, Any]:
        return {"amount": amount_remaining}

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        amount, whole = params.get("amount"), invoice.amount_remaining
        try:
            if amount is not None and invoice.currency:
                money.check(amount, invoice.currency)
        except money.BadAmount as error:
            return Invalid("amount", str(error))
        part = bool(amount) and whole is not None and params["amount"] < whole
        if part and invoice.subscription and invoice.collection_method == "charge_automatically":
            return Invalid(
                "amount",
                "An invoice of a subscription that is charged automatically takes no part payments: "
                f"give the whole, {remaining(invoice)}.",
            )
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        amount, whole = params.get("amount"), invoice.amount_remaining
        if amount is None or whole is None:
            return [f"A payment that you received outside Stripe is recorded. {remaining(invoice)} is still to pay."]
        said = [f"A payment of {money.text(amount, invoice.currency)} that you received outside Stripe is recorded."]
        if amount < whole:
            said.append(f"The invoice stays open with {money.text(whole - amount, invoice.currency)} to pay.")
        else:
            said.append("The invoice becomes paid.")
        if amount > whole:
            said.append(f"Stripe credits {money.text(amount - whole, invoice.currency)} to the customer's balance.")
        return [*said, "No money is moved."]

    def button(self, invoice: Invoice, params: Params) -> str:
        if params.get("amount") is None or not invoice.currency:
            return self.label
        return self.with_amounts(money.text(params["amount"], invoice.currency))
