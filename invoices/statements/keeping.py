"""Keeps what a file of a bank says: its statements, and each transaction once, whichever files bring it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction
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
from invoices.statements.formats.references import is_iban, writings
from invoices.statements.known_lines import NAMESPACE, ROWS_AT_ONCE, KnownLines, chunks, identity_of, pk_of, says
from invoices.wakeups import wake

UPLOAD, VIEW = "invoices.add_bankstatement", "invoices.view_bankstatement"
LOCK = 7_203_004_215  # of PostgreSQL's advisory locks: who holds it keeps statements
BOOKED_AHEAD = timedelta(days=31)  # a bank may name the day on which money counts; a year that is wrong is farther off
LONGEST_RETURN = timedelta(days=400)  # between a credit and the debit that returns it
LONGEST_WITHOUT_NAME = timedelta(days=60)  # the same, where the debit names neither a reference nor the payer
SHORTEST_REFERENCE = 6  # characters of what is taken for a reference
NEAR = timedelta(days=5)  # between the days on which two files book one payment
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
    latest = clock.now().date() + BOOKED_AHEAD
    for each in statements:
        if foreign := next((line for line in each.lines if line.currency != each.currency), None):
            message = _("A line is in {currency}, and the account in {other}.")
            raise BadStatement(
                message.format(currency=foreign.currency.upper(), other=each.currency.upper()), foreign.number
            )
        if late := next((line for line in each.lines if line.booked_on > latest), None):
            message = _("A line is of {day}, which is yet to come. Is the year right? Nothing was taken.")
            raise BadStatement(message.format(day=late.booked_on.isoformat()), late.number)
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
        one_after_the_other()
        if known := taken(digest):
            return Kept(known, again=True)  # somebody took the same file at the same moment
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
        ids = _keep_transactions(rows, statements, kept)
        many_rows.insert(BankStatement, rows)
        _insert_lines(rows, statements, ids)
        kept.statements = rows
        kept.known = sum(row.known_count for row in rows)
        transaction.on_commit(partial(wake, "propose_matches"), robust=True)
    return kept


def one_after_the_other() -> None:
    """In a transaction: only one file is kept at a time. Which lines of a file are known follows from what the file
    before it has kept."""
    if connection.vendor == "postgresql":  # SQLite has one writer at a time
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def taken(digest: str) -> list[BankStatement]:
    """The statements of the file with this hash; none where it was not taken yet."""
    return list(BankStatement.objects.filter(file_hash=digest).select_related("uploaded_by").order_by("account", "id"))


# --- transactions -----------------------------------------------------------------------------------------------------


def _keep_transactions(
    rows: list[BankStatement], statements: Sequence[ParsedStatement], kept: Kept
) -> list[list[uuid.UUID]]:
    """Inserts what is new of the statements' lines, in chunks, and counts it. The ids of each statement's lines."""
    lines = KnownLines(rows, statements)
    of_id: dict[uuid.UUID, tuple[int, int, str]] = {}  # the statement, the line in it, both from 0, and its identity
    for place, found in enumerate(lines.found):
        for number, each in enumerate(found):
            if each.identity:
                of_id.setdefault(each.pk, (place, number, each.identity))
    earlier = _Earlier(rows, statements, lines)
    # In one order everywhere, so that two files with the same lines wait for each other once, and not both ways.
    for chunk in chunks(sorted(of_id)):
        new = []
        for pk in chunk:
            place, number, identity = of_id[pk]
            new.append(_transaction(pk, identity, rows[place], statements[place].lines[number]))
        many_rows.insert(BankTransaction, new)
        _look_back(new, earlier)
        kept.new += len(new)
        kept.credits += sum(each.amount > 0 for each in new)
    for row, found in zip(rows, lines.found, strict=True):
        row.known_count = sum(not each.identity for each in found)
    return [[each.pk for each in found] for found in lines.found]


def _transaction(pk: uuid.UUID, identity: str, statement: BankStatement, line: Line) -> BankTransaction:
    credit = line.amount > 0
    return BankTransaction(
        id=pk,
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
        is_return=line.is_return,
        returns=list(line.returns),
        return_reason=line.return_reason[:255],
        entry_reference=line.entry[0][:255] if line.entry else "",
        entry_amount=line.entry[1] if line.entry else None,
        state=State.OPEN if credit else State.RETURNED if line.is_return else State.DEBIT,
        left=line.amount if credit else 0,
    )


def of_its_own(line: StatementLine, credit: BankTransaction) -> BankTransaction | None:
    """A line that was taken for this credit, which another file had brought, becomes a credit of its own. In a
    transaction, the credit locked after `one_after_the_other`. None: it is that of another transaction by now.

    Its identity is that of the next one of those that say the same, so that a file with both knows both again.
    """
    said, number = says(credit), 2
    while BankTransaction.objects.filter(account=credit.account, identity=identity_of(said, number)).exists():
        number += 1
    names = [each.attname for each in BankTransaction._meta.concrete_fields]
    made = BankTransaction(**{name: getattr(credit, name) for name in names})
    made.identity = identity_of(said, number)
    made.pk = pk_of(credit.account, made.identity)
    made.statement_id, made.number = line.statement_id, line.number
    made.state, made.left, made.undoes_id, made.resembles_id = State.OPEN, credit.amount, None, credit.pk
    made.proposals, made.confidence, made.proposed_at = None, BankTransaction.Confidence.NONE, None
    made.save(force_insert=True)
    if not StatementLine.objects.filter(pk=line.pk, transaction=credit).update(transaction=made):
        return None
    transaction.on_commit(partial(wake, "propose_matches"), robust=True)
    return made


def _insert_lines(rows: list[BankStatement], statements: Sequence[ParsedStatement], ids: list[list[uuid.UUID]]) -> None:
    for row, said, found in zip(rows, statements, ids, strict=True):
        for begin in range(0, len(found), ROWS_AT_ONCE):
            StatementLine.objects.bulk_create(
                StatementLine(statement=row, number=line.number, place=place, transaction_id=pk)
                for place, (line, pk) in enumerate(
                    zip(said.lines[begin : begin + ROWS_AT_ONCE], found[begin : begin + ROWS_AT_ONCE], strict=True),
                    begin + 1,
                )
            )


# --- what a transaction has to do with earlier ones -------------------------------------------------------------------


def _look_back(new: list[BankTransaction], earlier: _Earlier) -> None:
    """Finds for each new transaction the credit that it returns, and the one of another file that it may be again."""
    before = _returns_before(new)
    returned = _returned([*new, *before])
    found = []
    for each in new:
        each.resembles_id = earlier.like(each)
    for each in [*new, *(debit for debit in before if debit.pk in returned)]:
        each.undoes = returned.get(each.pk)
        if each.undoes is not None:
            each.state = State.RETURNED
        if each.undoes or each.resembles_id:
            found.append(each)
    many_rows.update(BankTransaction, found, ["undoes_id", "resembles_id", "state"])


def _returns_before(new: list[BankTransaction]) -> list[BankTransaction]:
    """Debits that came before the credit that they may return: people upload the newer statement first."""
    credits = [each for each in new if each.amount > 0]
    if not credits:
        return []
    there = {each.pk for each in new}
    debits = BankTransaction.objects.filter(
        account__in={each.account for each in credits},
        amount__in={-each.amount for each in credits},
        booked_on__gte=min(each.booked_on for each in credits),
        undoes=None,
    )
    return [each for each in debits.order_by("booked_on", "pk") if each.pk not in there]


class _Other(NamedTuple):
    """Of a transaction that another file brought: what tells whether a new one may be the same."""

    pk: uuid.UUID
    booked_on: date
    amount: int
    bank_reference: str
    payer_name: str
    payer_account: str
    end_to_end_id: str
    text: str
    entry_reference: str
    entry_amount: int | None
    statement: uuid.UUID
    format: str


class _Earlier:
    """The transactions of other files on the accounts and days of these statements, by what another format would say of
    them too: account, day and amount. Another format words a line in another way, has other references or none, and
    tells a batch as one or by its transactions, so nobody can tell whether it is the same. One that names the same
    payment may be the same on another day as well: a file has the day of booking, and another that of value."""

    def __init__(self, rows: list[BankStatement], statements: Sequence[ParsedStatement], lines: KnownLines) -> None:
        self.formats = {row.pk: row.format for row in rows}
        self.places = {row.pk: place for place, row in enumerate(rows)}
        self.lines = lines
        self.found: dict[tuple[str, date, int], list[_Other]] = {}
        self.named: dict[tuple[str, date, int, str, str], list[_Other]] = {}
        days: dict[str, set[date]] = {}
        for row, said in zip(rows, statements, strict=True):
            days.setdefault(row.account, set()).update(line.booked_on for line in said.lines)
        for account, booked in days.items():
            if not booked:
                continue
            others = BankTransaction.objects.filter(
                account__in=sorted(writings(account)), booked_on__range=(min(booked) - NEAR, max(booked) + NEAR)
            ).exclude(statement__file_hash=rows[0].file_hash)
            columns = (
                *("pk", "booked_on", "amount", "bank_reference", "payer_name", "payer_account", "end_to_end_id"),
                *("text", "entry_reference", "entry_amount", "statement_id", "statement__format"),
            )
            found = others.order_by("statement__uploaded_at", "pk").values_list(*columns)
            for other in map(_Other._make, found.iterator(chunk_size=ROWS_AT_ONCE)):
                for amount in {other.amount, other.entry_amount}:
                    if amount is not None:
                        self.found.setdefault((account, other.booked_on, amount), []).append(other)
                for name in _names_of_payment(other):
                    self.named.setdefault((account, other.booked_on, other.amount, *name), []).append(other)

    def like(self, new: BankTransaction) -> uuid.UUID | None:
        if not new.amount:
            return None
        return self.lines.repeated.get(new.pk) or self._like_on_its_day(new) or self._like_on_another_day(new)

    def _like_on_its_day(self, new: BankTransaction) -> uuid.UUID | None:
        for other in self.found.get((new.account, new.booked_on, new.amount), ()):
            if other.amount == new.amount:
                told_apart = not _payers_agree(new, other) or (
                    self._same_format(new, other) and _differ(new.end_to_end_id, other.end_to_end_id)
                )
                if not told_apart and self._may_be(new, other, new.bank_reference, other.bank_reference):
                    return other.pk
            elif self._may_be(new, other, new.bank_reference, other.entry_reference):
                return other.pk  # a transaction of the batch that the new one is
        if new.entry_amount is not None:
            for other in self.found.get((new.account, new.booked_on, new.entry_amount), ()):
                whole = other.amount == new.entry_amount
                if whole and self._may_be(new, other, new.entry_reference, other.bank_reference):
                    return other.pk
        return None

    def _like_on_another_day(self, new: BankTransaction) -> uuid.UUID | None:
        """One that names the same payment a few days before or after, unless the balances tell that it stands behind
        this one: then somebody paid twice."""
        for name in _names_of_payment(new):
            for days in range(-NEAR.days, NEAR.days + 1):
                day = new.booked_on + timedelta(days=days)
                for other in self.named.get((new.account, day, new.amount, *name), ()):
                    may_be = _payers_agree(new, other) and self._may_be(
                        new, other, new.bank_reference, other.bank_reference
                    )
                    if days and may_be and self.lines.may_meet(self.places[new.statement_id], other.statement):
                        return other.pk
        return None

    def _may_be(self, new: BankTransaction, other: _Other, reference: str, other_reference: str) -> bool:
        """Two references of one format that differ are two transactions; another format has references of its own."""
        return not (self._same_format(new, other) and _differ(reference, other_reference))

    def _same_format(self, new: BankTransaction, other: _Other) -> bool:
        return self.formats[new.statement_id] == other.format


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _names_of_payment(each: BankTransaction | _Other) -> Iterator[tuple[str, str]]:
    """What the payer called this payment: a reference of their own, or who they are and what they wrote."""
    if each.end_to_end_id:
        yield "", each.end_to_end_id
    payer = each.payer_account or each.payer_name
    if payer and each.text:
        yield payer, "".join(each.text.split()).upper()


def _payers_agree(one: BankTransaction, other: _Other) -> bool:
    """False where both name the payer by an IBAN, and these differ: other formats cut references and other numbers."""
    named = is_iban(one.payer_account) and is_iban(other.payer_account)
    return not named or one.payer_account == other.payer_account


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
        if not candidates and debit.amount < 0 and debit.is_return:
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
