"""Tells of each line of a file which transaction it is: one that an earlier file has brought, or a new one.

A line is known where a transaction says the same, unless the statements that have told that transaction stand beside
this one and not over it (`overlaps`). Two statements of one file never share a line, but for one that has the bank's
own reference: a bank tells each once. Where their balances say otherwise, the second is new, and marked.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from invoices.models import BankStatement, BankTransaction, StatementLine
from invoices.statements.formats.parsed import Line, ParsedStatement
from invoices.statements.overlaps import Telling, Told, may_meet, numbered_apart, share

# Of the ids of statements and transactions, which follow from what they hold.
NAMESPACE = uuid.UUID("3f0cf9e2-1f4b-4a5e-9a55-6f5f6f0c6f2a")
ROWS_AT_ONCE = 1000
SHORTEST_REFERENCE = 6  # characters of a bank's reference that is its own: "POS 1" comes again in each statement


def says(line: Line | BankTransaction) -> str:
    """By what a line is known again: the bank's own reference, or else all that it says, cut as it is kept."""
    said: tuple[Any, ...] = (line.booked_on.isoformat(), line.amount, line.currency)
    if line.bank_reference:
        said += ("reference", line.bank_reference[:255])
    else:
        texts = (
            *(line.end_to_end_id[:255], line.payer_account[:64], line.payer_name[:255]),
            *(line.structured_reference[:255], line.text),
        )
        said += ("text", *("".join(text.split()).upper() for text in texts))
    return repr(said)


def identity_of(said: str, number: int) -> str:
    """Of the first, second, third and so on of those that say the same."""
    return hashlib.sha256(f"{said} {number}".encode()).hexdigest()


class Found(NamedTuple):
    """Which transaction a line is. `identity`: of a new one; empty, where an earlier file has brought it."""

    pk: uuid.UUID
    identity: str


def telling_of(said: ParsedStatement) -> Telling:
    lines = [Told(line.booked_on, line.amount, says(line)) for line in said.lines]
    return Telling(said.format, said.number[:255], said.opening, said.closing, lines)


