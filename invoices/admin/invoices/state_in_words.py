"""An invoice's state in three sentences: what is owed, why it is unpaid or how it ended, what comes next. No HTML."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone
from django.utils.formats import date_format

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


def in_words(situation: Situation, *, names_people: bool = True) -> InWords:
    """The three sentences; one that has nothing to say is empty. `names_people`: the reader may see operations, so the
    sentences name who asked and who approved."""
    invoice = situation.invoice
    return InWords(_owed(situation), *_why_and_next(situation, invoice, names_people))


def _owed(situation: Situation) -> str:
    invoice = situation.invoice
    due, paid, remaining = (
        money.text(value, invoice.currency)
        for value in (invoice.amount_due, invoice.amount_paid, invoice.amount_remaining)
    )
    credited = f" {money.text(situation.credited, invoice.currency)} was credited." if situation.credited else ""
    match situation.name:
        case Name.DELETED | Name.VOID:
            return "Nothing is owed."
        case Name.PAID:
            return f"Nothing is owed: {paid} was paid.{credited}"
        case Name.CREDITED:
            return f"Nothing is owed, and nothing was paid:{credited}"
        case Name.DRAFT:
            return f"Nothing is owed yet. It would be over {due}."
        case Name.CONTRADICTED | Name.UNKNOWN | Name.WAITING | Name.UNREADABLE:
            return "What is owed is not certain at this moment."
    of = f" of {due}" if invoice.amount_paid else ""
    return f"{remaining}{of} is owed.{credited}"


def _why_and_next(situation: Situation, invoice: Invoice, names_people: bool) -> tuple[str, str]:
    operation = situation.unfinished
    match situation.name:
        case Name.DELETED:
            return f"The draft was deleted{_on(invoice.deleted_at)}.", "Nothing. A deleted draft cannot come back."
        case Name.CONTRADICTED:
            return (
                "Stripe says otherwise than our journal.",
                "Look at the invoice at Stripe before you do anything, and do not ask the customer to pay.",
            )
        case Name.UNKNOWN:
            asked = _asked(operation, names_people) if operation else "An operation has not ended"
            return f"{asked}, and its outcome is not known yet.", "Wait for the answer. Nothing is done twice."
        case Name.WAITING:
            return "Stripe has a newer state than this page.", "Wait some seconds: it is being read."
        case Name.PAID | Name.CREDITED:
            return f"It was {'closed' if situation.name == Name.CREDITED else 'paid'}{_on(invoice.paid_at)}.", ""
        case Name.VOID:
            return f"It was voided{_on(invoice.voided_at)}.", ""
        case Name.AWAITING if operation is not None:
            return (
                f"{_asked(operation, names_people)}. It waits for a second person.",
                "Somebody else who may approve decides. Until then nothing is sent to Stripe.",
            )
        case Name.DRAFT:
            return (
                "It is a draft: the customer has not got it, and it can still change.",
                "Finalize it when it is right.",
            )
        case Name.PROCESSING:
            on_its_way = money.text(situation.processing, invoice.currency)
            return (
                f"{on_its_way} is on its way from the customer's bank, which takes up to {BANK_OVERDUE.days} days.",
                "Wait. Do not charge again.",
            )
        case Name.UNCOLLECTIBLE:
            return (
                f"It was written off{_on(invoice.marked_uncollectible_at)}.",
                "Nothing is collected any more. The customer can still pay it.",
            )
        case Name.CONFIRM:
            return (
                f"The customer's bank wants the customer to confirm the payment{_with(situation.card)}.",
                "Send the customer the link to Stripe's payment page.",
            )
        case Name.DECLINED:
            return f"The last charge was declined{_with(situation.card)}: {situation.reason}", _after_decline(situation)
        case Name.OVERDUE | Name.OPEN:
            return _open(situation)
    return "Stripe's answer could not be read.", "Refresh it from Stripe, or look at it there."


def _open(situation: Situation) -> tuple[str, str]:
    invoice = situation.invoice
    late = situation.name == Name.OVERDUE
    if invoice.due_date:
        why = f"It {'was' if late else 'is'} due{_on(invoice.due_date)}, and has not been paid in full."
    elif invoice.attempted:
        why = "It has not been paid in full."
    else:
        why = "It has not been charged yet."
    if situation.paused:
        return why, f"{situation.paused.rstrip('.')}."
    if invoice.next_payment_attempt:
        return why, f"Stripe charges it by itself{_at(invoice.next_payment_attempt)}."
    if invoice.collection_method == "send_invoice":
        return why, "Remind the customer." if late else "The customer pays on receipt."
    return why, "Charge it, or send the customer the link to Stripe's payment page."


def _after_decline(situation: Situation) -> str:
    """What helps with this kind of decline, and when Stripe tries again by itself."""
    if situation.paused:
        return f"{situation.paused.rstrip('.')}."
    again = situation.invoice.next_payment_attempt
    retry = f" Stripe tries again by itself{_at(again)}." if again else ""
    return f"{situation.help.agent if situation.help else 'Ask the customer for another payment method.'}{retry}"


def _asked(operation: Operation, names_people: bool) -> str:
    by = f" by {operation_wording.requested_by(operation)}" if names_people else ""
    agreed = f", approved by {_approver(operation)}" if names_people and operation.approver_id else ""
    return f"“{label_of(operation.action)}” was asked for{by}{_at(operation.created_at)}{agreed}"


def _approver(operation: Operation) -> str:
    person = operation.approver
    return (person.get_full_name() or person.get_username()) if person else ""


def decided_by(operation: Operation | None) -> str:
    """`Void was asked for by Ada, approved by Grace`: of an operation that a second person decided; else empty."""
    if operation is None or operation.approver_id is None:
        return ""
    word = "rejected" if operation.state == Operation.State.CANCELLED else "approved"
    asked = operation_wording.requested_by(operation)
    return f"“{label_of(operation.action)}” was asked for by {asked}, and {word} by {_approver(operation)}."


def _with(card: str) -> str:
    return f" ({card})" if card and card != "–" else ""


def _on(when: datetime | None) -> str:
    return f" on {date_format(timezone.localtime(when), 'j F Y')}" if when else ""


def _at(when: datetime | None) -> str:
    return f" on {date_format(timezone.localtime(when), 'j F Y, H:i')}" if when else ""
