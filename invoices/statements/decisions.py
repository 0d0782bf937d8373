"""What people decide on a credit other than that it pays an invoice: set aside, not ours, or recorded already."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from invoices import clock, money, written
from invoices.models import BankDecision, BankMatch, BankTransaction, Code, Operation, StatementLine
from invoices.operations import Invalid, Refusal
from invoices.statements import credits, keeping
from invoices.statements.recording import ACTION, MATCH

MAX_REASON_LENGTH = 500  # characters
What = BankDecision.What
_OF_NO_AMOUNT = (What.ANOTHER, What.SETTLED)  # they set nothing of a credit aside


def decide(
    pk: uuid.UUID,
    what: str,
    *,
    by: User,
    reason: str,
    operation: uuid.UUID | None = None,
    address: str | None = None,
    request_id: str = "",
) -> BankDecision:
    """Writes what a person decides on all that is left of a credit. `operation`: that recorded this payment before the
    statement came; only for ALREADY_RECORDED.

    Raises Invalid beside its field, and Refusal: without permission, or where nothing is left.
    """
    _check_person(by)
    if what not in (What.IGNORED, What.NOT_OURS, What.ALREADY_RECORDED):
        raise Invalid("what", _("Please say what it is."))
    cleaned = written.clean(reason, "reason", most=MAX_REASON_LENGTH, called=_("The reason"))
    if not cleaned:
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    with transaction.atomic():
        credit = credits.locked([pk]).get(pk)
        if credit is None or not credit.left:
            raise Refusal(Code.INVOICE_CHANGED, _("Nothing of this credit is left to decide on."))
        if what == What.ALREADY_RECORDED:
            _check_operation(credit, operation)
        made = BankDecision.objects.create(
            transaction=credit,
            what=what,
            amount=credit.left,
            reason=cleaned,
            operation=operation if what == What.ALREADY_RECORDED else None,
            decided_by=by,
            decided_at=clock.now(),
            address=address,
            request_id=request_id[:255],
        )
        credit.left = 0
        credits.save(credit)
    return made


def take_up_again(
    pk: uuid.UUID, *, by: User, reason: str, address: str | None = None, request_id: str = ""
) -> BankDecision:
    """What was decided on a credit no longer holds, and it is to be matched again; what was recorded stays recorded.
    Raises Invalid, Refusal."""
    _check_person(by)
    cleaned = written.clean(reason, "reason", most=MAX_REASON_LENGTH, called=_("The reason"))
    if not cleaned:
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    with transaction.atomic():
        credit = credits.locked([pk]).get(pk)
        amount = decided(credit) if credit else 0
        if credit is None or not amount:
            raise Refusal(Code.INVOICE_CHANGED, _("Nothing of this credit was set aside."))
        made = BankDecision.objects.create(
            transaction=credit,
            what=What.REOPENED,
            amount=amount,
            reason=cleaned,
            decided_by=by,
            decided_at=clock.now(),
            address=address,
            request_id=request_id[:255],
        )
        credit.left += amount
        credits.save(credit)
    return made


def say_it_is_another(
    pk: uuid.UUID,
    *,
    by: User,
    reason: str,
    line: int | None = None,
    address: str | None = None,
    request_id: str = "",
) -> BankDecision:
    """A credit that may be one of another file is another payment; or, where `line` is given, that line of a statement,
    which was taken for this credit, is a credit of its own. Nothing takes this back: it can be set aside until it is
    recorded.

    Raises Invalid, Refusal.
    """
    _check_person(by)
    cleaned = written.clean(reason, "reason", most=MAX_REASON_LENGTH, called=_("The reason"))
    if not cleaned:
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    with transaction.atomic():
        keeping.one_after_the_other()
        credit = credits.locked([pk]).get(pk)
        if credit is not None and line is not None:
            credit = _of_line(credit, line)
        elif credit is None or not credit.left or not credit.resembles_id or credits.said_to_be_another([pk]):
            credit = None
        if credit is None:
            raise Refusal(Code.INVOICE_CHANGED, _("Somebody decided on this already. Open it again."))
        made = BankDecision.objects.create(
            transaction=credit,
            what=What.ANOTHER,
            amount=credit.amount,
            reason=cleaned,
            decided_by=by,
            decided_at=clock.now(),
            address=address,
            request_id=request_id[:255],
        )
        credits.save(credit)
    return made


def _of_line(credit: BankTransaction, pk: int) -> BankTransaction | None:
    line = StatementLine.objects.filter(pk=pk, transaction=credit).exclude(statement=credit.statement_id).first()
    return keeping.of_its_own(line, credit) if line and credit.amount > 0 else None


def standing(credit: BankTransaction) -> list[BankDecision]:
    """The decisions on a credit that hold: those since it was last taken up again, oldest first."""
    found: list[BankDecision] = []
    for each in credit.decisions.order_by("decided_at", "pk").select_related("decided_by"):
        if each.what == What.REOPENED:
            found = []
        elif each.what not in _OF_NO_AMOUNT:
            found.append(each)
    return found


def decided(credit: BankTransaction) -> int:
    """How much of it was set aside, in minor units."""
    return sum(each.amount for each in standing(credit))


def recorded_by_hand(credit: BankTransaction, invoices: list[str]) -> list[Operation]:
    """Payments of this amount that people recorded on these invoices, and that no credit stands for yet: the credit may
    be one of them."""
    made = Operation.objects.filter(
        invoice__in=invoices, action__in=_RECORDING, state=Operation.State.SUCCEEDED, currency=credit.currency
    ).order_by("-created_at")[:50]
    return [each for each in made if _amount_of(each) == credit.left and not _is_taken(each.pk)]


# `pay` records a payment too, with `paid_out_of_band`.
_RECORDING = (ACTION, "pay")


def _amount_of(operation: Operation) -> int | None:
    if operation.action == ACTION:
        return operation.params.get("amount")
    return operation.before.get("amount_remaining") if operation.params.get("paid_out_of_band") else None


def _is_taken(operation: uuid.UUID) -> bool:
    """Whether a credit stands for this payment: it was made from one, or somebody said so."""
    if BankMatch.objects.filter(pk=operation).exists():
        return True
    said = BankDecision.objects.filter(operation=operation).select_related("transaction")
    return any(each in standing(each.transaction) for each in said)


def _check_operation(credit: BankTransaction, pk: uuid.UUID | None) -> None:
    """Raises Invalid."""
    # Locked, so that two people do not say of two credits at once that they are this payment.
    operation = Operation.objects.select_for_update(of=("self",), no_key=True).filter(pk=pk).first() if pk else None
    if operation is None or operation.action not in _RECORDING or operation.state != Operation.State.SUCCEEDED:
        raise Invalid("operation", _("Choose the payment that was recorded already."))
    if operation.currency != credit.currency or _amount_of(operation) != credit.left:
        message = _("That payment is of another amount than the {amount} that are left of this credit.")
        raise Invalid("operation", message.format(amount=money.text(credit.left, credit.currency)))
    if _is_taken(operation.pk):
        raise Invalid("operation", _("Another credit stands for that payment already."))


def _check_person(by: User) -> None:
    if not by.has_perm(MATCH):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not match bank transactions."))


def sums_set_aside(statement: uuid.UUID) -> int:
    """What of the credits of a statement stands set aside, in minor units."""
    made = BankDecision.objects.filter(transaction__lines__statement=statement)
    given = made.exclude(what__in=(What.REOPENED, *_OF_NO_AMOUNT)).aggregate(sum=Sum("amount"))["sum"] or 0
    back = made.filter(what=What.REOPENED).aggregate(sum=Sum("amount"))["sum"] or 0
    return given - back
