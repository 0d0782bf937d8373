"""Transfers that the bank took back although they were recorded as payments: the invoice looks paid, until somebody has
reported a refund at Stripe and says so on the debit's page."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from invoices import clock, written
from invoices.models import BankDecision, BankMatch, BankTransaction, Code, Operation
from invoices.operations import Invalid, Refusal
from invoices.statements import credits
from invoices.statements.decisions import MAX_REASON_LENGTH
from invoices.statements.recording import MATCH

SETTLED = BankDecision.What.SETTLED


def still_recorded() -> QuerySet[BankTransaction]:
    """The debits whose credit is recorded at Stripe, from the statement or by hand before it, and of which nobody has
    said that it is settled there."""
    recorded = BankMatch.objects.filter(transaction=OuterRef("undoes"), state=BankMatch.State.RECORDED)
    by_hand = _recorded_by_hand().filter(transaction=OuterRef("undoes"))
    settled = BankDecision.objects.filter(transaction=OuterRef("pk"), what=SETTLED)
    return BankTransaction.objects.filter(Exists(recorded) | Exists(by_hand), ~Exists(settled), undoes__isnull=False)


def _recorded_by_hand() -> QuerySet[BankDecision]:
    """The decisions that hold, by which a credit is a payment that somebody had recorded before."""
    taken_up = BankDecision.objects.filter(
        transaction=OuterRef("transaction"), what=BankDecision.What.REOPENED, decided_at__gte=OuterRef("decided_at")
    )
    return BankDecision.objects.filter(~Exists(taken_up), what=BankDecision.What.ALREADY_RECORDED)


def of_invoice(invoice: str) -> list[tuple[BankTransaction, int]]:
    """The debits that took back what is recorded on this invoice, with how much that was in minor units, while it is
    not settled."""
    matches = BankMatch.objects.filter(invoice=invoice, state=BankMatch.State.RECORDED)
    amounts = dict(matches.order_by().values_list("transaction", "amount"))
    made = Operation.objects.filter(invoice=invoice).values("pk")
    amounts |= dict(_recorded_by_hand().filter(operation__in=made).values_list("transaction", "amount"))
    if not amounts:
        return []
    debits = still_recorded().filter(undoes__in=list(amounts)).order_by("booked_on", "pk")
    return [(debit, amounts[debit.undoes_id]) for debit in debits if debit.undoes_id]


def settle(pk: uuid.UUID, *, by: User, reason: str, address: str | None = None, request_id: str = "") -> BankDecision:
    """A person's word that the payment which this debit took back is put right at Stripe. Raises Invalid, Refusal."""
    if not by.has_perm(MATCH):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not match bank transactions."))
    cleaned = written.clean(reason, "reason", most=MAX_REASON_LENGTH, called=_("The reason"))
    if not cleaned:
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    with transaction.atomic():
        debit = credits.locked([pk]).get(pk)  # of two people at once, the second finds that it is settled
        if debit is None or not still_recorded().filter(pk=pk).exists():
            raise Refusal(Code.INVOICE_CHANGED, _("Somebody decided on this already. Open it again."))
        return BankDecision.objects.create(
            transaction=debit,
            what=SETTLED,
            amount=-debit.amount,
            reason=cleaned,
            decided_by=by,
            decided_at=clock.now(),
            address=address,
            request_id=request_id[:255],
        )
