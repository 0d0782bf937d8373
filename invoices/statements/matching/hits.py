"""Which invoices a text names, and how certain that is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from invoices.statements.matching.reading import Piece, Reading
from invoices.statements.matching.rows import Row

SHORT = 6  # letters and digits: a shorter number is found in many texts by chance
SHORT_DIGITS = 7  # of a number without letters


@dataclass(frozen=True)
class Hit:
    """A piece of the text that is an invoice's number."""

    row: Row
    piece: Piece
    exact: bool  # read as it is written, but for dividers that were left out or changed
    plain: bool = True  # it stands alone, and what it is cannot be something else
    joined: bool = False  # only if a blank is left out, and what stands before it is a number of its own


def hits(reading: Reading, rows: Mapping[str, list[Row]]) -> list[Hit]:
    """One hit for each invoice that is named, in the order of the text. `rows`: of each key, the invoices."""
    found = [
        Hit(row, piece, _is_exact(piece, row.number), _tells(piece, row.number, reading))
        for piece in reading.pieces
        for row in rows.get(piece.key, ())
    ]
    found = [hit for hit in found if not any(_covers(other, hit) for other in found)]
    found = [_beside_shorter(hit, found) for hit in found]
    found = [replace(hit, plain=hit.plain and _stands_alone(hit, found)) for hit in found]
    best: dict[str, Hit] = {}
    for hit in found:
        held = best.get(hit.row.id)
        if held is None or _rank(hit) > _rank(held):
            best[hit.row.id] = hit
    return sorted(_without_namesakes(best.values()), key=lambda hit: (hit.piece.field, hit.piece.end, hit.row.age))


def _rank(hit: Hit) -> tuple[bool, bool, bool]:
    return (not hit.piece.expanded, hit.plain, hit.exact)


def _without_namesakes(found: Iterable[Hit]) -> list[Hit]:
    """Two invoices may have numbers that are confused: then the one that is written exactly."""
    by_place: dict[tuple[int, int, int, str], list[Hit]] = defaultdict(list)
    for hit in found:
        by_place[(hit.piece.field, hit.piece.start, hit.piece.end, hit.piece.key)].append(hit)
    kept: list[Hit] = []
    for same in by_place.values():
        exact = [hit for hit in same if hit.exact]
        kept += exact if len(exact) == 1 else [replace(hit, plain=hit.plain and len(same) == 1) for hit in same]
    return kept


def _covers(other: Hit, hit: Hit) -> bool:
    """A longer number holds a shorter one, such as 2026-0012 holds 0012. Not where the longer one is there only if a
    blank is left out: RE-10 of `RE-10 12 months` may be meant as well as RE-1012."""
    return _holds(other, hit) and not _is_joined(other, hit)


def _holds(other: Hit, hit: Hit) -> bool:
    one, two = other.piece, hit.piece
    if one.field != two.field or one.expanded or other.row.id == hit.row.id:
        return False
    return one.start <= two.start and two.end <= one.end and (one.start, one.end) != (two.start, two.end)


def _is_joined(longer: Hit, shorter: Hit) -> bool:
    said = _groups(shorter.row.number)
    as_written = _groups(shorter.piece.written) == said and longer.piece.start == shorter.piece.start
    return as_written and bool(_ends_of(_groups(longer.piece.written)) - _ends_of(_groups(longer.row.number)))


def _beside_shorter(hit: Hit, found: list[Hit]) -> Hit:
    """Of a longer number and the shorter one that it may hold nobody knows which is meant."""
    joined = any(_holds(hit, other) and _is_joined(hit, other) for other in found)
    begun = any(_holds(other, hit) and _is_joined(other, hit) for other in found)
    return replace(hit, joined=joined, plain=hit.plain and not joined and not begun) if joined or begun else hit


def _stands_alone(hit: Hit, found: list[Hit]) -> bool:
    """Nothing is tied to it by a dash or slash, but for other numbers; and no other number overlaps it."""
    others = [other.piece for other in found if other.row.id != hit.row.id and other.piece.field == hit.piece.field]

    def is_number(place: int | None) -> bool:
        return place is None or any(other.start <= place < other.end for other in others)

    crossed = any(
        other.start < hit.piece.start < other.end < hit.piece.end
        or hit.piece.start < other.start < hit.piece.end < other.end
        for other in others
        if not other.expanded and not hit.piece.expanded
    )
    tied = (hit.piece.stuck_before, hit.piece.stuck_behind, None if _has_letters(hit.row) else hit.piece.introduced)
    return all(map(is_number, tied)) and not crossed


def is_short(hit: Hit) -> bool:
    """Whether other papers have such a number too, such as 117: then it tells nothing without its payer."""
    return len("".join(_groups(hit.row.number)).lstrip("0")) < SHORT


def _has_letters(row: Row) -> bool:
    """Such as RE-2026-1001, which no other paper has. 2026-1001 may be an order's, if a word before it says so; and
    nobody knows all such words."""
    return re.search("[A-Z]", row.number.upper()) is not None


def _groups(text: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", text.upper())


def _ends_of(groups: list[str]) -> set[int]:
    """After how many characters a group ends, but for the last."""
    ends, length = set(), 0
    for group in groups[:-1]:
        length += len(group)
        ends.add(length)
    return ends


def _is_exact(piece: Piece, number: str) -> bool:
    """The same letters and digits. Dividers may be missing or others. One that the number does not have is taken for
    the end of a line of the bank's, where it is a blank in a long number."""
    written, said = _groups(piece.written), _groups(number)
    if "".join(written) != "".join(said):
        return False
    added = _ends_of(written) - _ends_of(said)
    if not added:
        return True
    long = len("".join(said)) > SHORT and re.search("[A-Z]", number.upper()) is not None
    dividers = re.sub(r"[A-Z0-9]", "", piece.written)
    return long and len(added) == 1 and dividers.count("\n") + dividers.count(" ") >= 1


def _tells(piece: Piece, number: str, reading: Reading) -> bool:
    """Whether such a text can be nothing but this number."""
    if piece.doubtful or (piece.may_be_a_day and piece.written != number):
        return False
    said = "".join(_groups(number))
    if re.search("[A-Z]", said):
        return len(said) >= SHORT or piece.after_invoice
    alone = piece.written.strip() in reading.lines
    if piece.after_invoice or alone:
        return len(said.lstrip("0")) > 2
    return len(said) >= SHORT_DIGITS and _groups(piece.written) == _groups(number) and len(_groups(number)) > 1
