"""Whether an action may start on an invoice; if not, why, and until when.

No other module decides this. The invoice's page, its form, the bulk preview and the request (and through it the API and
the command line) ask `check`. The approval and the performer ask `invoice_refusal` again, because the invoice may have
changed. What else can prevent an action is decided elsewhere: the permission in request.py, and again with everything
else that may have changed in gate.py; what only Stripe knows of a payment in the action's `payment_refusal`; and the
need of a second person in approval.py. Nothing here asks Stripe, except `method_to_charge`.

`check` gives the first reason in this order:

1. paused                   a manager paused the action                                  `pause_refusal`
2. the invoice itself       its status, its payments, the parameters                     `invoice_refusal`
3. a bank is processing     only for charges: a second one would take the money twice    `bank_refusal`
4. an unfinished operation  only one at a time on an invoice                             `unfinished_refusal`
5. declined recently        only for charges, with the same card of the same customer    `cooldown_refusal`
6. asked for already        the same request waits for a second person                   `duplicate_refusal`
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import clock, recorded
from invoices.models import DECLINES, Code, Customer, Event, Invoice, InvoicePayment, Operation, Pause, PaymentIntent
from invoices.models.reading import expandable_id, member, text
from invoices.operations import money_under_way, pauses, payment_method
from invoices.operations.action import Action, Params
from invoices.operations.actions import ACTIONS
from invoices.operations.payment_method import PaymentMethodFacts
from invoices.operations.refusals import Invalid, Refusal
from invoices.thresholds import DECLINE_COOLDOWN

OVERRIDE_PERMISSION = "invoices.override_operation"  # may charge again within the decline cooldown

# SQLite uses the index `operation_declined` only where the statement has its codes written out, and not as parameters.
DECLINES_AS_WRITTEN = [RawSQL(f"'{code}'", ()) for code in sorted(DECLINES)]  # noqa: S611  constants of ours

State = Operation.State
UNDER_WAY = gettext_noop("Another operation on this invoice is under way. Look at what it came to, then try again.")


@dataclass(frozen=True)
class Decline:
    """A charge that did not go through a short while ago."""

    declined_at: datetime
    method: PaymentMethodFacts  # without an id where nobody knows what was charged
    message: str  # what Stripe said
    operation: Operation | None = None  # None: as Stripe's event tells, whoever asked for the charge

    @property
    def until(self) -> datetime:
        """When the same payment method may be charged again."""
        return self.declined_at + DECLINE_COOLDOWN


@dataclass
class Circumstances:
    """What the mirror and the journal know about some invoices. Made by `circumstances_of`."""

    pauses: list[Pause] = field(default_factory=list)
    # Each by the invoice's id:
    payments: dict[str, list[InvoicePayment]] = field(default_factory=lambda: defaultdict(list))
    open_intents: dict[str, list[PaymentIntent]] = field(default_factory=lambda: defaultdict(list))
    unfinished: dict[str, Operation] = field(default_factory=dict)
    under_way: dict[str, Operation] = field(default_factory=dict)  # a bank is processing the money
    waiting: dict[tuple[str, str], Operation] = field(default_factory=dict)  # by invoice and action
    default_payment_methods: dict[str, str] = field(default_factory=dict)
    # By the customer's id, or by the invoice's where it has no customer:
    declines: dict[str, list[Decline]] = field(default_factory=lambda: defaultdict(list))

    def payment_method(self, invoice: Invoice, params: Params) -> PaymentMethodFacts:
        """What Stripe would charge, as far as the mirror tells. It knows nothing of subscriptions, nor of cards."""
        chosen = payment_method.chosen(params)
        return PaymentMethodFacts(chosen or self.default_payment_methods.get(invoice.pk, ""))

    def declines_of(self, invoice: Invoice) -> list[Decline]:
        """The charges of the invoice's customer, for any invoice, that did not go through within the cooldown."""
        return self.declines[_payer(invoice)]

    def is_with_a_bank(self, invoice: Invoice) -> bool:
        """Whether a bank is processing a payment of it, as an operation or a PaymentIntent says."""
        processing = any(intent.status == "processing" for intent in self.open_intents[invoice.pk])
        return processing or invoice.pk in self.under_way


