"""Keeps what a file of a bank says: its statements, and each transaction once, whichever files bring it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from invoices import clock, money
from invoices.models import (
    BankStatement,
    BankTransaction,
    Code,
    StatementLine,
    many_rows,
)
from invoices.operations import Refusal
from invoices.statements.formats.parsed import (
    MAX_BYTES,
    MAX_LINES,
    BadStatement,
    Line,
    ParsedStatement,
    difference,
)
from invoices.wakeups import wake

UPLOAD, VIEW = "invoices.add_bankstatement", "invoices.view_bankstatement"
# Of the ids of statements and transactions, which follow from what they hold.
NAMESPACE = uuid.UUID("3f0cf9e2-1f4b-4a5e-9a55-6f5f6f0c6f2a")
ROWS_AT_ONCE = 1000
LONGEST_RETURN = timedelta(days=400)  # between a credit and the debit that returns it
LONGEST_WITHOUT_NAME = timedelta(days=60)  # the same, where the debit names neither a reference nor the payer
SHORTEST_REFERENCE = 6  # characters of what is taken for a reference
State = BankTransaction.State


@dataclass
class Kept:
    """What came of a file."""

    statements: list[BankStatement]
    again: bool = False  # the very same file was taken before: nothing was written
    new: int = 0  # transactions that no file had brought
    known: int = 0
    credits: int = 0  # of the new ones: those to match
    _ids: list[uuid.UUID] = field(default_factory=list)


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_size(content: bytes) -> None:
    """Raises BadStatement for a file that is empty or too large."""
    check_size_of(len(content))
    if not content.strip():
        raise BadStatement(_("The file is empty. Choose the file that the bank gave you."))


def check_size_of(size: int) -> None:
    """The same before it is read: `size` is in bytes."""
    if size > MAX_BYTES:
        message = _("The file is larger than {limit} MB. Ask the bank for a shorter period.")
        raise BadStatement(message.format(limit=MAX_BYTES // 1024 // 1024))


def check(statements: Sequence[ParsedStatement]) -> None:
    """Whether a file can be taken: it has statements, not too many lines, and each ties to its balances. Raises
    BadStatement."""
    if not statements:
        raise BadStatement(_("There is no statement in this file."))
    if sum(len(each.lines) for each in statements) > MAX_LINES:
        message = _("The file has more than {limit} lines. Ask the bank for a shorter period.")
        raise BadStatement(message.format(limit=f"{MAX_LINES:,}"))
    for each in statements:
        if foreign := next((line for line in each.lines if line.currency != each.currency), None):
            message = _("A line is in {currency}, and the account in {other}.")
            raise BadStatement(
                message.format(currency=foreign.currency.upper(), other=each.currency.upper()), foreign.number
            )
        if off := difference(each):
            message = _(
                "Statement {number} of account {account} does not tie: its lines add up to {sum}, its balances differ "
                "by {balances}. {difference} are unaccounted for. Nothing was taken; ask the bank for the whole file."
            )
            assert each.closing is not None and each.opening is not None  # noqa: S101  otherwise nothing ties
            raise BadStatement(
                message.format(
                    number=each.number or "–",
                    account=each.account,
                    sum=money.text(sum(line.amount for line in each.lines), each.currency),
                    balances=money.text(each.closing - each.opening, each.currency),
                    difference=money.text(abs(off), each.currency),
                )
            )


def keep(
    content: bytes,
    statements: Sequence[ParsedStatement],
    *,
    file_name: str,
    by: User | None,
    shell_user: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Kept:
    """Keeps the statements of a file, all or none. The same file again changes nothing, nor do lines that an earlier
    file had. `by` is None for a command.

    Raises BadStatement where the file cannot be taken, and Refusal without the permission.
    """
    if by is not None and not by.has_perm(UPLOAD):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not upload bank statements."))
    check_size(content)
    digest = hash_of(content)
    if known := taken(digest):
        return Kept(known, again=True)
    check(statements)
    kept = Kept([])
    with transaction.atomic():
        rows = []
        for place, each in enumerate(statements):
            rows.append(
                BankStatement(
                    id=uuid.uuid5(NAMESPACE, f"{digest} {place}"),
                    file_hash=digest,
                    file_name=file_name[-255:],
                    format=each.format,
                    account=each.account[:64],
                    currency=each.currency,
                    number=each.number[:255],
                    begins_on=each.begins_on,
                    ends_on=each.ends_on,
                    opening=each.opening,
                    closing=each.closing,
                    line_count=len(each.lines),
                    known_count=0,
                    uploaded_by=by,
                    uploaded_at=clock.now(),
                    shell_user=shell_user[:255],
                    address=address,
                    request_id=request_id[:255],
                )
            )
        # In one order everywhere, so that two files with the same lines wait for each other once, and not both ways.
        lines = [_transactions(row, each) for row, each in zip(rows, statements, strict=True)]
        inserted = _insert({each.pk: each for found in lines for each in found})
        for row, found in zip(rows, lines, strict=True):
            row.known_count = sum(each.pk not in inserted for each in found)
        if not many_rows.insert(BankStatement, rows[:1], absent=True):
            transaction.set_rollback(True)
            return Kept(taken(digest), again=True)  # somebody took the same file at the same moment
        many_rows.insert(BankStatement, rows[1:])
        _insert_lines(rows, lines)
        for chunk in _chunks(sorted(inserted)):
            _look_back(list(BankTransaction.objects.filter(pk__in=chunk)))
        kept.statements, kept.new = rows, len(inserted)
        kept.known = sum(row.known_count for row in rows)
        kept.credits = sum(each.amount > 0 for found in lines for each in found if each.pk in inserted)
        transaction.on_commit(partial(wake, "propose_matches"), robust=True)
    return kept


def taken(digest: str) -> list[BankStatement]:
    """The statements of the file with this hash; none where it was not taken yet."""
    return list(BankStatement.objects.filter(file_hash=digest).select_related("uploaded_by").order_by("account", "id"))


# --- transactions -----------------------------------------------------------------------------------------------------


def _transactions(statement: BankStatement, said: ParsedStatement) -> list[BankTransaction]:
    rows = []
    for line, identity in zip(said.lines, identities(said.lines), strict=True):
        credit = line.amount > 0
        rows.append(
            BankTransaction(
                id=uuid.uuid5(NAMESPACE, f"{statement.account} {identity}"),
                statement=statement,
                number=line.number,
                account=statement.account,
                identity=identity,
                booked_on=line.booked_on,
                valued_on=line.valued_on,
                amount=line.amount,
                currency=line.currency,
                bank_reference=line.bank_reference[:255],
                end_to_end_id=line.end_to_end_id[:255],
                payer_name=line.payer_name[:255],
                payer_account=line.payer_account[:64],
                text=line.text,
                structured_reference=line.structured_reference[:255],
                code=line.code[:255],
                returns=list(line.returns),
                return_reason=line.return_reason[:255],
                state=State.OPEN if credit else State.RETURNED if line.returns else State.DEBIT,
                left=line.amount if credit else 0,
            )
        )
    return rows


def identities(lines: Iterable[Line]) -> Iterator[str]:
    """By what each line is known in another file of the same account: the bank's own reference, or else all that it
    says; and which one it is of those that say the same."""
    seen: Counter[str] = Counter()
    for line in lines:
        said: tuple[Any, ...] = (line.booked_on.isoformat(), line.amount, line.currency)
        if line.bank_reference:
            said += ("reference", line.bank_reference)
        else:
            texts = (line.end_to_end_id, line.payer_account, line.payer_name, line.structured_reference, line.text)
            said += ("text", *("".join(text.split()).upper() for text in texts))
        seen[key := repr(said)] += 1
        yield hashlib.sha256(f"{key} {seen[key]}".encode()).hexdigest()


def _insert(rows: dict[uuid.UUID, BankTransaction]) -> set[uuid.UUID]:
    """Those of these transactions that no file had brought."""
    inserted: set[uuid.UUID] = set()
    for chunk in _chunks(sorted(rows)):
        there = set(BankTransaction.objects.filter(pk__in=chunk).values_list("pk", flat=True))
        new = [rows[pk] for pk in chunk if pk not in there]
        inserted |= many_rows.insert(BankTransaction, new, absent=True)
    return inserted


def _insert_lines(statements: list[BankStatement], transactions: list[list[BankTransaction]]) -> None:
    lines = (
        StatementLine(statement=statement, number=each.number, place=place, transaction_id=each.pk)
        for statement, found in zip(statements, transactions, strict=True)
        for place, each in enumerate(found, 1)
    )
    StatementLine.objects.bulk_create(lines, batch_size=ROWS_AT_ONCE)


def _chunks(ids: Sequence[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    return (list(ids[begin : begin + ROWS_AT_ONCE]) for begin in range(0, len(ids), ROWS_AT_ONCE))


# --- what a transaction has to do with earlier ones -------------------------------------------------------------------


def _look_back(new: list[BankTransaction]) -> None:
    """Finds for each new transaction the credit that it returns, and one of another file that it may be again."""
    alike, returned = _alike(new), _returned(new)
    found = []
    for each in new:
        each.undoes, each.resembles = returned.get(each.pk), alike.get(each.pk)
        if each.undoes is not None:
            each.state = State.RETURNED
        if each.undoes or each.resembles:
            found.append(each)
    many_rows.update(BankTransaction, found, ["undoes_id", "resembles_id", "state"])


def _alike(new: list[BankTransaction]) -> dict[uuid.UUID, BankTransaction]:
    """Credits of another file with the same day and amount. Another format words a line in another way, so without a
    reference of the bank's nobody can tell whether it is the same."""
    found: dict[uuid.UUID, BankTransaction] = {}
    credits = {(each.account, each.booked_on, each.amount): each for each in new if each.amount > 0}
    if not credits:
        return {}
    earlier: dict[tuple[Any, ...], list[BankTransaction]] = {}
    others = BankTransaction.objects.filter(
        account__in={account for account, _day, _amount in credits},
        booked_on__in={day for _account, day, _amount in credits},
        amount__in={amount for _account, _day, amount in credits},
    )
    for other in others.select_related("statement").order_by("statement__uploaded_at", "pk"):
        earlier.setdefault((other.account, other.booked_on, other.amount), []).append(other)
    hashes = dict(
        BankStatement.objects.filter(pk__in={each.statement_id for each in new}).values_list("pk", "file_hash")
    )
    for each in new:
        if each.amount <= 0:
            continue
        for other in earlier.get((each.account, each.booked_on, each.amount), ()):
            elsewhere = other.statement.file_hash != hashes.get(each.statement_id)
            # Two references of the bank's that differ are two transactions.
            told_apart = each.bank_reference and other.bank_reference
            if elsewhere and not told_apart and _payers_agree(each, other):
                found[each.pk] = other
                break
    return found


