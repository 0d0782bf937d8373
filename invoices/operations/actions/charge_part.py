"""Charge a part: a part of what remains is charged to a saved payment method of the invoice's customer.

Three calls: make a PaymentIntent, attach it to the invoice, confirm it. Nothing is charged before the invoice waits for
the money, so a refusal to attach costs nobody anything. `own_intents.py` reads what came of it, and cancels the
PaymentIntent where it was not charged.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.models import Code, Invoice, InvoicePayment, Operation
from invoices.operations import least_charge
from invoices.operations.action import (
    Action,
    Call,
    Params,
    Results,
    amount_refusal,
    billed_to,
    has_attached_payment,
    part_refusal,
    remaining,
)
from invoices.operations.effects import object_created, own_intent_charged, payment_attached
from invoices.operations.parameters import Parameter
from invoices.operations.refusals import Invalid, Refusal
from invoices.thresholds import REPEATED_FORM


def _create(operation: Operation, results: Results) -> dict[str, Any]:
    return {
        "amount": operation.params["amount"],
        "currency": operation.before["currency"],
        "customer": operation.before["customer"],
        "payment_method": operation.params["payment_method"],
        # Nobody is there whom a bank could send to its own page.
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": f"Part of invoice {operation.before.get('number') or operation.invoice}",
        # By this settling finds the PaymentIntent that we made, even if Stripe's reply never came.
        "metadata": {"operation": str(operation.stripe_key_base), "invoice": operation.invoice},
    }


def _attach(operation: Operation, results: Results) -> dict[str, Any]:
    return {"payment_intent": results["create_payment_intent"].id, "expand": ["payments"]}


def _confirm(operation: Operation, results: Results) -> dict[str, Any]:
    return {"off_session": True}


def _no_part(invoice: Invoice) -> str:
    message = _("A part is less than what remains ({amount}). To charge all of it, use Pay.")
    return message.format(amount=remaining(invoice))


class ChargePart(Action):
    name = "charge_part"
    paused_with = "pay"  # who stops charges of the whole means those of a part
    label = gettext_noop("Charge a part")
    verb = gettext_noop("Charge {amounts}")
    may = gettext_noop("charge a part of an invoice")
    position = 15
    statuses = frozenset({"open"})  # nobody has seen Stripe attach a PaymentIntent to another
    calls = (
        Call(
            "create_payment_intent",
            "/v1/payment_intents",
            _create,
            object_created("/v1/payment_intents", lists_by_customer=True),
        ),
        Call(
            "attach_payment",
            "/v1/invoices/{invoice}/attach_payment",
            _attach,
            payment_attached(events=(), payment_is_ours=True),
        ),
        Call(
            "confirm_payment_intent",
            "/v1/payment_intents/{create_payment_intent}/confirm",
            _confirm,
            own_intent_charged(),
        ),
    )
    reasons = (
        gettext_noop("The customer asked to pay in parts"),
        gettext_noop("The limit of the card does not allow the whole"),
        gettext_noop("The customer disputes the rest"),
    )
    undo = gettext_noop("A charge can be refunded, in Stripe's dashboard.")
    done_word = gettext_noop("charged in part")
    parameters = (
        Parameter(
            "amount",
            "money",
            gettext_noop("Amount"),
            gettext_noop("Less than what remains."),
            required=True,
            suggests_whole=False,
        ),
        Parameter("payment_method", "payment_method", gettext_noop("Payment method"), required=True),
    )
    id_parameter = "invoice"
    repeated_within = REPEATED_FORM
    payment_type = "payment_intent"

    def is_repeat(
        self, invoice: Invoice, params: Params, earlier: Params, *, on_same_invoice: bool, ago: timedelta
    ) -> bool:
        return on_same_invoice and params.get("amount") == earlier.get("amount")

    def charges(self, params: Params) -> bool:
        return True

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        if said := part_refusal(invoice):
            return Refusal(Code.INVOICE_NOT_OPEN, said)
        if not invoice.customer_id:
            message = _("This invoice has no customer, so there is no saved payment method to charge.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        if has_attached_payment(payments):
            message = _("A payment is attached and under way: wait for it, or cancel it, then charge a part.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        least, whole, amount = least_charge.of(invoice.currency), invoice.amount_remaining, params.get("amount")
        if whole is not None and whole <= least:
            message = _("What remains is the least that Stripe charges, or less: it cannot be charged in parts.")
            return Refusal(Code.INVOICE_NOT_OPEN, message)
        if refusal := amount_refusal(invoice, amount):
            return refusal
        if amount is not None and amount < least:
            message = _("Stripe charges no less than {amount}.")
            return Invalid("amount", message.format(amount=money.text(least, invoice.currency)))
        if amount is not None and whole is not None and amount >= whole:
            return Invalid("amount", _no_part(invoice))
        return None

    def button(self, invoice: Invoice, params: Params) -> str:
        if params.get("amount") is None or not invoice.currency:
            return _(self.label)
        return self.with_amounts(money.text(params["amount"], invoice.currency))

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        amount, whole, method = params.get("amount"), invoice.amount_remaining, params.get("payment_method")
        if amount is None or whole is None:
            part = _("A part of {amount} is charged to {customer}, on a saved payment method, now.")
            return [part.format(amount=remaining(invoice), customer=billed_to(invoice))]
        if amount >= whole:
            return [_no_part(invoice)]
        charged = _("{amount} is charged to {customer}, on {payment_method}, now.")
        if not method:
            charged = _("{amount} is charged to {customer}, on a saved payment method, now.")
        amounts = money.text(amount, invoice.currency)
        said = [charged.format(amount=amounts, customer=billed_to(invoice), payment_method=method)]
        rest = whole - amount
        stays = _("The invoice stays open with {amount} to pay.")
        said.append(stays.format(amount=money.text(rest, invoice.currency)))
        if invoice.next_payment_attempt:
            day = date_format(timezone.localtime(invoice.next_payment_attempt), "DATE_FORMAT")
            said.append(_("Stripe charges the rest by itself on {day}.").format(day=day))
        if rest < least_charge.of(invoice.currency):
            said.append(_("That is less than Stripe charges: it can then only be paid in another way."))
        said.append(_("The customer is not there to confirm it. If the bank asks for that, nothing is charged."))
        return said
