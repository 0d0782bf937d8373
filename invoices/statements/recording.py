"""Records credits as payments: what a person confirms becomes a batch of operations, one for each match.

The matches, the batch and what is left of each credit are written in one transaction. So whatever is killed, a credit
is either as it was, or its batch stands in the journal and the workers carry it out. The id of an operation follows
from account, transaction, invoice and attempt: the same credit for the same invoice is the same request to Stripe.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef
from django.utils.translation import gettext as _

from invoices import clock, money, recorded
from invoices.models import (
    BankMatch,
    BankTransaction,
    Batch,
    BatchItem,
    Code,
    Contradiction,
    Invoice,
    KnownPayer,
    Operation,
)
from invoices.operations import Invalid, Refusal, batch
from invoices.operations.request import RANDOM
from invoices.statements import credits
from invoices.statements.keeping import NAMESPACE
from invoices.statements.payers import payer_of

MATCH = "invoices.match_banktransaction"
ACTION = "attach_out_of_band_payment"
METHOD = "Bank transfer"
SETTLED_AT_ONCE = 500  # matches of which one look of the task asks what came


@dataclass(frozen=True)
class Confirmed:
    """A person's word: this much of a credit (minor units) pays this invoice. `confidence`: of the proposal."""

    transaction: uuid.UUID
    invoice: str
    amount: int
    confidence: int | None = None