def _payers_agree(one: BankTransaction, other: BankTransaction) -> bool:
    """False where both name the payer's account, or both their reference, and these differ."""
    pairs = ((one.payer_account, other.payer_account), (one.end_to_end_id, other.end_to_end_id))
    return all(not first or not second or first == second for first, second in pairs)


def _returned(new: list[BankTransaction]) -> dict[uuid.UUID, BankTransaction]:
    """Of each debit that returns an earlier credit of the same amount: that credit.

    Its references name it; or the debit says to be a return, and there is only one credit that it can mean.
    """
    named = {each.pk: _references(each) for each in new if each.amount < 0}
    references = sorted(set().union(*named.values()))
    by_reference: dict[str, list[BankTransaction]] = {}
    for begin in range(0, len(references), ROWS_AT_ONCE):
        chunk = references[begin : begin + ROWS_AT_ONCE]
        for column in ("end_to_end_id", "bank_reference"):
            for credit in BankTransaction.objects.filter(**{f"{column}__in": chunk}, amount__gt=0).order_by(
                "-booked_on", "pk"
            ):
                by_reference.setdefault(getattr(credit, column), []).append(credit)
    found: dict[uuid.UUID, BankTransaction] = {}
    taken: set[uuid.UUID] = set()
    for debit in new:
        candidates = [credit for name in sorted(named.get(debit.pk, ())) for credit in by_reference.get(name, ())]
        if not candidates and debit.amount < 0 and debit.returns:
            candidates = may_be_returned_by(debit)
            candidates = candidates if len(candidates) == 1 else []  # of several a person chooses
        for credit in candidates:
            if credit.pk not in taken and _may_return(debit, credit):
                found[debit.pk] = credit
                taken.add(credit.pk)
                break
    return found


def _references(debit: BankTransaction) -> set[str]:
    """What a debit names: references of its own fields, and those that its text holds."""
    given = {*debit.returns, debit.end_to_end_id, *re.split(r"[\s,;]+", debit.text)}
    return {each for each in given if len(each) >= SHORTEST_REFERENCE}


def may_be_returned_by(debit: BankTransaction) -> list[BankTransaction]:
    """The credits that a return can mean of which nothing tells more: of this amount and, where the debit names an
    account, of this payer; newest first, the first few."""
    since = debit.booked_on - (LONGEST_RETURN if debit.payer_account else LONGEST_WITHOUT_NAME)
    credits = BankTransaction.objects.filter(
        account=debit.account, amount=-debit.amount, booked_on__range=(since, debit.booked_on), returned_by=None
    )
    if debit.payer_account:
        credits = credits.filter(payer_account=debit.payer_account)
    return list(credits.order_by("-booked_on", "pk")[:5])


def _may_return(debit: BankTransaction, credit: BankTransaction) -> bool:
    same = (credit.account, credit.amount) == (debit.account, -debit.amount)
    days = debit.booked_on - credit.booked_on
    return same and timedelta() <= days <= LONGEST_RETURN and not credit.returned_by.exists()
