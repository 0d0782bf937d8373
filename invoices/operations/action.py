"""What an action is: everything that the pages, the API, the permissions, the sending and the settling need to know.

Which actions there are stands in `actions/`, one file each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from invoices import money
from invoices.models import CallResult, Invoice, InvoicePayment, Operation
from invoices.operations.effects import Effect
from invoices.operations.parameters import Parameter
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.refusals import Invalid, Refusal

Params = Mapping[str, Any]  # cleaned: parameter name → value
Results = Mapping[str, CallResult]  # call name → what it brought


@dataclass(frozen=True)
class Call:
    """One request to Stripe. Every call says how its effect is recognised: without it nothing could be settled."""

    name: str  # unique within the action; part of the idempotency key
    path: str  # with {invoice}; the name of an earlier call in braces is the id of what that call made
    build: Callable[[Operation, Results], dict[str, Any]]  # its parameters, from the results of the calls before it
    effect: Effect


class Action(ABC):
    """One action. A subclass in `actions/` is its only entry: forms, API, schema, permission, groups, command line,
    sending and settling follow from it.

    Its words are English, for the journal and the API; whoever shows one asks the catalog: `_(action.label)`. What its
    methods say is in the language of the page.
    """

    name: ClassVar[str]  # in the journal, the API's address, the permission and the command line
    label: ClassVar[str]  # on buttons, in plain words
    may: ClassVar[str]  # what its permission allows, after "Can …"
    position: ClassVar[int]  # among the buttons and in lists, smallest first
    statuses: ClassVar[frozenset[str]]  # of the invoice, from which it may start
    calls: ClassVar[tuple[Call, ...]]
    undo: ClassVar[str]  # whether it can be undone, in plain words
    done_word: ClassVar[str]  # "paid", for "in_1 has been paid"
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    stripe_term: ClassVar[str] = ""  # what Stripe calls it, where the label is another word
    verb: ClassVar[str] = ""  # on the button, with its amounts: "Record {amounts}"; empty: no amount is named
    # Why it is usually done, each a sentence for the journal. The form offers them, and words of one's own.
    reasons: ClassVar[tuple[str, ...]] = ()
    danger: ClassVar[bool] = False  # shown in red, and last
    # Names of the parameters that are asked for when it is done to many invoices; None: only to one at a time.
    bulk_parameters: ClassVar[tuple[str, ...] | None] = None
    bulk_note: ClassVar[str] = ""  # what follows from each invoice by itself, in plain words
    # The parameter that Stripe's 404 for an unknown invoice names. It differs between endpoints (seen in live answers).
    id_parameter: ClassVar[str] = "id"
    paused_with: ClassVar[str] = ""  # the action whose pause holds this one too; empty: only its own does
    # For how long a person is asked whether she means the same again (repeats.py); zero: she is not.
    repeated_within: ClassVar[timedelta] = timedelta(0)
    # Stripe's type of the invoice payment that it makes: those that others made at Stripe may be the same.
    payment_type: ClassVar[str] = ""
    # Whether the payment that it attaches may be credited to the invoice only later.
    credited_later: ClassVar[bool] = False

    _REQUIRED = ("name", "label", "may", "position", "statuses", "calls", "undo", "done_word")

    def __init_subclass__(cls) -> None:
        """Raises TypeError for an entry that leaves out something that has no default."""
        super().__init_subclass__()
        if lacking := [name for name in cls._REQUIRED if not hasattr(cls, name)]:
            raise TypeError(f"The action {cls.__name__} does not say its {', '.join(lacking)}.")
        if not cls.calls:
            raise TypeError(f"The action {cls.__name__} has no call.")

    @property
    def codename(self) -> str:
        """Its permission's codename, without the application's label."""
        return f"{self.name}_invoice"

    @property
    def permission(self) -> str:
        return f"invoices.{self.codename}"

    @property
    def label_and_term(self) -> str:
        """`Write off (Stripe: mark uncollectible)`; the label alone where Stripe's word is the same."""
        return f"{_(self.label)} (Stripe: {self.stripe_term})" if self.stripe_term else _(self.label)

    # --- what each action says for itself ---------------------------------------------------------------------------

    @abstractmethod
    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        """What it will do, in plain words: money moved, e-mails sent, effect on the subscription."""

    def charges(self, params: Params) -> bool:
        """Whether it takes money from the customer."""
        return False

    def approval_amount(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> int | None:
        """The amount (minor units) to which a second person would agree; None where one person is enough for any.

        `payment` is what `look_up` found; None also where it was not asked."""
        return None

    def refusal(self, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
        """Why it may not start, beyond the invoice's status. Asked through `eligibility.invoice_refusal` only."""
        return None

    def look_up(self, params: Params) -> AttachablePayment | None:
        """The payment that is to be attached, as Stripe has it now; None for an action that attaches none.

        Raises Invalid where there is no such payment, and Refusal where Stripe cannot be reached.
        """
        return None

    def payment_refusal(self, invoice: Invoice, params: Params, payment: AttachablePayment | None) -> Refusal | None:
        """Why this payment cannot be attached to this invoice."""
        return None

    def is_repeat(
        self, invoice: Invoice, params: Params, earlier: Params, *, on_same_invoice: bool, ago: timedelta
    ) -> bool:
        """Whether this looks like what was done with `earlier` so long ago, for the same customer in the same currency.
        Of a payment that was made at Stripe only the `amount` is known. Asked through repeats.py only."""
        return False

    def bulk_params(self, amount_remaining: int | None) -> dict[str, Any]:
        """The parameters of one invoice in a batch that follow from the invoice itself."""
        return {}

    def undoing(self, params: Params) -> str:
        """Whether it can be undone when it is done with these parameters: `undo`, where they make no difference."""
        return _(self.undo)

    def button(self, invoice: Invoice, params: Params) -> str:
        """What the button says that does it: with the amount, where it is about one."""
        return self.with_amounts(remaining(invoice)) if invoice.amount_remaining is not None else _(self.label)

    def with_amounts(self, amounts: str) -> str:
        """`Write off USD 10.00`. The label alone, where the action is about no amount."""
        return _(self.verb).format(amounts=amounts) if self.verb and amounts else _(self.label)

    # --- what holds for all of them ---------------------------------------------------------------------------------

    def clean(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as they will be stored. Raises Invalid for the first that is unknown, missing or wrong."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise Invalid(name, _("Received unknown parameter: {name}").format(name=name))
        cleaned = {}
        for name, parameter in known.items():
            value = given.get(name)
            if value is None or value == "":
                if parameter.required:
                    raise Invalid(name, parameter.missing)
                continue
            cleaned[name] = parameter.clean(value)
        return cleaned


# --- words and parts that several actions share -----------------------------------------------------------------------


def expanding(operation: Operation) -> dict[str, Any]:
    """Part of the parameters of a call that answers with the invoice: what Stripe shows whole in its answer.

    The payments, so that the mirror has them in the same transaction as the outcome, and what the caller wants to see.
    """
    return {"expand": list(dict.fromkeys(["payments", *(operation.expand or ())]))}


def as_given(operation: Operation, results: Results) -> dict[str, Any]:
    """A call's parameters where Stripe's are the same as ours."""
    return {**operation.params, **expanding(operation)}


def invoice_call(name: str, effect: Effect) -> tuple[Call, ...]:
    """The only call of most actions: `POST /v1/invoices/:id/<name>`."""
    return (Call(name, f"/v1/invoices/{{invoice}}/{name}", as_given, effect),)


def billed_to(invoice: Invoice) -> str:
    return invoice.billed_to or _("the customer")


def remaining(invoice: Invoice) -> str:
    return money.text(invoice.amount_remaining, invoice.currency)


def part_refusal(invoice: Invoice) -> str:
    """Why a part of what remains cannot be paid; empty where it can. (Stripe: a subscription's invoice that is charged
    automatically takes no part payments.)"""
    if invoice.subscription and invoice.collection_method == "charge_automatically":
        return _("An invoice of a subscription that is charged automatically takes no part payments.")
    return ""


def amount_refusal(invoice: Invoice, amount: int | None) -> Invalid | None:
    """Why Stripe takes this amount (minor units) in no request; None where it does, or where none is given."""
    try:
        if amount is not None and invoice.currency:
            money.check(amount, invoice.currency)
    except money.BadAmount as error:
        return Invalid("amount", str(error))
    return None


def has_attached_payment(payments: list[InvoicePayment]) -> bool:
    """Whether somebody attached a payment that is under way. (Stripe gives every open invoice a default payment.)"""
    return any(payment.status == "open" and payment.is_default is False for payment in payments)