def circumstances_of(
    invoices: Sequence[Invoice],
    *,
    charges: bool = True,
    except_for: Operation | None = None,
    with_payments: bool = True,
) -> Circumstances:
    """Everything that `check` needs for these invoices, in at most seven queries (three without charges) for all of
    them.

    `except_for` is the operation that asks: it does not stand in its own way. `with_payments=False`: the caller has
    read the payments and their open PaymentIntents from Stripe, and fills them in.
    """
    found = Circumstances(pauses=list(pauses.standing()))
    ids = [invoice.pk for invoice in invoices]
    for payment in InvoicePayment.objects.filter(invoice_id__in=ids).defer("data") if with_payments else ():
        found.payments[str(payment.invoice_id)].append(payment)
    states = [*Operation.UNFINISHED, State.PROCESSING, State.AWAITING_APPROVAL]
    going_on = Operation.objects.filter(state__in=states, invoice__in=ids)
    for operation in going_on.select_related("actor").order_by("created_at"):
        if except_for is not None and operation.pk == except_for.pk:
            continue
        if operation.state == State.AWAITING_APPROVAL:
            found.waiting.setdefault((operation.invoice, operation.action), operation)
        elif operation.state == State.PROCESSING:
            found.under_way[operation.invoice] = operation
        else:
            found.unfinished[operation.invoice] = operation
    if charges:
        _add_intents(found)
        _add_declines(found, invoices)
        _add_default_payment_methods(found, invoices)
    return found


def _add_intents(found: Circumstances) -> None:
    invoice_of = {
        payment.payment_intent: invoice
        for invoice, payments in found.payments.items()
        for payment in payments
        if payment.status == "open" and payment.payment_intent
    }
    for intent in PaymentIntent.objects.filter(pk__in=list(invoice_of)) if invoice_of else ():
        found.open_intents[invoice_of[intent.pk]].append(intent)


def _payer(invoice: Invoice) -> str:
    """By which the declines are found together."""
    return invoice.customer_id or invoice.pk


def _add_declines(found: Circumstances, invoices: Sequence[Invoice]) -> None:
    """The declines of the invoices' customers within the cooldown: of our operations, and of everybody as events tell.

    An event names the card that was tried then. The PaymentIntent shows only the last one that was tried.
    """
    since = clock.now() - DECLINE_COOLDOWN
    payer_of = {invoice.pk: _payer(invoice) for invoice in invoices}
    customers = {invoice.customer_id for invoice in invoices if invoice.customer_id}
    # An operation of an earlier version of this program does not name its customer.
    failed = Operation.objects.filter(
        customer__in={"", *customers}, state=State.FAILED, code__in=DECLINES_AS_WRITTEN, finished_at__gt=since
    )
    for operation in failed.select_related("actor"):
        payer = operation.customer or payer_of.get(operation.invoice)
        if payer and operation.finished_at and _was_charge(operation):
            method = PaymentMethodFacts(operation.payment_method, operation.card_fingerprint)
            found.declines[payer].append(Decline(operation.finished_at, method, operation.message, operation))
    intents = PaymentIntent.objects.filter(customer__in=customers).values("pk")
    attempts = Event.objects.filter(object_id__in=intents, type="payment_intent.payment_failed", created__gt=since)
    for event in attempts if customers else ():
        intent = member(json.loads(event.body), "data", "object")
        error = member(intent, "last_payment_error")
        message = text(error, "message") or _("The payment did not go through.")
        if event.created:
            decline = Decline(event.created, payment_method.charged(error), message)
            found.declines[expandable_id(intent, "customer") or ""].append(decline)


def _was_charge(operation: Operation) -> bool:
    action = ACTIONS.get(operation.action)
    return action is not None and action.charges(operation.params)


