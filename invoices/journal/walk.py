"""Walks the chain over the journal, and compares every link with the row that it names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from invoices.journal.archives import ARCHIVED_KINDS, Archived
from invoices.journal.content import Content, contents, row_text
from invoices.journal.heads import KnownHead, written_heads
from invoices.journal.links import GENESIS, hash_of
from invoices.models import CHAINED, ErasedRow, JournalLink, UnchainedRow, triggers

LINKS_AT_ONCE = 500
LOOKS = 3  # a row that is written and chained while it is looked at is looked at again


@dataclass(frozen=True)
class Finding:
    """The first place at which the chain does not hold."""

    position: int | None  # of the link; None: a row has no link
    message: str


@dataclass(frozen=True)
class Verification:
    """What a walk found. `links` were walked; `waiting` rows of the journal are not chained yet; of `erased` rows the
    personal data was erased, and nothing else."""

    links: int
    waiting: int
    hash: str  # of the last link that was walked
    compared: int  # heads that were told outside, and that the chain still contains
    finding: Finding | None
    missing_triggers: list[str]
    erased: int


class _Broken(Exception):
    def __init__(self, position: int | None, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(position, message)


def verify(known: Sequence[KnownHead] = (), show_progress: Callable[[int], None] = lambda links: None) -> Verification:
    """Walks the whole chain, up to the first break. `known` heads and those of JOURNAL_HEAD_FILE must be in it.

    Memory is constant, and nothing waits for it. Raises HeadUnreadable.
    """
    archived = Archived()
    heads: dict[int, list[KnownHead]] = defaultdict(list)
    for each in [*known, *written_heads()]:
        heads[each.position].append(each)
    told = sum(len(of_position) for of_position in heads.values())
    walk = _Walk(heads)
    finding = None
    try:
        for links in walk.chunks():
            _check_rows(links, archived)
            show_progress(walk.position)
        for position in sorted(heads):
            raise _Broken(
                position,
                f"The chain ends at position {walk.position}, but {heads[position][0].where} has a head at position "
                f"{position}: the end was cut off.",
            )
        _check_that_all_are_chained()
    except _Broken as broken:
        finding = broken.finding
    compared = told - sum(len(of_position) for of_position in heads.values())
    waiting = UnchainedRow.objects.count()
    erased = ErasedRow.objects.values("kind", "row").distinct().count()
    return Verification(walk.position, waiting, walk.hash, compared, finding, triggers.missing(), erased)


class _Walk:
    """Along the links, in their order. `heads` that were met and agree are taken out."""

    def __init__(self, heads: dict[int, list[KnownHead]]) -> None:
        self.heads = heads
        self.position, self.hash = 0, GENESIS

    def chunks(self) -> Iterator[list[JournalLink]]:
        """Links whose own hashes agree, some at a time. Raises _Broken."""
        stored = JournalLink.objects.order_by("position")
        links = list(stored[:LINKS_AT_ONCE])  # whatever their positions are: nothing may stand before the first
        while links:
            whole: list[JournalLink] = []
            try:
                for link in links:
                    self._step(link)
                    whole.append(link)
            except _Broken:
                yield whole  # a row may be broken at an earlier position
                raise
            yield whole
            links = list(stored.filter(position__gt=self.position)[:LINKS_AT_ONCE])

    def _step(self, link: JournalLink) -> None:
        expected = self.position + 1
        if link.position < expected:
            raise _Broken(
                link.position, f"Link {link.position} ({_named(link)}) stands before the first: it was inserted."
            )
        if link.position != expected:
            raise _Broken(expected, f"Link {expected} was removed: after {self.position} comes {link.position}.")
        hash = hash_of(link, self.hash)
        if hash != link.hash:
            raise _Broken(
                link.position,
                f"Link {link.position} ({_named(link)}) does not follow from the one before it: it or one before it "
                "was changed, inserted afterwards, or put in another's place.",
            )
        for known in self.heads.pop(link.position, ()):
            if known.hash != hash:
                raise _Broken(
                    link.position,
                    f"Link {link.position} has the hash {hash}, but {known.where} says {known.hash}: the chain was "
                    "made anew from here or from before.",
                )
        self.position, self.hash = link.position, hash


def _named(link: JournalLink) -> str:
    return f"{link.kind.replace('_', ' ')} {link.row}"


def _check_rows(links: list[JournalLink], archived: Archived) -> None:
    """Whether the rows of these links are as chained, or archived. Raises _Broken, for the first of the links."""
    suspects = _suspects(links, archived)
    for _ in range(1, LOOKS):
        if suspects:
            archived = Archived()  # another one may have been written meanwhile
            suspects = _suspects([link for link, _ in suspects], archived)
    if suspects:
        link, message = min(suspects, key=lambda suspect: suspect[0].position)
        raise _Broken(link.position, message)


def _suspects(links: Iterable[JournalLink], archived: Archived) -> list[tuple[JournalLink, str]]:
    by_kind: dict[str, list[JournalLink]] = defaultdict(list)
    for link in links:
        by_kind[link.kind].append(link)
    return [suspect for kind, of_kind in by_kind.items() for suspect in _suspects_of_kind(kind, of_kind, archived)]


def _suspects_of_kind(kind: str, links: list[JournalLink], archived: Archived) -> Iterator[tuple[JournalLink, str]]:
    rows = {link.row for link in links}
    history: dict[str, list[JournalLink]] = defaultdict(list)
    for link in JournalLink.objects.filter(kind=kind, row__in=rows).order_by("position"):
        history[link.row].append(link)
    erased: dict[str, list[ErasedRow]] = defaultdict(list)
    for record in ErasedRow.objects.filter(kind=kind, row__in=rows).order_by("pk"):
        erased[record.row].append(record)
    now = dict(contents(kind, rows)) if kind in CHAINED else {}
    waiting = set(UnchainedRow.objects.filter(kind=kind, row__in=rows).values_list("row", flat=True))
    for link in links:
        if kind in ARCHIVED_KINDS and link.row not in now and archived.of(link.position):
            continue  # its archive is a row of the journal, chained as this one is
        of_row = history[link.row], erased[link.row], now.get(link.row)
        if message := _why_broken(link, *of_row, is_waiting=link.row in waiting):
            yield link, message


def _why_broken(
    link: JournalLink, history: list[JournalLink], erased: list[ErasedRow], now: Content | None, *, is_waiting: bool
) -> str:
    """Why a link and its row disagree; empty where they agree. `history` are all links of the row, `erased` all
    erasures of it."""
    of = f"Link {link.position}: {_named(link)}"
    before = [other for other in history if other.position < link.position]
    if before and link.fixed not in _fixed(before[-1].fixed, erased):
        return f"{of} was changed: what never changes was another when it was chained before."
    if any(other.sealed and link.digest not in _digests(other.digest, erased) for other in before):
        return f"{of} was changed after it was final."
    if any(other.position > link.position for other in history):
        return ""
    if now is None:
        return f"{of} is missing from the journal: it was deleted."
    if message := next((message for record in erased if (message := _why_no_erasure(record, history))), ""):
        return f"{of} {message}"
    if not is_waiting and now.digest != link.digest:
        return f"{of} was changed: it is not what was chained."
    if now.fixed not in _fixed(link.fixed, erased):
        return f"{of} was changed: it is not what was chained."
    if link.sealed and now.digest not in _digests(link.digest, erased):
        return f"{of} was changed: it is not what was chained."
    return ""


def _why_no_erasure(record: ErasedRow, history: list[JournalLink]) -> str:
    """Why this record of an erasure does not explain what became of its row; empty where it does."""
    name = f"erasure {record.erasure_id}"
    if record.rewritten_at is None:
        return f"is open to be rewritten: {name} was begun on it, and no process of ours leaves that behind."
    if not any(link.digest == record.digest_before and link.kept == record.kept for link in history):
        return f"was rewritten by {name}, which names a content that was never chained."
    kept = [link.kept for link in history if link.digest == record.digest_after]
    if kept and record.kept not in kept:  # chained again by a version with another list of what is personal, it has two
        return f"was rewritten by {name}, which changed more than personal data."
    return ""


def _digests(digest: str, erased: list[ErasedRow]) -> set[str]:
    """This digest, and those that the row's erasures made of it."""
    return _reached(digest, [(record.digest_before, record.digest_after) for record in erased])


def _fixed(fixed: str, erased: list[ErasedRow]) -> set[str]:
    return _reached(fixed, [(record.fixed_before, record.fixed_after) for record in erased])


def _reached(hash: str, steps: list[tuple[str, str]]) -> set[str]:
    reached = {hash}
    for before, after in steps:  # in the order of the erasures
        if before in reached and after:
            reached.add(after)
    return reached


def _check_that_all_are_chained() -> None:
    for kind, model in CHAINED.items():
        same = {"kind": kind, "row": row_text(OuterRef("pk"))}
        unchained = model._base_manager.filter(
            ~Exists(JournalLink.objects.filter(**same)), ~Exists(UnchainedRow.objects.filter(**same))
        )
        if row := unchained.values_list(row_text(), flat=True).first():
            raise _Broken(
                None,
                f"{kind.replace('_', ' ').capitalize()} {row} stands in the journal without a link: it was inserted "
                "afterwards, past the triggers, or its link was cut off the end.",
            )