class KnownLines:
    """Of the statements of one file, in their order. Reads what earlier files said of the same days."""

    def __init__(self, rows: Sequence[BankStatement], statements: Sequence[ParsedStatement]) -> None:
        self.rows = rows
        self.tellings = [telling_of(said) for said in statements]
        self.found: list[list[Found]] = []
        self.repeated: dict[uuid.UUID, uuid.UUID] = {}  # new ones that another statement of the file may have too
        self._lines = [said.lines for said in statements]
        self._there: dict[tuple[str, str], list[uuid.UUID]] = defaultdict(list)  # by account and what they say
        self._identities: set[tuple[str, str]] = set()
        self._told_by: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)  # statements of a transaction
        self._earlier: dict[uuid.UUID, Telling] = {}
        self._shared: dict[tuple[int, uuid.UUID | int], bool | None] = {}
        self._meeting: dict[tuple[int, uuid.UUID], bool] = {}
        self._steps: dict[str, list[tuple[str, int, int]]] = {}  # of an account: number, opening and closing balance
        self._taken: dict[tuple[str, str], dict[uuid.UUID, int]] = defaultdict(dict)  # by which statement of the file
        self._numbers: dict[tuple[str, str], int] = {}
        for account in {row.account for row in rows}:
            self._read(account)
        for place in range(len(rows)):
            self.found.append(self._of_statement(place))

    def _read(self, account: str) -> None:
        """The transactions of this account that say what a line of the file says, and the statements that told them."""
        places = [place for place, row in enumerate(self.rows) if row.account == account]
        keys = {line.says for place in places for line in self.tellings[place].lines}
        days = [line.day for place in places for line in self.tellings[place].lines]
        if not days:
            return
        there = BankTransaction.objects.filter(account=account, booked_on__range=(min(days), max(days)))
        for each in there.order_by("statement__uploaded_at", "pk").iterator(chunk_size=ROWS_AT_ONCE):
            if (key := says(each)) in keys:
                self._there[account, key].append(each.pk)
                self._identities.add((account, each.identity))
                self._told_by[each.pk] = []
        for chunk in chunks(sorted(self._told_by)):
            lines = StatementLine.objects.filter(transaction__in=chunk).order_by("statement_id", "place")
            for transaction, statement in lines.values_list("transaction_id", "statement_id"):
                self._told_by[transaction].append(statement)

    def _of_statement(self, place: int) -> list[Found]:
        """The lines of one statement. One that the file has twice is one, where its balances prove it."""
        mine, row = self.tellings[place], self.rows[place]
        for other in range(place):
            same = self.rows[other].account == row.account and self.tellings[other].is_the_same(mine)
            if same and mine.has_balances:
                return self.found[other]
        left: dict[str, Iterator[uuid.UUID]] = {}
        found = []
        for line, told in zip(self._lines[place], mine.lines, strict=True):
            key = (row.account, told.says)
            if told.says not in left:
                left[told.says] = iter(self._candidates(place, key, line.bank_reference))
            pk = next(left[told.says], None)
            if pk is None:
                found.append(self._new(key))
                if twin := self._twin(place, key):
                    self.repeated[found[-1].pk] = twin
            else:
                found.append(Found(pk, ""))
        for each, told in zip(found, mine.lines, strict=True):
            self._taken[row.account, told.says].setdefault(each.pk, place)
        return found

    def _candidates(self, place: int, key: tuple[str, str], reference: str) -> list[uuid.UUID]:
        """The transactions that a line with this key can be: first those of which no statement says otherwise."""
        own = len(reference) >= SHORTEST_REFERENCE
        taken = self._taken[key]
        candidates: list[tuple[bool, uuid.UUID]] = []
        for pk in self._there[key]:
            shared = [self._shares(place, statement) for statement in self._told_by[pk]]
            beside = False in shared
            if own or True in shared or not beside:
                candidates.append((beside, pk))
        candidates += [(False, pk) for pk in taken if pk not in self._told_by]
        return [
            pk
            for _beside, pk in sorted(candidates, key=lambda it: it[0])
            if pk not in taken or (own and not self._stand_beside(place, taken[pk]))
        ]

    def _stand_beside(self, place: int, other: int) -> bool:
        """Whether balances prove that two statements of the file share no line."""
        return self.tellings[place].has_balances and self._shares(place, other) is False

    def _twin(self, place: int, key: tuple[str, str]) -> uuid.UUID | None:
        """A line of another statement of the file that says the same, and may be the same."""
        taken = self._taken[key].items()
        return next((pk for pk, other in taken if self._shares(place, other) is not False), None)

    def _shares(self, place: int, other: uuid.UUID | int) -> bool | None:
        """Of a statement of another file, or of this one by its place."""
        if (place, other) not in self._shared:
            mine, theirs = self.tellings[place], self.tellings[other] if isinstance(other, int) else self.earlier(other)
            shared = share(mine, theirs)
            if shared and numbered_apart(mine, theirs) and self._leads_to(place, theirs):
                shared = False
            self._shared[place, other] = shared
        return self._shared[place, other]

    def _leads_to(self, place: int, theirs: Telling) -> bool:
        """Whether statements that follow on each other lead from the end of one to the beginning of the other: then
        these are two, although the balance came back to where it was."""
        mine, row = self.tellings[place], self.rows[place]
        if row.account not in self._steps:
            self._steps[row.account] = list(self._steps_of(row.account))
        between = [step for step in self._steps[row.account] if step[0] not in (mine.number, theirs.number)]
        return any(
            end is not None and begin in _reached(end, between)
            for end, begin in ((mine.closing, theirs.opening), (theirs.closing, mine.opening))
        )

    def _steps_of(self, account: str) -> Iterator[tuple[str, int, int]]:
        """The statements of these days that have balances, also of this file."""
        of_file = [each for each, row in zip(self.tellings, self.rows, strict=True) if row.account == account]
        days = [line.day for telling in of_file for line in telling.lines]
        told = BankStatement.objects.filter(account=account, begins_on__lte=max(days), ends_on__gte=min(days))
        both: list[Telling | BankStatement] = [*of_file, *told]
        for each in both:
            if each.opening is not None and each.closing is not None:
                yield each.number, each.opening, each.closing

    def earlier(self, pk: uuid.UUID) -> Telling:
        """What a statement of another file said."""
        if pk not in self._earlier:
            statement = BankStatement.objects.get(pk=pk)
            lines = statement.lines.order_by("place").select_related("transaction").iterator()
            self._earlier[pk] = Telling(
                *(statement.format, statement.number, statement.opening, statement.closing),
                [Told(each.booked_on, each.amount, says(each)) for each in (line.transaction for line in lines)],
            )
        return self._earlier[pk]

    def may_meet(self, place: int, statement: uuid.UUID) -> bool:
        """Whether nothing proves that one of the statements stands behind the other."""
        if (place, statement) not in self._meeting:
            self._meeting[place, statement] = may_meet(self.tellings[place], self.earlier(statement))
        return self._meeting[place, statement]

    def _new(self, key: tuple[str, str]) -> Found:
        account, said = key
        for number in itertools.count(self._numbers.get(key, 0) + 1):
            identity = identity_of(said, number)
            if (account, identity) not in self._identities:
                self._numbers[key] = number
                return Found(pk_of(account, identity), identity)
        raise AssertionError("numbers do not end")


def _reached(balance: int, steps: Sequence[tuple[str, int, int]]) -> set[int]:
    """The balances to which these statements lead from this one, each with its opening and closing balance."""
    reached, left = {balance}, list(steps)
    while following := [step for step in left if step[1] in reached]:
        reached.update(closing for _number, _opening, closing in following)
        left = [step for step in left if step not in following]
    return reached


def pk_of(account: str, identity: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{account} {identity}")


def chunks(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    left = list(ids)
    return (left[begin : begin + ROWS_AT_ONCE] for begin in range(0, len(left), ROWS_AT_ONCE))