def _add_default_payment_methods(found: Circumstances, invoices: Sequence[Invoice]) -> None:
    own = {invoice.pk: payment_method.own_default(invoice.data) for invoice in invoices}
    customers = {invoice.customer_id for invoice in invoices if invoice.customer_id and not own[invoice.pk]}
    rows = Customer.objects.filter(pk__in=customers).values_list("pk", "default_payment_method") if customers else ()
    of_customers = dict(rows)
    for invoice in invoices:
        found.default_payment_methods[invoice.pk] = own[invoice.pk] or of_customers.get(invoice.customer_id or "") or ""


def open_payments(invoice: str) -> QuerySet[InvoicePayment]:
    """The invoice's payments through a PaymentIntent that are not over yet."""
    return InvoicePayment.objects.filter(invoice_id=invoice, status="open").exclude(payment_intent=None)


def is_with_a_bank(invoice: str) -> bool:
    """Whether, as far as the mirror and the journal know, a bank is processing a payment of this invoice."""
    intents = open_payments(invoice).values("payment_intent")
    return (
        PaymentIntent.objects.filter(pk__in=intents, status="processing").exists()
        or Operation.objects.filter(money_under_way.of_invoices([invoice])).exists()
    )


# --- what would be charged --------------------------------------------------------------------------------------------


def method_in_mirror(invoice: Invoice, params: Params) -> PaymentMethodFacts:
    """What Stripe would charge, as far as the mirror tells: what is chosen, else the invoice's own default, else the
    customer's. For what must not wait for Stripe."""
    found = Circumstances()
    _add_default_payment_methods(found, [invoice])
    return found.payment_method(invoice, params)


def lacks_default(invoice: Invoice, customer: Customer | None) -> bool:
    """Whether the mirror shows that there is nothing to charge unless a payment method is chosen: neither the invoice
    nor its customer has a default. What a subscription's default is, it does not know. (Stripe then refuses `pay`.)"""
    if invoice.subscription or payment_method.own_default(invoice.data):
        return False
    if not invoice.customer_id:
        return True
    return customer is not None and not customer.deleted_at and not customer.default_payment_method


def method_to_charge(invoice: Invoice, params: Params, *, throttled: bool = False) -> PaymentMethodFacts:
    """What Stripe would charge now. For `check` and `cooldown_refusal`, as their `method`; not within a transaction.

    Where no charge of the customer was declined within the cooldown, it makes no difference, and the mirror answers.
    Else Stripe is asked, in at most three reads: for the subscription's and the customer's default, where nothing is
    chosen and `invoice` (the mirror's row, or a fresh read) has no default of its own; and for the card, where a
    declined one might be the same under another id. Raises GatewayError.
    """
    known = Circumstances()
    _add_declines(known, [invoice])
    declines = known.declines_of(invoice)
    if not declines:
        return method_in_mirror(invoice, params)
    id = payment_method.chosen(params) or payment_method.default_at_stripe(invoice, throttled=throttled)
    is_known = any(decline.method.id == id for decline in declines)
    if not id or is_known or not any(decline.method.fingerprint for decline in declines):
        return PaymentMethodFacts(id)
    return payment_method.read(id, throttled=throttled)


# --- the answer -------------------------------------------------------------------------------------------------------


def check(
    action: Action,
    invoice: Invoice,
    params: Params,
    known: Circumstances,
    *,
    method: PaymentMethodFacts | None = None,
    ignore_cooldown: bool = False,
    would_wait: bool = False,
) -> Refusal | None:
    """Why the action may not start with these parameters; None when it may.

    `method` is what would be charged, from `method_to_charge`; None: as far as the mirror tells. `ignore_cooldown`: the
    caller holds OVERRIDE_PERMISSION and asked for a charge within the decline cooldown. `would_wait`: the request needs
    a second person.
    """
    refusal = invoice_refusal(action, invoice, known.payments[invoice.pk], params)
    invalid = refusal if isinstance(refusal, Invalid) else None  # a parameter can be mended: said after all else
    return (
        pause_refusal(action.name, known.pauses)
        or (None if invalid else refusal)
        or (
            bank_refusal(known.is_with_a_bank(invoice), known.under_way.get(invoice.pk))
            if action.charges(params)
            else None
        )
        or unfinished_refusal(known.unfinished.get(invoice.pk))
        or (None if ignore_cooldown else cooldown_refusal(action, invoice, params, known, method))
        or (duplicate_refusal(known.waiting.get((invoice.pk, action.name))) if would_wait else None)
        or invalid
    )


