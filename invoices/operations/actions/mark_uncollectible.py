"""Write off (mark uncollectible): count it as bad debt; it can still be paid.

`POST /v1/invoices/:id/mark_uncollectible`.
"""

from __future__ import annotations

from invoices.models import Code, Invoice, InvoicePayment
from invoices.operations.action import Action, Params, billed_to, has_attached_payment, invoice_call, remaining
from invoices.operations.effects import status_reached
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Refusal


class MarkUncollectible(Action):
    name = "mark_uncollectible"
    label = "Write off"
    stripe_term = "mark uncollectible"
    verb = "Write off"
    may = "mark an invoice uncollectible"
    position = 40
    statuses = frozenset({"open"})
    calls = invoice_call(
        "mark_uncollectible", status_reached("uncollectible", events=("invoice.marked_uncollectible",))
    )
    undo = "It cannot be undone, but the invoice can still be paid."
    done_word = "marked uncollectible"
    danger = True
    reasons = (
        "The customer is insolvent",
        "The customer cannot be reached",
        "Collecting it would cost more than it brings",
        "The claim is disputed",
    )
    bulk_parameters = ()

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return invoice.amount_remaining

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if has_attached_payment(payments):
            message = "A payment is attached and under way: wait for it, or cancel it."
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        return None

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        return [
            f"{remaining(invoice)} counts as bad debt in your reports. No money is moved.",
            f"{billed_to(invoice)} can still pay it.",
        ]
