"""The actions: one entry each, from which forms, API parameters, confirmation texts and permissions are derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from invoices import money
from invoices.models import Action, Invoice, InvoicePayment, Operation
from invoices.models.reading import text
from invoices.operations.refusals import Invalid, Refusal

MAX_TEXT = 5000  # Stripe's limit for a string parameter


@dataclass(frozen=True)
class Parameter:
    """What an action can be told. Its kind (flag, text, id, money, date, choice) says how it is shown and checked."""

    name: str
    kind: str
    label: str
    help: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()

    def clean(self, value: Any) -> Any:
        """The value as it will be stored and sent; raises Invalid beside this parameter's name."""
        return _CLEAN[self.kind](self, value)


def _flag(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise Invalid(parameter.name, f"Invalid boolean: {value}")


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(parameter.name, f"{parameter.label} must be text.")
    if len(value) > MAX_TEXT:
        raise Invalid(parameter.name, f"{parameter.label} is longer than {MAX_TEXT} characters; please shorten it.")
    if "\x00" in value:
        raise Invalid(parameter.name, f"{parameter.label} contains a character that cannot be stored.")
    return value.strip()


def _money(parameter: Parameter, value: Any) -> int:
    if isinstance(value, str) and value.strip().isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(parameter.name, f"Invalid integer: {value}")
    if not 0 < value < 10**12:
        raise Invalid(parameter.name, f"{parameter.label} must be more than zero, in minor units.")
    return value


def _date(parameter: Parameter, value: Any) -> str:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise Invalid(parameter.name, f"{parameter.label} must be a date like 2026-01-31.") from None
    if day > datetime.now(UTC).date():
        raise Invalid(parameter.name, f"{parameter.label} lies in the future.")
    if day.year < 2000:
        raise Invalid(parameter.name, f"{parameter.label} lies too far in the past.")
    return day.isoformat()


def _choice(parameter: Parameter, value: Any) -> str:
    if value not in parameter.choices:
        raise Invalid(parameter.name, f"{parameter.label} must be one of {', '.join(parameter.choices)}.")
    return value


_CLEAN: dict[str, Callable[[Parameter, Any], Any]] = {
    "flag": _flag,
    "text": _text,
    "id": _text,
    "money": _money,
    "date": _date,
    "choice": _choice,
}

Params = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Call:
    """One request to Stripe. `build` gives its parameters from the operation and what the calls before it brought."""

    name: str
    path: str  # with {invoice}
    build: Callable[[Operation, Results], dict[str, Any]]


@dataclass(frozen=True)
class Spec:
    """One action: everything that anybody needs to know about it."""

    action: Action
    statuses: frozenset[str]
    calls: tuple[Call, ...]
    effects: Callable[[Invoice, Params], list[str]]  # what it will do, in plain words
    undo: str  # whether it can be undone, in plain words
    done_word: str  # "paid", for "… has been paid"
    events: tuple[str, ...]  # the events by which Stripe says that it happened
    parameters: tuple[Parameter, ...] = ()
    danger: bool = False
    irreversible: bool = False  # above a threshold, a second person must agree
    check: Callable[[Invoice, list[InvoicePayment], Params], Refusal | None] = field(default=lambda i, p, q: None)

    @property
    def name(self) -> str:
        return str(self.action.value)

    @property
    def label(self) -> str:
        return str(self.action.label)

    @property
    def permission(self) -> str:
        return f"invoices.{self.name}_invoice"

    def charges(self, params: Params) -> bool:
        """Whether it takes money from the customer."""
        return self.action == Action.PAY and not params.get("paid_out_of_band")

    def at_stake(self, invoice: Invoice, params: Params) -> int | None:
        """The amount (minor units) over which a second person decides; None where one is enough."""
        if self.action == Action.ATTACH_OUT_OF_BAND_PAYMENT:
            return params.get("amount")
        if self.irreversible or params.get("paid_out_of_band") or params.get("forgive"):
            return invoice.amount_remaining
        return None

    def clean(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as they will be stored. Raises Invalid for the first that is unknown, missing or wrong."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise Invalid(name, f"Received unknown parameter: {name}")
        cleaned = {}
        for name, parameter in known.items():
            value = given.get(name)
            if value is None or value == "":
                if parameter.required:
                    raise Invalid(name, f"{parameter.label} is missing.")
                continue
            cleaned[name] = parameter.clean(value)
        return cleaned

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        """Why this may not start from the invoice as it stands here; None when it may."""
        if invoice.deleted_at:
            return Refusal("invoice_not_open", "This draft was deleted at Stripe.")
        if invoice.status not in self.statuses:
            return Refusal("invoice_not_open", _not_from(self, invoice.status))
        return self.check(invoice, payments, params)

    def judge(self, id: str, params: Params) -> Refusal | None:
        """Why this may not start, from what the mirror has of the invoice and its payments; None when it may."""
        invoice = Invoice.objects.filter(pk=id).first()
        if invoice is None:
            return Refusal("resource_missing", f"No such invoice: '{id}'", param="id")
        return self.refusal(invoice, list(InvoicePayment.objects.filter(invoice_id=id)), params)


_WHY_NOT = {
    "paid": "Invoice is already paid",
    "void": "This invoice is void; nothing can be done to it any more.",
    "draft": "This invoice is still a draft; finalize it first.",
    "uncollectible": "This invoice has already been marked uncollectible.",
    "open": "This invoice is already finalized.",
}


def _not_from(spec: Spec, status: str | None) -> str:
    return _WHY_NOT.get(status or "", f"{spec.label} is not possible while the invoice is {status or 'unreadable'}.")


# --- what each action will do, in plain words --------------------------------------------------------------------


def _who(invoice: Invoice) -> str:
    return invoice.billed_to or "the customer"


def _remaining(invoice: Invoice) -> str:
    return money.text(invoice.amount_remaining, invoice.currency)


def _pay_effects(invoice: Invoice, params: Params) -> list[str]:
    effects = []
    if invoice.status == "draft":
        effects.append("The draft is finalized first: it takes a number and can no longer be edited.")
    if params.get("paid_out_of_band"):
        effects.append(f"The invoice is marked as paid in full ({_remaining(invoice)}). No money is moved.")
    else:
        to = params.get("payment_method") or params.get("source") or "the default payment method"
        effects.append(f"{_remaining(invoice)} is charged to {_who(invoice)}, on {to}, now.")
        effects.append("Stripe e-mails a receipt if your account's settings say so.")
    if params.get("forgive"):
        effects.append("If the source holds too little, what it holds is taken and the rest is forgiven.")
    if invoice.subscription:
        effects.append("Its subscription becomes active again if this invoice held it up.")
    return effects


def _out_of_band_effects(invoice: Invoice, params: Params) -> list[str]:
    amount, remaining = params.get("amount"), invoice.amount_remaining
    if amount is None or remaining is None:
        return [f"A payment that you received outside Stripe is recorded. {_remaining(invoice)} is still to pay."]
    effects = [f"A payment of {money.text(amount, invoice.currency)} that you received outside Stripe is recorded."]
    if amount < remaining:
        effects.append(f"The invoice stays open with {money.text(remaining - amount, invoice.currency)} to pay.")
    else:
        effects.append("The invoice becomes paid.")
    if amount > remaining:
        effects.append(f"Stripe credits {money.text(amount - remaining, invoice.currency)} to the customer's balance.")
    return [*effects, "No money is moved."]


def _void_effects(invoice: Invoice, params: Params) -> list[str]:
    effects = [f"{_who(invoice)} no longer owes {_remaining(invoice)}. No money is moved, and the number stays used."]
    if invoice.subscription:
        effects.append("The subscription does not end by this; its next invoice comes as planned.")
    return effects


def _uncollectible_effects(invoice: Invoice, params: Params) -> list[str]:
    return [
        f"{_remaining(invoice)} counts as bad debt in your reports. No money is moved.",
        f"{_who(invoice)} can still pay it.",
    ]


def _finalize_effects(invoice: Invoice, params: Params) -> list[str]:
    effects = ["The draft takes a number, can no longer be edited, and waits to be paid."]
    if not invoice.amount_due:
        effects.append("Since nothing is due, it becomes paid at once.")
    if params.get("auto_advance", invoice.data.get("auto_advance") if invoice.data else None):
        effects.append("Stripe goes on by itself: it charges the customer or e-mails the invoice, as it is set up.")
    return effects


def _send_effects(invoice: Invoice, params: Params) -> list[str]:
    return [f"Stripe e-mails the invoice to {text(invoice.data, 'customer_email') or _who(invoice)}."]


def _attach_effects(invoice: Invoice, params: Params) -> list[str]:
    which = params.get("payment_intent") or params.get("payment_record") or "The payment"
    return [f"{which} is attached to this invoice.", "When it succeeds, its amount is credited to the invoice."]


# --- checks beyond the status ------------------------------------------------------------------------------------


def _check_pay(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    if params.get("paid_out_of_band") and invoice.status == "draft":
        return Refusal("invoice_not_open", "Finalize this draft before you mark it as paid out of band.")
    if params.get("payment_method") and params.get("source"):
        return Invalid("source", "Give a payment method or a source, not both.")
    return None


def _extra(payments: list[InvoicePayment]) -> bool:
    """Whether somebody attached a payment that is under way. Every open invoice has a default one: that is Stripe's."""
    return any(payment.status == "open" and payment.is_default is False for payment in payments)


def _check_void(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    if any(payment.status == "paid" for payment in payments):
        return Refusal("invoice_not_open", "Invoices with `paid` payments cannot be voided.")
    if _extra(payments):
        return Refusal("invoice_not_open", "A payment is attached and under way: wait for it, or cancel it, then void.")
    return None


def _check_uncollectible(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    if _extra(payments):
        return Refusal("invoice_not_open", "A payment is attached and under way: wait for it, or cancel it.")
    return None


def _check_out_of_band(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    part = invoice.amount_remaining is not None and params.get("amount", 0) < invoice.amount_remaining
    if part and params.get("amount") and invoice.subscription and invoice.collection_method == "charge_automatically":
        return Invalid(
            "amount",
            "An invoice of a subscription that is charged automatically takes no part payments: "
            f"give the whole, {money.text(invoice.amount_remaining, invoice.currency)}.",
        )
    return None


def _check_send(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    if invoice.collection_method != "send_invoice":
        return Refusal("invoice_not_open", "Only invoices that the customer pays on receipt can be sent.")
    return None


def _check_attach(invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    if bool(params.get("payment_intent")) == bool(params.get("payment_record")):
        return Invalid("payment_intent", "Give either a PaymentIntent or a payment record.")
    return None


# --- the calls ---------------------------------------------------------------------------------------------------


# The reply then shows the payments too, and the mirror has them in the same moment as the outcome.
EXPAND = {"expand": ["payments"]}


def _as_given(operation: Operation, results: Results) -> dict[str, Any]:
    return {**operation.params, **EXPAND}


def _report_payment(operation: Operation, results: Results) -> dict[str, Any]:
    params = operation.params
    received = int(datetime.fromisoformat(params["received_on"]).replace(tzinfo=UTC).timestamp())
    body: dict[str, Any] = {
        "amount_requested": {"currency": operation.before["currency"], "value": params["amount"]},
        "initiated_at": received,
        "outcome": "guaranteed",
        "guaranteed": {"guaranteed_at": received},
        "payment_method_details": {"type": "custom", "custom": {"display_name": params["method"]}},
        # By these, a later look finds what we made, even if its reply never came.
        "metadata": {"operation": str(operation.id), "invoice": operation.invoice},
    }
    if operation.before.get("customer"):
        body["customer_details"] = {"customer": operation.before["customer"]}
    if params.get("reference"):
        body["processor_details"] = {"type": "custom", "custom": {"payment_reference": params["reference"]}}
    if params.get("note"):
        body["description"] = params["note"]
    return body


def _attach_record(operation: Operation, results: Results) -> dict[str, Any]:
    return {"payment_record": results["report_payment"]["id"], **EXPAND}


def _one_call(action: str, path: str | None = None) -> tuple[Call, ...]:
    return (Call(action, f"/v1/invoices/{{invoice}}/{path or action}", _as_given),)


METHODS = ("Bank transfer", "Check", "Cash", "Other")

ACTIONS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec(
            Action.PAY,
            statuses=frozenset({"draft", "open", "uncollectible"}),
            parameters=(
                Parameter("payment_method", "id", "Payment method", "Empty: the customer's default."),
                Parameter("source", "id", "Source", "An older kind of payment method."),
                Parameter("mandate", "id", "Mandate", "For debits, where the payment method has several."),
                Parameter("off_session", "flag", "Customer is not present", "Stripe's default: yes."),
                Parameter("forgive", "flag", "Forgive a shortfall", "Takes what the source holds, forgives the rest."),
                Parameter("paid_out_of_band", "flag", "Paid outside Stripe", "Paid in full; nothing is charged."),
            ),
            calls=_one_call("pay"),
            effects=_pay_effects,
            undo="A charge can be refunded, in Stripe's dashboard; a paid invoice never becomes open again.",
            done_word="paid",
            events=("invoice.paid", "invoice.payment_succeeded"),
            check=_check_pay,
        ),
        Spec(
            Action.ATTACH_OUT_OF_BAND_PAYMENT,
            statuses=frozenset({"open"}),
            parameters=(
                Parameter("amount", "money", "Amount", "The whole or a part of what remains.", required=True),
                Parameter("method", "choice", "Method", required=True, choices=METHODS),
                Parameter("reference", "text", "Reference", "Check number, bank reference."),
                Parameter("received_on", "date", "Received on", required=True),
                Parameter("note", "text", "Note"),
            ),
            calls=(
                Call("report_payment", "/v1/payment_records/report_payment", _report_payment),
                Call("attach_payment", "/v1/invoices/{invoice}/attach_payment", _attach_record),
            ),
            effects=_out_of_band_effects,
            undo="It cannot be undone.",
            check=_check_out_of_band,
            done_word="credited with a payment received outside Stripe",
            events=("invoice.paid", "invoice.updated", "invoice_payment.paid"),
        ),
        Spec(
            Action.VOID,
            statuses=frozenset({"open", "uncollectible"}),
            calls=_one_call("void"),
            effects=_void_effects,
            undo="It cannot be undone. To bill again, make a new invoice.",
            done_word="voided",
            events=("invoice.voided",),
            danger=True,
            irreversible=True,
            check=_check_void,
        ),
        Spec(
            Action.MARK_UNCOLLECTIBLE,
            statuses=frozenset({"open"}),
            calls=_one_call("mark_uncollectible"),
            effects=_uncollectible_effects,
            undo="It cannot be undone, but the invoice can still be paid.",
            done_word="marked uncollectible",
            events=("invoice.marked_uncollectible",),
            check=_check_uncollectible,
            danger=True,
            irreversible=True,
        ),
        Spec(
            Action.FINALIZE,
            statuses=frozenset({"draft"}),
            parameters=(Parameter("auto_advance", "flag", "Let Stripe collect it", "Empty: as the invoice says."),),
            calls=_one_call("finalize"),
            effects=_finalize_effects,
            undo="It cannot be undone; a finalized invoice can be voided.",
            done_word="finalized",
            events=("invoice.finalized",),
        ),
        Spec(
            Action.SEND,
            statuses=frozenset({"open"}),
            calls=_one_call("send"),
            effects=_send_effects,
            undo="An e-mail cannot be called back.",
            done_word="sent",
            events=("invoice.sent",),
            check=_check_send,
        ),
        Spec(
            Action.ATTACH_PAYMENT,
            statuses=frozenset({"open"}),
            parameters=(
                Parameter("payment_intent", "id", "PaymentIntent"),
                Parameter("payment_record", "id", "Payment record"),
            ),
            calls=_one_call("attach_payment"),
            effects=_attach_effects,
            undo="It cannot be undone.",
            done_word="given the payment",
            events=("invoice.updated", "invoice.paid", "invoice_payment.paid"),
            check=_check_attach,
        ),
    )
}
