"""Everything that is looked up for some credits before any is weighed, and what of each invoice is not yet taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invoices.statements.matching import names, rows
from invoices.statements.matching.hits import Hit, hits
from invoices.statements.matching.names import Likeness
from invoices.statements.matching.proposal import Credit, Part
from invoices.statements.matching.reading import Piece, Reading, read
from invoices.statements.matching.rows import Hindrances, Row
from invoices.statements.matching.spelling import one_mistake, with_one_mistake

SHORTEST_NEAR = 6  # characters of a number's key in which one mistake may be
MOST_OF_PAYER = 5  # customers for whom one payer pays; of more it is a bank or a payment service
NEAR_PIECES = 3  # of a credit that names nothing: so many are looked up with one mistake


@dataclass
class Known:
    """What was found. Rows are in the order of their age."""

    readings: dict[Any, Reading]
    hits: dict[Any, list[Hit]]
    near: dict[Any, list[Row]]  # invoices whose number is one mistake away from what is written
    amounts: dict[tuple[str, int], list[Row]]
    of_customers: dict[str, list[Row]]
    named: dict[Any, set[str]]  # customers who have the payer's name
    payers: Mapping[Any, Mapping[str, int]]
    twins: dict[str, list[Row]]  # of an invoice: those with nearly its number
    hindrances: Hindrances
    taken: dict[str, int] = field(default_factory=dict)  # minor units, by credits before this one
    takers: dict[str, list[Credit]] = field(default_factory=dict)

    def left(self, row: Row) -> int:
        """Minor units that no confirmed match and no credit before this one pays."""
        return max(0, row.remaining - self.hindrances.claimed.get(row.id, 0) - self.taken.get(row.id, 0))

    def take(self, credit: Credit, parts: Iterable[Part]) -> None:
        for part in parts:
            self.taken[part.invoice] = self.taken.get(part.invoice, 0) + part.amount
            self.takers.setdefault(part.invoice, []).append(credit)

    def known_customers(self, credit: Credit) -> Mapping[str, int]:
        """For whom this payer paid before, and how often that was confirmed. One who pays for many is a bank or a
        payment service, and tells nobody."""
        known = self.payers.get(credit.id, {})
        return known if len(known) <= MOST_OF_PAYER else {}

    def customers_of_payer(self, credit: Credit) -> set[str]:
        """Who the payer is: by the name, and for whom they paid before."""
        return {*self.known_customers(credit), *self.named.get(credit.id, ())}

    def times(self, credit: Credit, customer: str) -> int:
        """How often it was confirmed that this payer pays for the customer."""
        return self.known_customers(credit).get(customer, 0)

    def pays_for_others(self, credit: Credit, customer: str) -> bool:
        return bool(self.known_customers(credit)) and not self.times(credit, customer)

    def likeness(self, credit: Credit, row: Row) -> Likeness:
        if row.customer in self.named.get(credit.id, ()):
            return Likeness.SAME
        return names.likeness(credit.payer_name, row.name, row.email)


def look_up(credits: Sequence[Credit], payers: Mapping[Any, Mapping[str, int]]) -> Known:
    """A fixed number of questions for each portion of values, however many credits there are."""
    readings = {credit.id: read(credit) for credit in credits}
    by_key = rows.with_keys(piece.key for reading in readings.values() for piece in reading.pieces)
    found = {credit.id: hits(readings[credit.id], by_key) for credit in credits}
    near = _near(credits, readings, found)
    amounts = rows.with_amounts((credit.currency, credit.amount) for credit in credits)
    named = _named(credits)
    customers = {customer for each in named.values() for customer in each}
    customers |= {customer for credit in credits for customer in payers.get(credit.id, {})}
    customers |= {hit.row.customer for each in found.values() for hit in each if hit.row.customer}
    of_customers = rows.of_customers(customers)
    twins = _twins(hit.row for each in found.values() for hit in each if hit.row.status in rows.PAYABLE)
    every = [row for group in (near, amounts, of_customers) for each in group.values() for row in each]
    every += [hit.row for each in found.values() for hit in each]
    hindrances = rows.hindrances((row.id for row in every), {row.customer for row in every})
    return Known(readings, found, near, amounts, of_customers, named, payers, twins, hindrances)


def near_piece(reading: Reading, row: Row, found: Iterable[Hit]) -> Piece | None:
    """What of the text is one mistake away from this invoice's number. What is another's number in full is no mistake:
    `found` are the invoices that the text names."""
    key = rows.number_key(row.number)
    if len(key) < SHORTEST_NEAR:
        return None
    right = {(hit.piece.field, hit.piece.start, hit.piece.end) for hit in found if hit.exact and hit.row.id != row.id}
    for piece in reading.pieces:
        if (piece.field, piece.start, piece.end) in right:
            continue
        if piece.expanded or abs(len(piece.key) - len(key)) > 1 or len(piece.key) < SHORTEST_NEAR:
            continue
        if (piece.key[:3] == key[:3] or piece.key[-3:] == key[-3:]) and one_mistake(piece.key, key):
            return piece
    return None


def ending(reading: Reading, row: Row) -> str:
    """The end of this invoice's number, where the text has it alone: 0012 of ABC-0012; also 12 without the zeros."""
    last = row.number[len(row.number.rstrip("0123456789")) :]
    if len(last) < 2 or last == row.number:
        return ""
    if last in reading.endings:
        return last
    short = last.lstrip("0")
    return short if len(short) >= 3 and short in reading.endings else ""


