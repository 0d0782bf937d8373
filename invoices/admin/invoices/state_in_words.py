"""An invoice's state in three sentences: what is owed, why it is unpaid or how it ended, what comes next. No HTML."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.admin.invoices.situation import Name, Situation
from invoices.admin.operations import wording as operation_wording
from invoices.models import Invoice, Operation
from invoices.operations import label_of
from invoices.thresholds import BANK_OVERDUE


class InWords(NamedTuple):
    owed: str
    why: str
    next: str


def in_words(situation: Situation, *, sees_operation: bool = True, sees_promise: bool = True) -> InWords:
    """The three sentences; one that has nothing to say is empty. `sees_operation`: the reader may see the one that has
    not ended, so the sentences name it, who asked and who approved. `sees_promise`: the same of what was promised."""
    invoice = situation.invoice
    return InWords(_owed(situation), *_why_and_next(situation, invoice, sees_operation, sees_promise))


def _owed(situation: Situation) -> str:
    invoice = situation.invoice
    due, paid, remaining, credited = (
        money.text(value, invoice.currency)
        for value in (invoice.amount_due, invoice.amount_paid, invoice.amount_remaining, situation.credited)
    )
    was_credited = " " + _("{amount} was credited.").format(amount=credited) if situation.credited else ""
    match situation.name:
        case Name.DELETED | Name.VOID:
            return _("Nothing is owed.")
        case Name.PAID:
            return _("Nothing is owed: {amount} was paid.").format(amount=paid) + was_credited
        case Name.CREDITED:
            return _("Nothing is owed, and nothing was paid: {amount} was credited.").format(amount=credited)
        case Name.DRAFT:
            return _("Nothing is owed yet. It would be over {amount}.").format(amount=due)
        case Name.CONTRADICTED | Name.UNKNOWN | Name.WAITING | Name.RETURNED | Name.UNREADABLE:
            return _("What is owed is not certain at this moment.")
    if invoice.amount_paid:
        return _("{remaining} of {amount} is owed.").format(remaining=remaining, amount=due) + was_credited
    return _("{amount} is owed.").format(amount=remaining) + was_credited


def _why_and_next(situation: Situation, invoice: Invoice, sees_operation: bool, sees_promise: bool) -> tuple[str, str]:
    operation = situation.unfinished
    match situation.name:
        case Name.DELETED:
            why = _on(_("The draft was deleted on {day}."), _("The draft was deleted."), invoice.deleted_at)
            return why, _("Nothing. A deleted draft cannot come back.")
        case Name.CONTRADICTED:
            return (
                _("Stripe says otherwise than our journal."),
                _("Look at the invoice at Stripe before you do anything, and do not ask the customer to pay."),
            )
        case Name.UNKNOWN:
            next_ = _("Wait for the answer. Nothing is done twice.")
            if operation is None or not sees_operation:
                return _("An operation has not ended, and its outcome is not known yet."), next_
            return _(UNKNOWN[operation.approver_id is not None]).format(**_asked(operation)), next_
        case Name.WAITING:
            return _("Stripe has a newer state than this page."), _("Wait some seconds: it is being read.")
        case Name.RETURNED:
            return (
                _("The bank took a transfer back that is still recorded as a payment."),
                _("Report a refund on the payment record in Stripe's dashboard, then bill the customer again."),
            )
        case Name.PAID:
            return _on(_("It was paid on {day}."), _("It was paid."), invoice.paid_at), ""
        case Name.CREDITED:
            return _on(_("It was closed on {day}."), _("It was closed."), invoice.paid_at), ""
        case Name.VOID:
            return _on(_("It was voided on {day}."), _("It was voided."), invoice.voided_at), ""
        case Name.AWAITING if operation is not None:
            next_ = _("Somebody else who may approve decides. Until then nothing is sent to Stripe.")
            if not sees_operation:
                return _("A request waits for a second person."), next_
            return f"{_asked_for(operation)} {_('It waits for a second person.')}", next_
        case Name.DRAFT:
            return (
                _("It is a draft: the customer has not got it, and it can still change."),
                _("Finalize it when it is right."),
            )
        case Name.PROCESSING:
            on_its_way = money.text(situation.processing, invoice.currency)
            why = _("{amount} is on its way from the customer's bank, which takes up to {days} days.")
            return why.format(amount=on_its_way, days=BANK_OVERDUE.days), _("Wait. Do not charge again.")
        case Name.UNCOLLECTIBLE:
            since = invoice.marked_uncollectible_at
            return (
                _on(_("It was written off on {day}."), _("It was written off."), since),
                _("Nothing is collected any more. The customer can still pay it."),
            )
        case Name.CONFIRM:
            card = _card(situation)
            why = (
                _("The customer's bank wants the customer to confirm the payment ({card}).").format(card=card)
                if card
                else _("The customer's bank wants the customer to confirm the payment.")
            )
            return why, _("Send the customer the link to Stripe's payment page.")
        case Name.DECLINED:
            return _declined(situation) + _promised(situation, sees_promise), _after_decline(situation, sees_promise)
        case Name.OVERDUE | Name.OPEN:
            return _open(situation, sees_promise)
    return _("Stripe's answer could not be read."), _("Refresh it from Stripe, or look at it there.")


def _open(situation: Situation, sees_promise: bool) -> tuple[str, str]:
    invoice = situation.invoice
    late = situation.name == Name.OVERDUE
    if invoice.due_date:
        said = (
            _("It was due on {day}, and has not been paid in full.")
            if late
            else _("It is due on {day}, and has not been paid in full.")
        )
        why = said.format(day=_day(invoice.due_date))
    elif invoice.attempted or invoice.amount_paid:  # Stripe does not call a part that we charge an attempt
        why = _("It has not been paid in full.")
    else:
        why = _("It has not been charged yet.")
    why += _promised(situation, sees_promise)
    if situation.paused:
        return why, _sentence(situation.paused)
    if invoice.next_payment_attempt:
        return why, _("Stripe charges it by itself on {time}.").format(time=_time(invoice.next_payment_attempt))
    if situation.is_promised:
        return why, _wait(situation, sees_promise)
    if invoice.collection_method == "send_invoice":
        return why, _("Remind the customer.") if late else _("The customer pays on receipt.")
    if situation.lacks_default:
        no_default = _("No default payment method is known: send the customer the link to Stripe's payment page.")
        saved = _("What is saved can be chosen under Pay.")
        return why, f"{no_default} {saved}"
    return why, _("Charge it, or send the customer the link to Stripe's payment page.")


def _promised(situation: Situation, sees_promise: bool) -> str:
    """What the customer promised, after another sentence; empty where nothing was, or the reader may not know."""
    promise = situation.promise
    if promise is None or not sees_promise:
        return ""
    said = (
        _("The customer promised {amount} by {day}.")
        if situation.is_promised
        else _("The customer promised {amount} by {day}, and broke the promise.")
    )
    amount = money.text(promise.amount, promise.currency)
    return " " + said.format(amount=amount, day=date_format(promise.day, "DATE_FORMAT"))


def _wait(situation: Situation, sees_promise: bool) -> str:
    """For what was promised; empty where the reader may not know of it."""
    if situation.promise is None or not sees_promise:
        return ""
    return _("Wait until {day}.").format(day=date_format(situation.promise.day, "DATE_FORMAT"))


def _declined(situation: Situation) -> str:
    card = _card(situation)
    if not situation.reason:
        return _("The last charge was declined.")
    if card:
        return _("The last charge was declined ({card}): {reason}").format(card=card, reason=situation.reason)
    return _("The last charge was declined: {reason}").format(reason=situation.reason)


def _after_decline(situation: Situation, sees_promise: bool) -> str:
    """What helps with this kind of decline, or the day that was promised, and when Stripe tries again by itself."""
    if situation.paused:
        return _sentence(situation.paused)
    again = situation.invoice.next_payment_attempt
    advice = _(situation.help.agent) if situation.help else _("Ask the customer for another payment method.")
    if situation.is_promised:
        advice = _wait(situation, sees_promise) or advice
    retry = " " + _("Stripe tries again by itself on {time}.").format(time=_time(again)) if again else ""
    return f"{advice}{retry}"


# Whether a second person approved it → the sentence.
UNKNOWN = {
    False: gettext_noop("“{action}” was asked for by {person} on {time}, and its outcome is not known yet."),
    True: gettext_noop(
        "“{action}” was asked for by {person} on {time}, approved by {approver}, and its outcome is not known yet."
    ),
}


def _asked(operation: Operation) -> dict[str, str]:
    return {
        "action": _(label_of(operation.action)),
        "person": operation_wording.requested_by(operation),
        "time": _time(operation.created_at),
        "approver": _approver(operation),
    }


def _asked_for(operation: Operation) -> str:
    said = (
        _("“{action}” was asked for by {person} on {time}, approved by {approver}.")
        if operation.approver_id
        else _("“{action}” was asked for by {person} on {time}.")
    )
    return said.format(**_asked(operation))


def _approver(operation: Operation) -> str:
    person = operation.approver
    return (person.get_full_name() or person.get_username()) if person else ""


def decided_by(operation: Operation | None) -> str:
    """`Void was asked for by Ada, approved by Grace`: of an operation that a second person decided; else empty."""
    if operation is None or operation.approver_id is None:
        return ""
    said = (
        _("“{action}” was asked for by {person}, and rejected by {approver}.")
        if operation.state == Operation.State.CANCELLED
        else _("“{action}” was asked for by {person}, and approved by {approver}.")
    )
    return said.format(**_asked(operation))


def _card(situation: Situation) -> str:
    """What was charged; empty where that is not known."""
    return "" if situation.card == "–" else situation.card


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


def _on(with_day: str, without: str, when: datetime | None) -> str:
    """The sentence with its day, or the other one where the day is not known."""
    return with_day.format(day=_day(when)) if when else without


def _day(when: datetime) -> str:
    return date_format(timezone.localtime(when), "DATE_FORMAT")


def _time(when: datetime) -> str:
    return date_format(timezone.localtime(when), "DATETIME_FORMAT")
