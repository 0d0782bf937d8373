"""Void: the customer no longer owes it, and the number stays used. `POST /v1/invoices/:id/void`."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Code, Invoice, InvoicePayment
from invoices.operations.action import Action, Params, billed_to, has_attached_payment, invoice_call, remaining
from invoices.operations.effects import RuledOutBy, status_reached
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Refusal


class Void(Action):
    name = "void"
    label = gettext_noop("Void")
    verb = gettext_noop("Void {amounts}")
    may = gettext_noop("void an invoice")
    position = 30
    statuses = frozenset({"open", "uncollectible"})
    calls = invoice_call(
        "void",
        status_reached(
            "void",
            events=("invoice.voided",),
            ruled_out_by=RuledOutBy("paid", ("invoice.paid", "invoice.payment_succeeded")),
        ),
    )
    undo = gettext_noop("It cannot be undone. To bill again, make a new invoice.")
    done_word = gettext_noop("voided")
    danger = True
    reasons = (
        gettext_noop("The invoice was made by mistake"),
        gettext_noop("The invoice was made twice"),
        gettext_noop("The customer or an amount on it is wrong"),
        gettext_noop("The customer cancelled in time"),
    )
    bulk_parameters = ()

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return invoice.amount_remaining

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if any(payment.status == "paid" for payment in payments):
            return Refusal(Code.INVOICE_NOT_OPEN, _("Invoices with `paid` payments cannot be voided."))
        if has_attached_payment(payments):
            message = _("A payment is attached and under way: wait for it, or cancel it, then void.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        owes = _("{customer} no longer owes {amount}. No money is moved, and the number stays used.")
        said = [owes.format(customer=billed_to(invoice), amount=remaining(invoice))]
        if invoice.subscription:
            said.append(_("The subscription does not end by this; its next invoice comes as planned."))
        return said
