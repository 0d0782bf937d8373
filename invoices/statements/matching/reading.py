"""What a bank's text says: every piece that may be an invoice's number, and how plainly it stands there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from invoices.models.invoice_numbers import DIVIDERS, number_key
from invoices.statements.matching.proposal import Credit

MAX_TEXT = 1000  # characters of a field: a transfer has 140, some banks add their own
MAX_PIECES = 600  # of a credit; a hostile text is not read to its end
MAX_WORDS = 6  # of a number that is written with blanks
MAX_SUFFIX = 2  # letters that make another number of one
MAX_RANGE = 20  # invoices from one number to another
KEY_LENGTHS = range(3, 31)

# Before a number, also written together with it, in the languages of Europe.
_NAMES_OF_INVOICES = """
    RECHNUNGSNUMMER RECHNUNGSNR RECHNUNGNR RECHNUNGEN RECHNUNG RECHNR RECH RENR RGNR RNR RG RE RN BELEGNUMMER BELEGNR
    BELEG INVOICENUMBER INVOICENO INVOICENR INVOICES INVOICE INVNO INVNR INV BILL FACTURES FACTURE FACT FAC FACTURAS
    FACTURA FRA FACTUURNUMMER FACTUURNR FACTUREN FACTUUR FATTURE FATTURA FATT FT FAKTURANR FAKTURA FAKTURY FAKTUR FAKT
    FV LASKU SZAMLA FATURA
""".split()
_JOINING = """
    NUMMER NUMBER NUMERO NUM NRO NR NO N O REFERENCE REFERENZ REFERENCIA REF SVWZ EREF KREF ZAHLUNG PAYMENT FOR