def check_any_parameters(action: Action, invoice: Invoice, known: Circumstances) -> Refusal | None:
    """Why the action may not start whatever its parameters are; None when it may with some of them. For the page that
    offers it before anything is chosen."""
    refusal = invoice_refusal(action, invoice, known.payments[invoice.pk], {})
    return (
        pause_refusal(action.name, known.pauses)
        or (None if isinstance(refusal, Invalid) else refusal)
        or unfinished_refusal(known.unfinished.get(invoice.pk))
    )


def may_override(actor: AbstractBaseUser | AnonymousUser | None) -> bool:
    """Whether this person may charge again within the decline cooldown."""
    return actor is not None and actor.has_perm(OVERRIDE_PERMISSION)  # type: ignore[union-attr]


# --- the reasons, one by one ------------------------------------------------------------------------------------------


def pause_refusal(action: str, standing: Iterable[Pause] | None = None) -> Refusal | None:
    """A manager paused this action, or all of them."""
    pause = pauses.of_action(action, standing)
    if pause is None:
        return None
    said = [pauses.in_words(pause)] + ([] if pause.ends_at else [_("Nothing is sent until somebody resumes it.")])
    return Refusal(Code.ACTIONS_PAUSED, " ".join(said), until=pause.ends_at)


_STATUS_REFUSALS = {
    "paid": gettext_noop("Invoice is already paid"),
    "void": gettext_noop("This invoice is void; nothing can be done to it any more."),
    "draft": gettext_noop("This invoice is still a draft; finalize it first."),
    "uncollectible": gettext_noop("This invoice has already been marked uncollectible."),
    "open": gettext_noop("This invoice is already finalized."),
}


def invoice_refusal(action: Action, invoice: Invoice, payments: list[InvoicePayment], params: Params) -> Refusal | None:
    """The invoice's status, its payments and the parameters allow it. The invoice may be the mirror's row, or what a
    fresh read showed."""
    if invoice.deleted_at:
        return Refusal(Code.INVOICE_NOT_OPEN, _("This draft was deleted at Stripe."))
    if invoice.status not in action.statuses:
        if said := _STATUS_REFUSALS.get(invoice.status or ""):
            return Refusal(Code.INVOICE_NOT_OPEN, _(said))
        message = _("{action} is not possible while the invoice is {word}.")
        word = _(invoice.status or "unreadable")
        return Refusal(Code.INVOICE_NOT_OPEN, message.format(action=_(action.label), word=word))
    return action.refusal(invoice, payments, params)


# The statuses that can follow. (Stripe: a paid or void invoice never changes its status again.)
LATER_STATUSES: dict[str, frozenset[str]] = {
    "draft": frozenset({"open", "paid", "uncollectible", "void"}),
    "open": frozenset({"paid", "uncollectible", "void"}),
    "uncollectible": frozenset({"paid", "void"}),
    "paid": frozenset(),
    "void": frozenset(),
}


def is_over(action: Action, invoice: Invoice) -> bool:
    """Whether the action can never be done to this invoice again, whatever happens: its status is past it."""
    if invoice.deleted_at:
        return True
    later = LATER_STATUSES.get(invoice.status or "")
    return later is not None and not action.statuses & ({invoice.status} | later)


