"""Link a payment (attach payment): credit a PaymentIntent or a payment record to the invoice.

`POST /v1/invoices/:id/attach_payment`.
"""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import gateway
from invoices.models import Invoice, InvoicePayment
from invoices.operations import outcomes
from invoices.operations.action import Action, Params, invoice_call
from invoices.operations.effects import payment_attached
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment, attachable
from invoices.operations.refusals import Invalid, Refusal

ONE_OF = gettext_noop("one of the two")


class AttachPayment(Action):
    name = "attach_payment"
    label = gettext_noop("Link a payment")
    stripe_term = "attach payment"
    reasons = (
        gettext_noop("The customer paid by another way at Stripe"),
        gettext_noop("The payment was made for this invoice"),
    )
    may = gettext_noop("attach a payment to an invoice")
    position = 70
    statuses = frozenset({"open"})
    calls = invoice_call(
        "attach_payment",
        payment_attached(events=("invoice.updated", "invoice.paid", "invoice_payment.paid"), payment_is_ours=False),
    )
    undo = gettext_noop("It cannot be undone.")
    done_word = gettext_noop("given the payment")
    parameters = (
        Parameter("payment_intent", "id", gettext_noop("PaymentIntent"), placeholder="pi_…", one_of=ONE_OF),
        Parameter("payment_record", "id", gettext_noop("Payment record"), placeholder="pyr_…", one_of=ONE_OF),
    )
    id_parameter = "invoice"
    credited_later = True

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if bool(params.get("payment_intent")) == bool(params.get("payment_record")):
            return Invalid("payment_intent", _("Give either a PaymentIntent or a payment record."))
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
            message = _("Stripe cannot be reached to look at the payment. Nothing was sent; try again soon.")
            raise outcomes.unavailable(message, error) from error

    def payment_refusal(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> Refusal | None:
        name = self._named(params)
        if payment is None or name is None:
            return None
        if payment.amount is None or not payment.currency:
            return Invalid(name, _("Stripe does not say the amount of this payment, so nobody can agree to it."))
        if payment.currency != invoice.currency:
            theirs, ours = payment.currency.upper(), str(invoice.currency).upper()
            message = _("It is a payment in {theirs}, and the invoice is in {ours}.")
            return Invalid(name, message.format(theirs=theirs, ours=ours))
        if payment.customer != invoice.customer_id and (payment.customer or name == "payment_intent"):
            # A record of money received outside Stripe need not name a customer. A PaymentIntent of nobody may be
            # anybody's money.
            if payment.customer:
                message = _(
                    "It is a payment of another customer than the invoice's: only a payment of this customer can be "
                    "attached."
                )
            else:
                message = _("It is a payment of no customer: only a payment of this customer can be attached.")
            return Invalid(name, message)
        return None

    @staticmethod
    def _named(params: Params) -> str | None:
        """The parameter that names the payment."""
        return next((name for name in ("payment_intent", "payment_record") if params.get(name)), None)

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        which = params.get("payment_intent") or params.get("payment_record")
        return [
            _("{payment} is attached to this invoice.").format(payment=which)
            if which
            else _("The payment is attached to this invoice."),
            _("When it succeeds, its amount is credited to the invoice."),
        ]