""".split()
_BEFORE = re.compile("|".join(sorted((*_NAMES_OF_INVOICES, *_JOINING), key=len, reverse=True)))
_INVOICE_WORDS = frozenset(_NAMES_OF_INVOICES)
_JOINING_WORDS = frozenset(_JOINING)
# A number behind one of these is something else's.
_OTHER = re.compile(
    r"""
    \b(?: KUNDEN? | KD | CUSTOMER | CLIENTE? | KLANT | DEBITOREN? | DEB | MANDATS? | MANDATE | MREF | VERTRAGS? | VERTR
        | CONTRACT | CONTRAT | ORDER | BESTELL(?:UNG|UNGS)? | AUFTRAGS? | COMMANDE | MITGLIEDS? | MEMBER | POLICE
        | POLICY | STEUER | TAX | UST | VAT | TVA | BTW | TEL(?:EFON)? | FON | PHONE | MOBIL | FAX | PLZ | BIC | CRED
        | GLAEUBIGER | CREDITOR | TICKET | FILIALE | TERMINAL | CARD | KARTE | KONTO | KTO | ACCOUNT | ACCT | COMPTE
        | CUENTA | ZAEHLER | ZÄHLER | METER | HANDY | MOBILE )
    [.\-\ ]{0,2} (?: NUMMER | NUMBER | NR | NO | IDENT | IDNR | ID | CODE | REF )? [.:\#\-\ ]{0,3}
    (?P<said> [A-Z0-9][A-Z0-9/-]*[0-9][A-Z0-9/-]* )
    """,
    re.VERBOSE,
)
# Behind one of these it may be an invoice's all the same: people take one word for the other.
_OTHER_PAPER = re.compile(
    r"""
    \b(?: P\.?\ ?O | PURCHASE\ ORDER | ANGEBOTS? | OFFERTE | OFFER | OFERTA | DEVIS | QUOTE | QUOTATION | ESTIMATE
        | KOSTENVORANSCHLAG | LIEFERSCHEIN | LS | DELIVERY\ NOTE | DELIVERY | PROJEKT | PROJECT | PROJET | PROYECTO
        | PROFORMA | PRO-FORMA | (?<![A-Z]\ )AB | OUR | YOUR | IHR | UNSER | MEIN | NOTRE | VOTRE | NUESTRA | ZEICHEN
        | AKTENZEICHEN | AKTE | AZ | VORGANGS? | CASE | FALL | OBJEKT | WOHNUNG | SENDUNG | SHIPMENT | TRACKING
        | BOOKING | BUCHUNG | RESERVATION | CN | GS | (?<![A-Z][-\ ])GUTSCHRIFTS? | KREDITNOTA | AVOIR
        | EIGENBELEG )
    [.\-\ ]{0,2} (?: NUMMER | NUMBER | NR | NO | IDENT | IDNR | ID | CODE | REF | REFERENCE | ZEICHEN | NOTE )?
    [.:\#\-\ ]{0,3}
    (?P<said> [A-Z0-9][A-Z0-9/-]*[0-9][A-Z0-9/-]* )
    """,
    re.VERBOSE,
)
# Money that came back, or a text that says what is not paid. Not `GUTSCHRIFT` alone: banks call every credit so.
_OTHER_PURPOSE = re.compile(
    r"""
    (?<![A-Z0-9ÄÖÜß])(?: STORNO\w* | R(?:UE|Ü)CK(?:UEBERWEISUNG | ÜBERWEISUNG | ZAHLUNG | BUCHUNG | GABE | LASTSCHRIFT
        | ERSTATTUNG | LAEUFER | LÄUFER | TRANSFER | RUF )\w* | \w*ERSTATTUNG | RETOURE\w* | RETOUR | RETURNED
        | RETURN\ OF | REFUND(?:ED|S)? | REVERSAL | REVERSED | CHARGEBACK | REIMBURSEMENT | CREDIT\ NOTE | KREDITNOTA
        | REMBOURSEMENT | AVOIR | RIMBORSO | REEMBOLSO | DEVOLUCI[OÓ]N | TERUGBETALING | (?:AC|AG|AM|MD|MS)0\d | AC13
        | NOTA\ (?:DI|DE)\ CR[EÉ]DITO | NOTE\ DE\ CR[EÉ]DIT | CREDIT-?NOTA | CREDITNOTE | ANNULATION | ANNULLAMENTO
        | ANULACI[OÓ]N | ANNULERING | ZWROT | KREDITERING | GUTSCHRIFT\ ZU[RM]? | KAUTION\w* | MIETKAUTION | DARLEHEN\w*
        | LOAN | VERSICHERUNG\w* | INSURANCE | MAHNGEB(?:UE|Ü)HR\w* | VERZUGSZINS\w* | WEITERBELASTUNG
        | WEITERBERECHNUNG | DOPPELT\w* | DOPPEL(?:UEBERWEISUNG|ÜBERWEISUNG|ZAHLUNG) | PAID\ TWICE | DUPLICATE
        | IRRT(?:UE|Ü)MLICH\w* | FEHL(?:UEBERWEISUNG|ÜBERWEISUNG|BUCHUNG) | BY\ MISTAKE | PAR\ ERREUR
        | PROTEST | DISPUTED?
        | BEREITS\ (?:BEZAHLT | BEGLICHEN | GEZAHLT | UEBERWIESEN | ÜBERWIESEN) | ALREADY\ PAID | DEJA\ PAY\w*
        | NICHT | NOT | NIET | PAS | SPENDE | DONATION | ANSTATT | ANSTELLE | STATT | INSTEAD
        | OHNE | AUSSER | EXCEPT | EXCLUDING | SAUF | EXCEPTO | TRANNE | BEHALVE
        | KONTO\ ERLOSCHEN | ACCOUNT\ CLOSED )(?![A-Z0-9ÄÖÜß])
    """,
    re.VERBOSE,
)
_CURRENCY = r"(?:EUR|USD|GBP|CHF|EURO|[€$£])"
_NO_NUMBERS = (
    # days, such as 01.11.2026
    re.compile(r"(?<![A-Z0-9])(?<![A-Z0-9][-/.])[0-3]?\d([./-])[01]?\d\1(?:(?:19|20)\d\d|\d\d)(?![A-Z0-9])(?![-/.]\d)"),
    # and 2026-11-01
    re.compile(r"(?<![A-Z0-9])(?<![A-Z0-9][-/.])(?:19|20)\d\d([./-])[01]?\d\1[0-3]?\d(?![A-Z0-9])(?![-/.]\d)"),
    # amounts, such as 1.234,50; not the list 1001,02,03
    re.compile(r"(?<![A-Z0-9])(?<!\d[-/.,])(?:\d{1,3}(?:[.,' ]\d{3})+|\d+)[.,]\d\d(?![A-Z0-9])(?![-/.,]\d)"),
    # and EUR 29
    re.compile(rf"(?<![A-Z0-9]){_CURRENCY} ?\d+(?![A-Z0-9])(?![-/]\d)"),
    re.compile(rf"(?<![A-Z0-9])(?<!\d[-/.])\d+ ?{_CURRENCY}(?![A-Z0-9])"),
    # phones in their international form
    re.compile(r"(?<![A-Z0-9])(?:\+|00)[1-9]\d?[ /()-]?(?:[ /()-]?\d){6,12}(?!\d)"),
)
# 1001,02,03 and 1001/02: behind the end of a number, only what is other of the next ones.
_SHORT_LIST = re.compile(r"(?<![A-Z0-9])(?<!\d[-/.,])\d{3,10}(?: ?[,;/+&] ?\d{1,4}){1,20}(?![A-Z0-9])(?![-.]\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}")
_WORD = re.compile(r"[A-Z0-9]+")
_TIGHT = re.compile(r"[-/._\u2013]+")
_NEXT = re.compile(r"[\s,;/+&\u2013-]*")  # between the numbers of a list, with one of these words
_AND = frozenset("UND AND U ET EN E Y I OG OCH BIS TO TOT A".split())
_UNTIL = frozenset("BIS TO TOT A".split())
_CREDIT_NOTES = frozenset("CN GS KORR ST STORNO CREDIT GUTSCHRIFT".split())

# 20261001 may be a day, and no number 2026-1001 of which the dash was left out.
_COMPACT_DAY = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)?\d\d"
)


@dataclass(frozen=True)
class Piece:
    """A part of a field that may be a number. `start` and `end` are places in the field."""

    key: str  # as `number_key` makes it
    written: str  # in capital letters
    field: int
    start: int
    end: int
    after_invoice: bool = False  # a word for an invoice stands before it
    doubtful: bool = False  # it is named as something else, or stuck to other letters
    stuck_before: int | None = None  # the place of what a dash or slash ties to it; None: nothing
    stuck_behind: int | None = None
    introduced: int | None = None  # the place of a word before it that says nothing of an invoice; None: there is none
    expanded: str = ""  # "list" and "range": not all of it is written, 0013 of ABC-0012/13

    @property
    def may_be_a_day(self) -> bool:
        return _COMPACT_DAY.fullmatch(self.written) is not None


@dataclass(frozen=True)
class Reading:
    """What of a credit's fields was read."""

    pieces: tuple[Piece, ...]
    endings: frozenset[str]  # numbers of digits alone, which may be the end of an invoice's
    lines: frozenset[str]  # of the text and the structured reference, in capital letters
    other_purpose: str  # words by which the money may be for something else; empty: none


def read(credit: Credit) -> Reading:
    return _read((credit.text, credit.structured_reference, credit.end_to_end_id))  # the last is the payer's program's


@lru_cache(maxsize=2048)
def _read(fields: tuple[str, ...]) -> Reading:
    pieces: dict[tuple[str, int, int, int, str], Piece] = {}
    endings: set[str] = set()
    texts = list(dict.fromkeys(unicodedata.normalize("NFKC", field[:MAX_TEXT]).upper() for field in fields if field))
    for number, text in enumerate(texts):
        taken = _closed(text)
        for piece in _pieces(number, text, taken):
            if len(pieces) >= MAX_PIECES:
                break
            pieces.setdefault((piece.key, number, piece.start, piece.end, piece.expanded), piece)
        for word in re.finditer(r"(?<![A-Z0-9])[A-Z]{0,10}?(\d{2,10})(?![A-Z0-9])", text):
            if not any(start <= word.start(1) < end for start, end in taken):
                endings.add(word[1])
        for listed in _SHORT_LIST.finditer(text):
            if not any(start <= listed.start() < end for start, end in taken):
                base, *others = re.findall(r"\d+", listed[0])
                endings.update(base[: -len(each)] + each for each in others if len(each) < len(base))
    said = texts[:-1] if fields[-1] and fields[-1] not in fields[:-1] else texts
    lines = frozenset(line.strip() for text in said for line in text.splitlines())
    purpose = next((match[0] for text in texts if (match := _OTHER_PURPOSE.search(text))), "")
    return Reading(tuple(pieces.values()), frozenset(endings), lines, " ".join(purpose.split()))


# --- what is no number ------------------------------------------------------------------------------------------------


def _closed(text: str) -> list[tuple[int, int]]:
    """Where bank accounts, days, amounts and phones stand."""
    found = [match.span() for pattern in _NO_NUMBERS for match in pattern.finditer(text)]
    for match in _IBAN.finditer(text):
        spaced = match[0]
        for end in range(len(spaced), 14, -1):
            if _is_iban(spaced[:end].replace(" ", "")):
                found.append((match.start(), match.start() + end))
                break
    found += [match.span("said") for match in _OTHER.finditer(text) if re.sub("[-/]", "", match["said"]).isdigit()]
    return found


def _is_iban(account: str) -> bool:
    """ISO 13616: the check digits are right."""
    return 15 <= len(account) <= 34 and int("".join(str(int(each, 36)) for each in account[4:] + account[:4])) % 97 == 1


# --- pieces -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    text: str


def _pieces(field: int, text: str, closed: list[tuple[int, int]]) -> Iterator[Piece]:
    words = [_Word(match.start(), match.end(), match[0]) for match in _WORD.finditer(text)]
    named_otherwise = [match.span("said") for pattern in (_OTHER, _OTHER_PAPER) for match in pattern.finditer(text)]
    yield from _creditor_reference(field, text)
    for first in range(len(words)):
        for start, named in _starts(words, first):
            if named is None:
                after_invoice, stuck, introduced = _before(text, words, first)
            else:
                after_invoice, stuck, introduced = named, None, None
            for last in range(first, min(first + MAX_WORDS, len(words))):
                if last > first and not _continues(text[words[last - 1].end : words[last].start], words[last].text):
                    break
                for end, loose in _ends(words[last]):
                    if end <= start:
                        continue
                    written = text[start:end]
                    key = number_key("".join(_WORD.findall(written)))
                    if len(key) not in KEY_LENGTHS or not any(map(str.isdigit, written)):
                        continue
                    if any(begin <= start and end <= finish for begin, finish in closed):
                        continue
                    piece = Piece(
                        key,
                        written,
                        field,
                        start,
                        end,
                        after_invoice,
                        loose or any(begin <= start < finish for begin, finish in named_otherwise),
                        stuck,
                        _behind(text, words, last) if end == words[last].end else None,
                        introduced,
                    )
                    yield piece
                    if end == words[last].end:
                        yield from _expanded(piece, text, words, last)


def _starts(words: list[_Word], first: int) -> Iterator[tuple[int, bool | None]]:
    """Where a number may begin in a word: at its beginning, or behind a word for an invoice that is written with it."""
    word = words[first]
    yield word.start, None
    place, names_invoice = 0, False
    while (match := _BEFORE.match(word.text, place)) and match.end() < len(word.text):
        place = match.end()
        names_invoice |= match[0] in _INVOICE_WORDS
        yield word.start + place, names_invoice


def _ends(word: _Word) -> Iterator[tuple[int, bool]]:
    """Where a number may end in a word: at its end, or before letters that are stuck to it, as in `0012VOM`."""
    yield word.end, False
    if letters := re.search(r"(?<=\d)[A-Z]{2,}$", word.text):
        yield word.start + letters.start(), True


def _continues(gap: str, word: str) -> bool:
    """Whether a number may go on with this word behind a gap."""
    if word in _INVOICE_WORDS or word in _AND:
        return False
    return len(gap) <= 3 and all(character in DIVIDERS or character.isspace() for character in gap)


def _before(text: str, words: list[_Word], first: int) -> tuple[bool, int | None, int | None]:
    """Whether a word for an invoice stands before this word; the place of what is stuck to it; and the place of another
    word in its line that stands before it."""
    place, joining = first - 1, 0
    while place >= 0 and words[place].text in _JOINING_WORDS and joining < 3:
        place, joining = place - 1, joining + 1
    named = place >= 0 and words[place].text in _INVOICE_WORDS and words[first].start - words[place].end <= 20
    says_nothing = place >= 0 and not named and "\n" not in text[words[place].end : words[first].start]
    introduced = words[place].end - 1 if says_nothing and words[place].text not in _AND else None
    stuck = None
    if first and _TIGHT.fullmatch(text[words[first - 1].end : words[first].start]):
        before = words[first - 1].text
        if before not in _INVOICE_WORDS and before not in _JOINING_WORDS:
            stuck = words[first - 1].end - 1
    return named, stuck, introduced


def _behind(text: str, words: list[_Word], last: int) -> int | None:
    if last + 1 >= len(words) or not _TIGHT.fullmatch(text[words[last].end : words[last + 1].start]):
        return None
    behind = words[last + 1]
    if any(map(str.isdigit, behind.text)) or behind.text in _CREDIT_NOTES:
        return behind.start
    # RE-1001-B is another paper than RE-1001. A name is longer, and behind a point a sentence begins.
    is_suffix = len(behind.text) <= MAX_SUFFIX and "." not in text[words[last].end : behind.start]
    return behind.start if is_suffix else None


def _creditor_reference(field: int, text: str) -> Iterator[Piece]:
    """ISO 11649: RF, two check digits, and the number, often filled up with zeros."""
    for match in re.finditer(r"(?<![A-Z0-9])RF\d\d(?: ?[A-Z0-9]){1,26}(?![A-Z0-9])", text):
        whole = match[0].replace(" ", "")
        if int("".join(str(int(each, 36)) for each in whole[4:] + whole[:4])) % 97 != 1:
            continue
        for said in dict.fromkeys((whole[4:], whole[4:].lstrip("0"))):
            if len(said) in KEY_LENGTHS:
                yield Piece(number_key(said), said, field, *match.span(), after_invoice=True)


def _expanded(piece: Piece, text: str, words: list[_Word], last: int) -> Iterator[Piece]:
    """ABC-0012/13/14, ABC-0012 und 0013, ABC-0012-0015: the numbers that are not written in full."""
    digits = re.search(r"\d+$", piece.written)
    if digits is None:
        return
    head, base, until = piece.written[: digits.start()], digits[0], piece.end
    place, before = last + 1, int(base)
    while place < len(words):
        between = text[until : words[place].start]
        joining = words[place].text if words[place].text in _AND else ""
        if joining:
            place += 1
            if place >= len(words):
                return
            between += " " + text[words[place - 1].end : words[place].start]
        word = words[place]
        if not _NEXT.fullmatch(between) or not (between.strip() or joining) or len(between) > 6:
            return
        if not word.text.isdigit() or len(word.text) > len(base):
            return
        number = int(base[: len(base) - len(word.text)] + word.text)
        until_here = joining in _UNTIL or between.strip() in ("-", "\u2013")
        if until_here and 1 < number - before <= MAX_RANGE:
            for each in range(before + 1, number):
                written = head + str(each).zfill(len(base))
                yield _short_form(piece, written, word.end, "range")
        written = head + str(number).zfill(len(base))
        yield _short_form(piece, written, word.end, "list")
        until, before, place = word.end, number, place + 1


def _short_form(piece: Piece, written: str, end: int, how: str) -> Piece:
    return replace(piece, key=number_key(written), written=written, end=end, stuck_behind=None, expanded=how)