def invoice_refusal_in_mirror(action: Action, invoice_id: str, params: Params) -> Refusal | None:
    """`invoice_refusal`, from what the mirror has of the invoice and its payments."""
    invoice = Invoice.objects.filter(pk=invoice_id).first()
    if invoice is None:
        return Refusal(Code.RESOURCE_MISSING, no_such_invoice(invoice_id), param="id")
    return invoice_refusal(action, invoice, list(InvoicePayment.objects.filter(invoice_id=invoice_id)), params)


def no_such_invoice(id: str) -> str:
    """As Stripe says it."""
    return _("No such invoice: '{id}'").format(id=id)


def bank_refusal(is_with_a_bank: bool, operation: Operation | None = None) -> Refusal | None:
    """A bank is processing a payment of this invoice, for days perhaps: a second charge would take the money twice.
    `operation` is the one that charged it, where we did."""
    if not is_with_a_bank:
        return None
    message = _("A payment of this invoice is still being processed by the bank. Wait for it to succeed or fail.")
    return Refusal(Code.OPERATION_IN_PROGRESS, message, operation=operation)


def unfinished_refusal(operation: Operation | None) -> Refusal | None:
    """Another operation on the invoice has no outcome yet.

    Two simultaneous requests are decided by the database constraint `operation_one_unfinished_per_invoice`.
    """
    if operation is None:
        return None
    if operation.state == State.UNKNOWN:
        message = _(
            "The outcome of an earlier operation on this invoice is not known yet; it is being checked with Stripe."
        )
    else:
        message = _(UNDER_WAY)
    return Refusal(Code.OPERATION_IN_PROGRESS, message, operation=operation)


def charge_again_at(operation: Operation) -> datetime | None:
    """When what this operation charged may be charged again; None where nothing has to be waited for."""
    if operation.code not in DECLINES or operation.finished_at is None:
        return None
    until = operation.finished_at + DECLINE_COOLDOWN
    return until if until > clock.now() else None


def cooldown_refusal(
    action: Action,
    invoice: Invoice,
    params: Params,
    known: Circumstances,
    method: PaymentMethodFacts | None = None,
) -> Refusal | None:
    """A card that was declined is not charged again within the cooldown, whichever id it is saved under and whichever
    of the customer's invoices it is for: the answer would be the same, and card networks count such attempts.

    `method` as in `check`. Where nobody knows what was charged then, or what would be charged now, a decline holds a
    charge for which nothing is chosen.
    """
    if not action.charges(params):
        return None
    method = method or known.payment_method(invoice, params)
    is_default = not payment_method.chosen(params)
    found = [
        decline
        for decline in known.declines_of(invoice)
        if decline.method.is_same(method) or (is_default and not (decline.method.id and method.id))
    ]
    if not found:
        return None
    last = max(found, key=lambda decline: decline.declined_at)
    names = [each.name for each in (method, *(decline.method for decline in found)) if each.name]
    elsewhere = last.operation.invoice if last.operation and last.operation.invoice != invoice.pk else ""
    if elsewhere:
        declined = _("{sentence} was declined at {time} UTC for invoice {invoice}: {reason}")
    else:
        declined = _("{sentence} was declined at {time} UTC: {reason}")
    declined = declined.format(
        sentence=names[0] if names else _("This payment method"),
        time=f"{last.declined_at:%H:%M}",
        invoice=elsewhere,
        reason=recorded.shown(last.message),
    )
    again = _("It can be tried again from {time} UTC; another payment method can be charged now.")
    again = again.format(time=f"{last.until:%H:%M}")
    return Refusal(
        Code.ATTEMPTED_RECENTLY,
        " ".join((declined, again)),
        operation=last.operation,
        until=last.until,
    )


def duplicate_refusal(waiting: Operation | None) -> Refusal | None:
    """The same action on this invoice waits for a second person, and this request would wait too: one is enough.

    Two simultaneous requests are decided by the database constraint `operation_one_waits_per_action`.
    """
    if waiting is None:
        return None
    return Refusal(Code.APPROVAL_REQUIRED, _("The same request already waits for approval."), operation=waiting)
