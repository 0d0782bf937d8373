"""Update due date: give the customer of a draft more time. `POST /v1/invoices/:id` with `due_date`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from invoices.models import Code, Invoice, InvoicePayment, Operation
from invoices.operations.action import Action, Call, Params, Results, expanding
from invoices.operations.effects import invoice_shows
from invoices.operations.parameters import Parameter
from invoices.operations.refusals import Refusal


def _due_date(operation: Operation, results: Results) -> dict[str, Any]:
    day = datetime.fromisoformat(operation.params["due_date"]).replace(tzinfo=UTC)
    return {"due_date": int(day.timestamp()), **expanding(operation)}


class UpdateDueDate(Action):
    name = "update_due_date"
    label = "Update due date"
    may = "change when an invoice is due"
    position = 80
    statuses = frozenset({"draft"})  # Stripe docs: `due_date` can only be updated on draft invoices
    calls = (
        Call(
            "update_due_date",
            "/v1/invoices/{invoice}",
            _due_date,
            invoice_shows(
                lambda call, invoice: invoice.get("due_date") == call.params["due_date"], events=("invoice.updated",)
            ),
        ),
    )
    undo = "It can be changed again."
    done_word = "given a new due date"
    parameters = (Parameter("due_date", "date", "Due date", required=True, future=True),)

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if invoice.collection_method != "send_invoice":
            return Refusal(Code.INVOICE_NOT_OPEN, "Only invoices that are sent to the customer have a due date.")
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        return [f"The invoice is due on {params.get('due_date', 'the day that you choose')}. No e-mail is sent."]
