"""Write off (mark uncollectible): count it as bad debt; it can still be paid.

`POST /v1/invoices/:id/mark_uncollectible`.
"""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Code, Invoice, InvoicePayment
from invoices.operations.action import Action, Params, billed_to, has_attached_payment, invoice_call, remaining
from invoices.operations.effects import status_reached
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Refusal


class MarkUncollectible(Action):
    name = "mark_uncollectible"
    label = gettext_noop("Write off")
    stripe_term = "mark uncollectible"
    verb = gettext_noop("Write off {amounts}")
    may = gettext_noop("mark an invoice uncollectible")
    position = 40
    statuses = frozenset({"open"})
    calls = invoice_call(
        "mark_uncollectible", status_reached("uncollectible", events=("invoice.marked_uncollectible",))
    )
    undo = gettext_noop("It cannot be undone, but the invoice can still be paid.")
    done_word = gettext_noop("marked uncollectible")
    danger = True
    reasons = (
        gettext_noop("The customer is insolvent"),
        gettext_noop("The customer cannot be reached"),
        gettext_noop("Collecting it would cost more than it brings"),
        gettext_noop("The claim is disputed"),
    )
    bulk_parameters = ()

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return invoice.amount_remaining

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if has_attached_payment(payments):
            message = _("A payment is attached and under way: wait for it, or cancel it.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        return [
            _("{amount} counts as bad debt in your reports. No money is moved.").format(amount=remaining(invoice)),
            _("{customer} can still pay it.").format(customer=billed_to(invoice)),
        ]
