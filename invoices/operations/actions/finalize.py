"""Finalize: a draft takes a number and waits to be paid. `POST /v1/invoices/:id/finalize`."""

from __future__ import annotations

from invoices.models import Invoice
from invoices.operations.action import Action, Params, invoice_call
from invoices.operations.effects import invoice_shows
from invoices.operations.parameters import Parameter


class Finalize(Action):
    name = "finalize"
    label = "Finalize"
    may = "finalize an invoice"
    position = 50
    statuses = frozenset({"draft"})
    calls = invoice_call(
        "finalize",
        invoice_shows(lambda call, invoice: invoice.get("status") != "draft", events=("invoice.finalized",)),
    )
    undo = "It cannot be undone; a finalized invoice can be voided."
    done_word = "finalized"
    reasons = ("It is complete and was checked", "The customer asked for it now")
    parameters = (Parameter("auto_advance", "flag", "Let Stripe collect it", "Empty: as the invoice says."),)

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        said = ["The draft takes a number, can no longer be edited, and waits to be paid."]
        if not invoice.amount_due:
            said.append("Since nothing is due, it becomes paid at once.")
        if params.get("auto_advance", (invoice.data or {}).get("auto_advance")):
            said.append("Stripe goes on by itself: it charges the customer or e-mails the invoice, as it is set up.")
        return said
