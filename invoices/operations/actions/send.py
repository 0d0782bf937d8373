"""Send: Stripe e-mails the invoice to the customer. `POST /v1/invoices/:id/send`."""

from __future__ import annotations

from invoices.models import Code, Invoice, InvoicePayment
from invoices.models.reading import text
from invoices.operations.action import Action, Params, billed_to, invoice_call
from invoices.operations.effects import only_told_by_events
from invoices.operations.refusals import Refusal


class Send(Action):
    name = "send"
    label = "Send"
    may = "send an invoice"
    position = 60
    statuses = frozenset({"open"})
    calls = invoice_call("send", only_told_by_events("invoice.sent"))
    undo = "An e-mail cannot be called back."
    done_word = "sent"
    reasons = ("The customer asked for it", "The customer did not get it", "It is a reminder")
    id_parameter = "invoice"

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if invoice.collection_method != "send_invoice":
            return Refusal(Code.INVOICE_NOT_OPEN, "Only invoices that the customer pays on receipt can be sent.")
        return None

    def button(self, invoice: Invoice, params: Params) -> str:
        return f"{self.label} now"

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        return [f"Stripe e-mails the invoice to {text(invoice.data, 'customer_email') or billed_to(invoice)}."]
