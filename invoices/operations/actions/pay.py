"""Pay: charge the customer now, or mark the invoice as paid outside Stripe. `POST /v1/invoices/:id/pay`."""

from __future__ import annotations

from invoices.models import Code, Invoice, InvoicePayment
from invoices.operations.action import Action, Params, billed_to, has_attached_payment, invoice_call, remaining
from invoices.operations.effects import RuledOutBy, status_reached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Invalid, Refusal


class Pay(Action):
    name = "pay"
    label = "Pay"
    verb = "Pay"
    may = "pay an invoice"
    position = 10
    statuses = frozenset({"draft", "open", "uncollectible"})
    calls = invoice_call(
        "pay",
        status_reached(
            "paid",
            events=("invoice.paid", "invoice.payment_succeeded"),
            ruled_out_by=RuledOutBy("void", ("invoice.voided",)),
        ),
    )
    reasons = (
        "The customer asked us to charge now",
        "The customer has a new payment method",
        "What made the last charge fail is over",
    )
    undo = "A charge can be refunded, in Stripe's dashboard; a paid invoice never becomes open again."
    done_word = "paid"
    parameters = (
        Parameter("payment_method", "payment_method", "Payment method", "Empty: the customer's default."),
        Parameter("source", "id", "Source", "An older kind of payment method."),
        Parameter("mandate", "id", "Mandate", "For debits, where the payment method has several."),
        Parameter("off_session", "flag", "Customer is not present", "Stripe's default: yes."),
        Parameter("forgive", "flag", "Forgive a shortfall", "Takes what the source holds, forgives the rest."),
        Parameter("paid_out_of_band", "flag", "Paid outside Stripe", "Paid in full; nothing is charged."),
    )
    bulk_parameters = ()  # which payment method to take is a question about one invoice
    bulk_note = (
        "Each is charged to its own default payment method. If a customer's card is declined, it is not charged for "
        "that customer's other invoices within the hour."
    )

    def charges(self, params: Params) -> bool:
        return not params.get("paid_out_of_band")

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return invoice.amount_remaining if params.get("paid_out_of_band") or params.get("forgive") else None

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if params.get("paid_out_of_band") and invoice.status == "draft":
            return Refusal(Code.INVOICE_NOT_OPEN, "Finalize this draft before you mark it as paid out of band.")
        if has_attached_payment(payments):
            message = "A payment is attached and under way: wait for it, or cancel it, then pay."
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        if params.get("payment_method") and params.get("source"):
            return Invalid("source", "Give a payment method or a source, not both.")
        return None

    def button(self, invoice: Invoice, params: Params) -> str:
        return super().button(invoice, params) if self.charges(params) else f"Mark {remaining(invoice)} as paid"

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        said = []
        if invoice.status == "draft":
            said.append("The draft is finalized first: it takes a number and can no longer be edited.")
        if params.get("paid_out_of_band"):
            said.append(f"The invoice is marked as paid in full ({remaining(invoice)}). No money is moved.")
        else:
            to = params.get("payment_method") or params.get("source") or "the default payment method"
            said.append(f"{remaining(invoice)} is charged to {billed_to(invoice)}, on {to}, now.")
            said.append("Stripe e-mails a receipt if your account's settings say so.")
        if params.get("forgive"):
            said.append("If the source holds too little, what it holds is taken and the rest is forgiven.")
        if invoice.subscription:
            said.append("Its subscription becomes active again if this invoice held it up.")
        return said
