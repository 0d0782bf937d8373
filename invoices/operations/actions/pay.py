"""Pay: charge the customer now, or mark the invoice as paid outside Stripe. `POST /v1/invoices/:id/pay`."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Code, Invoice, InvoicePayment
from invoices.operations.action import Action, Params, billed_to, has_attached_payment, invoice_call, remaining
from invoices.operations.effects import RuledOutBy, status_reached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Invalid, Refusal


class Pay(Action):
    name = "pay"
    label = gettext_noop("Pay")
    verb = gettext_noop("Pay {amounts}")
    may = gettext_noop("pay an invoice")
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
        gettext_noop("The customer asked us to charge now"),
        gettext_noop("The customer has a new payment method"),
        gettext_noop("What made the last charge fail is over"),
    )
    undo = gettext_noop("A charge can be refunded, in Stripe's dashboard; a paid invoice never becomes open again.")
    done_word = gettext_noop("paid")
    parameters = (
        Parameter(
            "payment_method",
            "payment_method",
            gettext_noop("Payment method"),
            gettext_noop("Empty: the customer's default."),
        ),
        Parameter("source", "id", gettext_noop("Source"), gettext_noop("An older kind of payment method.")),
        Parameter(
            "mandate", "id", gettext_noop("Mandate"), gettext_noop("For debits, where the payment method has several.")
        ),
        Parameter(
            "off_session", "flag", gettext_noop("Customer is not present"), gettext_noop("Stripe's default: yes.")
        ),
        Parameter(
            "forgive",
            "flag",
            gettext_noop("Forgive a shortfall"),
            gettext_noop("Takes what the source holds, forgives the rest."),
        ),
        Parameter(
            "paid_out_of_band",
            "flag",
            gettext_noop("Paid outside Stripe"),
            gettext_noop("Paid in full; nothing is charged."),
        ),
    )
    bulk_parameters = ()  # which payment method to take is a question about one invoice
    bulk_note = gettext_noop(
        "Each is charged to its own default payment method. If a customer's card is declined, it is not charged for "
        "that customer's other invoices within the hour."
    )

    def charges(self, params: Params) -> bool:
        return not params.get("paid_out_of_band")

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        return invoice.amount_remaining if params.get("paid_out_of_band") or params.get("forgive") else None

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if params.get("paid_out_of_band") and invoice.status == "draft":
            return Refusal(Code.INVOICE_NOT_OPEN, _("Finalize this draft before you mark it as paid out of band."))
        if has_attached_payment(payments):
            message = _("A payment is attached and under way: wait for it, or cancel it, then pay.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        if params.get("payment_method") and params.get("source"):
            return Invalid("source", _("Give a payment method or a source, not both."))
        return None

    def undoing(self, params: Params) -> str:
        if self.charges(params):
            return super().undoing(params)
        return _("It cannot be undone: a paid invoice never becomes open again.")

    def button(self, invoice: Invoice, params: Params) -> str:
        if self.charges(params):
            return super().button(invoice, params)
        return _("Mark {amount} as paid").format(amount=remaining(invoice))

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        said = []
        if invoice.status == "draft":
            said.append(_("The draft is finalized first: it takes a number and can no longer be edited."))
        if params.get("paid_out_of_band"):
            marked = _("The invoice is marked as paid in full ({amount}). No money is moved.")
            said.append(marked.format(amount=remaining(invoice)))
        else:
            charged = _("{amount} is charged to {customer}, on {payment_method}, now.")
            if not (method := params.get("payment_method") or params.get("source")):
                charged = _("{amount} is charged to {customer}, on the default payment method, now.")
            said.append(charged.format(amount=remaining(invoice), customer=billed_to(invoice), payment_method=method))
            said.append(_("Stripe e-mails a receipt if your account's settings say so."))
        if params.get("forgive"):
            said.append(_("If the source holds too little, what it holds is taken and the rest is forgiven."))
        if invoice.subscription:
            said.append(_("Its subscription becomes active again if this invoice held it up."))
        return said
