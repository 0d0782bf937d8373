"""Send: Stripe e-mails the invoice to the customer. `POST /v1/invoices/:id/send`."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Code, Invoice, InvoicePayment
from invoices.models.reading import text
from invoices.operations.action import Action, Params, billed_to, invoice_call
from invoices.operations.effects import only_told_by_events
from invoices.operations.refusals import Refusal


class Send(Action):
    name = "send"
    label = gettext_noop("Send")
    may = gettext_noop("send an invoice")
    position = 60
    statuses = frozenset({"open"})
    calls = invoice_call("send", only_told_by_events("invoice.sent"))
    undo = gettext_noop("An e-mail cannot be called back.")
    done_word = gettext_noop("sent")
    reasons = (
        gettext_noop("The customer asked for it"),
        gettext_noop("The customer did not get it"),
        gettext_noop("It is a reminder"),
    )
    id_parameter = "invoice"

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if invoice.collection_method != "send_invoice":
            return Refusal(Code.INVOICE_NOT_OPEN, _("Only invoices that the customer pays on receipt can be sent."))
        return None

    def button(self, invoice: Invoice, params: Params) -> str:
        return _("Send now")

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        whom = text(invoice.data, "customer_email") or billed_to(invoice)
        return [_("Stripe e-mails the invoice to {customer}.").format(customer=whom)]
