"""Link a payment (attach payment): credit a PaymentIntent or a payment record to the invoice.

`POST /v1/invoices/:id/attach_payment`.
"""

from __future__ import annotations

from invoices import gateway
from invoices.models import Invoice, InvoicePayment
from invoices.operations import outcomes
from invoices.operations.action import Action, Params, invoice_call
from invoices.operations.effects import payment_attached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment, attachable
from invoices.operations.refusals import Invalid, Refusal


class AttachPayment(Action):
    name = "attach_payment"
    label = "Link a payment"
    stripe_term = "attach payment"
    reasons = ("The customer paid by another way at Stripe", "The payment was made for this invoice")
    may = "attach a payment to an invoice"
    position = 70
    statuses = frozenset({"open"})
    calls = invoice_call(
        "attach_payment",
        payment_attached(events=("invoice.updated", "invoice.paid", "invoice_payment.paid"), payment_is_ours=False),
    )
    undo = "It cannot be undone."
    done_word = "given the payment"
    parameters = (
        Parameter("payment_intent", "id", "PaymentIntent", placeholder="pi_…", one_of="one of the two"),
        Parameter("payment_record", "id", "Payment record", placeholder="pyr_…", one_of="one of the two"),
    )
    id_parameter = "invoice"
    credited_later = True

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if bool(params.get("payment_intent")) == bool(params.get("payment_record")):
            return Invalid("payment_intent", "Give either a PaymentIntent or a payment record.")
        return None

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        """The whole payment: where it is more than remains, Stripe credits the rest to the customer. As long as Stripe
        was not asked, nobody knows it."""
        return payment.amount if payment else None

    def look_up(self, params: Params) -> AttachablePayment | None:
        name = self._named(params)
        if name is None:
            return None  # `refusal` says that it is missing
        try:
            return attachable(params)
        except (gateway.Missing, gateway.RefusedByStripe) as error:
            raise Invalid(name, error.message, str(error.body.get("code") or "")) from error
        except gateway.GatewayError as error:
            message = "Stripe cannot be reached to look at the payment. Nothing was sent; try again soon."
            raise outcomes.unavailable(message, error) from error

    def payment_refusal(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> Refusal | None:
        name = self._named(params)
        if payment is None or name is None:
            return None
        if payment.amount is None or not payment.currency:
            return Invalid(name, "Stripe does not say the amount of this payment, so nobody can agree to it.")
        if payment.currency != invoice.currency:
            theirs, ours = payment.currency.upper(), str(invoice.currency).upper()
            return Invalid(name, f"It is a payment in {theirs}, and the invoice is in {ours}.")
        if payment.customer != invoice.customer_id and (payment.customer or name == "payment_intent"):
            # A record of money received outside Stripe need not name a customer. A PaymentIntent of nobody may be
            # anybody's money.
            whose = "of another customer than the invoice's" if payment.customer else "of no customer"
            return Invalid(name, f"It is a payment {whose}: only a payment of this customer can be attached.")
        return None

    @staticmethod
    def _named(params: Params) -> str | None:
        """The parameter that names the payment."""
        return next((name for name in ("payment_intent", "payment_record") if params.get(name)), None)

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        which = params.get("payment_intent") or params.get("payment_record") or "The payment"
        return [f"{which} is attached to this invoice.", "When it succeeds, its amount is credited to the invoice."]