def _near(
    credits: Sequence[Credit], readings: Mapping[Any, Reading], found: Mapping[Any, list[Hit]]
) -> dict[Any, list[Row]]:
    """For the credits that name no invoice: the unpaid ones whose number differs by one mistake in its digits."""
    keys: dict[Any, set[str]] = {}
    for credit in credits:
        if any(hit.plain for hit in found[credit.id]):
            continue
        pieces = [piece for piece in readings[credit.id].pieces if _may_be_mistaken(piece)]
        pieces.sort(key=lambda piece: (not piece.after_invoice, piece.written.count(" "), -len(piece.key)))
        keys[credit.id] = {key for piece in pieces[:NEAR_PIECES] for key in with_one_mistake(piece.key)}
    by_key = rows.with_keys((key for some in keys.values() for key in some), unpaid=True)
    return {id: [row for key in some if key in by_key for row in by_key[key]] for id, some in keys.items()}


def _may_be_mistaken(piece: Piece) -> bool:
    return not piece.expanded and len(piece.key) >= SHORTEST_NEAR and sum(map(str.isdigit, piece.written)) >= 3


def _twins(hit_rows: Iterable[Row]) -> dict[str, list[Row]]:
    keys = {row.id: {key for key in with_one_mistake(rows.number_key(row.number)) if key} for row in hit_rows}
    by_key = rows.with_keys((key for some in keys.values() for key in some), unpaid=True)
    return {
        id: [row for key in some if key in by_key for row in by_key[key] if row.id != id] for id, some in keys.items()
    }


def _named(credits: Sequence[Credit]) -> dict[Any, set[str]]:
    payers = {credit.payer_name for credit in credits if credit.payer_name}
    customers = rows.named(beginning for payer in payers for beginning in names.beginnings(payer))
    by_word: dict[str, list[tuple[str, str]]] = {}
    for id, name in customers:
        for word in set(names.words(name)):
            by_word.setdefault(word, []).append((id, name))
    same: dict[str, set[str]] = {}
    for payer in payers:
        near = {each for word in names.words(payer) for each in by_word.get(word, ())}
        same[payer] = {id for id, name in near if names.likeness(payer, name) == Likeness.SAME}
    return {credit.id: same[credit.payer_name] for credit in credits if same.get(credit.payer_name)}