def confirm(
    words: Sequence[Confirmed],
    *,
    by: User,
    reason: str,
    batch_id: uuid.UUID,
    ticket: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Batch:
    """Makes the batch that records these; the workers perform it, or it waits for a second person first. A form that is
    sent twice makes one batch.

    Raises Invalid and Refusal: without permission, where a credit has less left than is assigned, where an invoice
    takes no payment, and where this credit pays the invoice already.
    """
    if not by.has_perm(MATCH):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not match bank transactions."))
    if batch_id.version != RANDOM:
        raise Invalid("batch", _("This page was not made by the desk. Open it again."))
    if not words:
        raise Invalid("invoices", _("Choose at least one invoice."))
    with transaction.atomic():
        rows = credits.locked({word.transaction for word in words})
        # Read after the lock: of two forms that are sent at once, the second finds what the first has made.
        if made := Batch.objects.filter(pk=batch_id).first():
            if made.actor_id != by.pk or not BankMatch.objects.filter(batch=made).exists():
                raise Refusal(Code.IDEMPOTENCY_KEY_REUSED, _("This page was not made by the desk. Open it again."))
            return made
        invoices = Invoice.objects.in_bulk({word.invoice for word in words})
        _check(words, rows, invoices)
        matches = _matches(words, rows, invoices, batch_id, by)
        made = batch.start_items(
            ACTION,
            _items(matches, rows, invoices),
            actor=by,
            reason=reason,
            ticket=ticket,
            batch_id=batch_id,
            address=address,
            request_id=request_id,
        )
        for match in matches:
            match.save(force_insert=True)
        for pk, amount in _assigned(words).items():
            rows[pk].left -= amount
            credits.save(rows[pk])
    return made


def check(words: Sequence[Confirmed]) -> None:
    """Whether these could be recorded as things are now, for a look before it. Raises as `confirm` does."""
    rows = BankTransaction.objects.in_bulk({word.transaction for word in words})
    _check(words, rows, Invoice.objects.in_bulk({word.invoice for word in words}))


def is_sent(batch: str, credit: BankTransaction, by: Any) -> bool:
    """Whether this person's form with this id was taken before, for this credit."""
    try:
        id = uuid.UUID(batch)
    except ValueError:
        return False
    return BankMatch.objects.filter(batch=id, transaction=credit, confirmed_by=by).exists()


def _assigned(words: Iterable[Confirmed]) -> Counter[uuid.UUID]:
    amounts: Counter[uuid.UUID] = Counter()
    for word in words:
        amounts[word.transaction] += word.amount
    return amounts


def _check(words: Sequence[Confirmed], rows: dict[uuid.UUID, BankTransaction], invoices: dict[str, Invoice]) -> None:
    """Raises Invalid, Refusal."""
    if len({(word.transaction, word.invoice) for word in words}) < len(words):
        raise Invalid("invoices", _("An invoice is named twice for one credit. Give the sum in one line."))
    live = set(
        BankMatch.objects.filter(transaction__in=list(rows), state__in=BankMatch.LIVE).values_list(
            "transaction_id", "invoice"
        )
    )
    debits = BankTransaction.objects.filter(undoes__in=list(rows)).order_by("booked_on", "pk")
    returned = {debit.undoes_id: debit for debit in debits}
    for word in words:
        with _named(rows.get(word.transaction), among=len(rows)):
            _check_one(word, rows.get(word.transaction), invoices.get(word.invoice), live, returned)
    for pk, amount in _assigned(words).items():
        with _named(rows[pk], among=len(rows)):
            _check_left(rows[pk], amount)
    before = BankMatch.objects.filter(transaction__in=list(rows), state=BankMatch.State.RELEASED).values("pk")
    if Contradiction.objects.filter(operation__in=before, resolved_at=None).exists():
        message = _("Stripe says otherwise than the journal about an earlier try. A manager must look at that first.")
        raise Refusal(Code.OUTCOME_UNKNOWN, message)


def _check_one(
    word: Confirmed,
    credit: BankTransaction | None,
    invoice: Invoice | None,
    live: set[tuple[uuid.UUID, str]],
    returned: dict[Any, BankTransaction],
) -> None:
    """`live`: the transactions and invoices between which a match stands; `returned`: by its id, the debit that took a
    credit back."""
    if credit is None or credit.amount <= 0:
        raise Refusal(Code.RESOURCE_MISSING, _("There is no such credit."))
    if debit := returned.get(credit.pk):
        message = _(
            "The bank took the transfer of {payer} back on {day}. Set it aside. If that debit returns another "
            "transfer, first record the payment on the invoice’s page."
        )
        shown = {"payer": credit.payer_name or credit.text[:60], "day": debit.booked_on.isoformat()}
        raise Refusal(Code.INVOICE_CHANGED, message.format(**shown))
    if invoice is None:
        raise Invalid("invoices", _("No such invoice: '{id}'").format(id=word.invoice[:255]))
    if word.amount <= 0:
        raise Invalid("amount", _("The amount must be more than nothing."))
    if invoice.currency != credit.currency:
        message = _("Invoice {number} is in {currency}, and the credit in {other}.")
        codes = {"currency": (invoice.currency or "?").upper(), "other": credit.currency.upper()}
        raise Invalid("invoices", message.format(number=invoice.number or invoice.pk, **codes))
    if (word.transaction, word.invoice) in live:
        message = _("This credit pays invoice {number} already.")
        raise Refusal(Code.INVOICE_CHANGED, message.format(number=invoice.number or invoice.pk))
    if word.amount > (invoice.amount_remaining or 0):
        message = _("Of invoice {number} {amount} remain, which is less. What is over stays with the credit.")
        remains = money.text(invoice.amount_remaining or 0, invoice.currency)
        raise Invalid("amount", message.format(number=invoice.number or invoice.pk, amount=remains))


def _check_left(credit: BankTransaction, assigned: int) -> None:
    if assigned > credit.left:
        message = _("Of this credit {left} are left, and {amount} are assigned. Open it again.")
        left, amount = money.text(credit.left, credit.currency), money.text(assigned, credit.currency)
        raise Refusal(Code.INVOICE_CHANGED, message.format(left=left, amount=amount))


@contextmanager
def _named(credit: BankTransaction | None, *, among: int) -> Iterator[None]:
    """A refusal because of one of several credits says of which."""
    try:
        yield
    except Refusal as refusal:
        if credit is not None and among > 1:
            credit_is = _("{payer}, {day}, {amount}").format(
                payer=credit.payer_name or credit.text[:60],
                day=credit.booked_on.isoformat(),
                amount=money.text(credit.amount, credit.currency),
            )
            refusal.message = f"{credit_is}: {refusal.message}"
        raise


def operation_id(credit: BankTransaction, invoice: str, attempt: int) -> uuid.UUID:
    """Of the operation that records this credit on this invoice: always the same, on every installation."""
    return uuid.uuid5(NAMESPACE, f"{credit.account} {credit.identity} {invoice} {attempt}")


def _matches(
    words: Sequence[Confirmed],
    rows: dict[uuid.UUID, BankTransaction],
    invoices: dict[str, Invoice],
    batch_id: uuid.UUID,
    by: User,
) -> list[BankMatch]:
    earlier = BankMatch.objects.filter(transaction__in=list(rows)).values_list("transaction_id", "invoice")
    attempts = {(pk, invoice): number for pk, invoice, number in earlier.order_by().annotate(number=Count("pk"))}
    found = []
    for word in words:
        credit, attempt = rows[word.transaction], attempts.get((word.transaction, word.invoice), 0) + 1
        found.append(
            BankMatch(
                id=operation_id(credit, word.invoice, attempt),
                transaction=credit,
                invoice=word.invoice,
                customer=invoices[word.invoice].customer_id or "",
                amount=word.amount,
                currency=credit.currency,
                attempt=attempt,
                batch_id=batch_id,
                confidence=word.confidence,
                confirmed_by=by,
                confirmed_at=clock.now(),
            )
        )
    return found


def _items(
    matches: Sequence[BankMatch], rows: dict[uuid.UUID, BankTransaction], invoices: dict[str, Invoice]
) -> list[BatchItem]:
    """An invoice that takes several credits has after each the less to pay: the next one expects so much. Raises
    Invalid where they are more than remains."""
    remaining = {pk: invoice.amount_remaining or 0 for pk, invoice in invoices.items()}
    items = []
    for match in matches:
        invoice, credit = invoices[match.invoice], rows[match.transaction_id]
        params = {**params_of(credit), "amount": match.amount}
        items.append(
            BatchItem(match.invoice, invoice.status, remaining[match.invoice], match.currency, params, str(match.pk))
        )
        remaining[match.invoice] -= match.amount
        if remaining[match.invoice] < 0:
            message = _("Together these credits are more than remains of invoice {number}.")
            raise Invalid("amount", message.format(number=invoice.number or invoice.pk))
    return items


def params_of(credit: BankTransaction) -> dict[str, Any]:
    """What the operations of a credit are told, but for their amounts."""
    return {
        "method": METHOD,
        "reference": reference_of(credit),
        "received_on": credit.booked_on.isoformat(),
    }


def reference_of(credit: BankTransaction) -> str:
    """By what the payment is found at the bank: its own reference, or that of the payer; else the day and line."""
    given = credit.bank_reference or credit.end_to_end_id or credit.structured_reference
    return given or f"{credit.booked_on.isoformat()} line {credit.number}"


# --- what came of it --------------------------------------------------------------------------------------------------


def settle_due() -> int:
    """Looks at what came of the matches that are being recorded; how many have ended. A job does this."""
    ended = Exists(Operation.objects.filter(pk=OuterRef("pk"), state__in=Operation.FINAL))
    begun = Exists(Operation.objects.filter(pk=OuterRef("pk")))
    over = Exists(Batch.objects.filter(pk=OuterRef("batch"), finished_at__isnull=False))
    # Those that go on although their batch is over, such as unknown outcomes, would keep the others waiting.
    waiting = BankMatch.objects.filter(ended | (over & ~begun), state=BankMatch.State.CONFIRMED).order_by(
        "confirmed_at"
    )
    return settle(set(waiting.values_list("transaction_id", flat=True)[:SETTLED_AT_ONCE]))


def settle(ids: Iterable[uuid.UUID]) -> int:
    """The same for the matches of these transactions."""
    number = 0
    by_credit: dict[uuid.UUID, list[BankMatch]] = defaultdict(list)
    confirmed = BankMatch.objects.filter(transaction__in=list(ids), state=BankMatch.State.CONFIRMED)
    for match in confirmed.select_related("batch"):
        by_credit[match.transaction_id].append(match)
    operations = Operation.objects.in_bulk([match.pk for found in by_credit.values() for match in found])
    for pk in sorted(by_credit):
        with recorded.in_english():
            ends = [(match, end) for match in by_credit[pk] if (end := _end_of(match, operations.get(match.pk)))]
        if ends:
            number += _end(pk, ends)
    return number


def _end_of(match: BankMatch, operation: Operation | None) -> tuple[str, str] | None:
    """The state in which a match ends and why; None where it goes on."""
    if operation is None:
        if match.batch.finished_at is None:
            return None
        why = match.batch.decision_reason or _("The batch has ended before it came to this. Nothing was sent.")
        return BankMatch.State.RELEASED, why
    if operation.state == Operation.State.SUCCEEDED:
        return BankMatch.State.RECORDED, ""
    if operation.state in Operation.FINAL:
        return BankMatch.State.RELEASED, operation.message
    return None


def _end(pk: uuid.UUID, ends: Sequence[tuple[BankMatch, tuple[str, str]]]) -> int:
    """Writes how matches of one credit have ended. What was not recorded is left of the credit again."""
    number = 0
    with transaction.atomic():
        credit = credits.locked([pk])[pk]
        # The customers that a payer has paid for are written in one order everywhere.
        for match, (state, message) in sorted(ends, key=lambda each: each[0].customer):
            waiting = BankMatch.objects.filter(pk=match.pk, state=BankMatch.State.CONFIRMED)
            if not waiting.update(state=state, ended_at=clock.now(), message=message):
                continue  # another process has seen it
            number += 1
            if state == BankMatch.State.RELEASED:
                credit.left += match.amount
            else:
                _remember(credit, match)
        credits.save(credit)
    return number


def _remember(credit: BankTransaction, match: BankMatch) -> None:
    """This payer has paid for this customer: next month's proposals know it."""
    payer = payer_of(credit)
    if payer and match.customer:
        known, is_new = KnownPayer.objects.get_or_create(
            payer=payer, customer=match.customer, defaults={"times": 1, "last_at": clock.now()}
        )
        if not is_new:
            KnownPayer.objects.filter(pk=known.pk).update(times=F("times") + 1, last_at=clock.now())
