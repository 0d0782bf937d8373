"""MT940 (SWIFT): statements of banks as lines of text. The library `mt-940` reads each tag; here they become lines.

The file is cut into its tags here and not by the library: so each tag knows its line, what follows on the last balance
is not taken for the text of the last transaction, and a large file is never held as the library's objects.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from mt940 import Options
from mt940.models import Transactions
from mt940.processors import date_fixup_pre_processor
from mt940.tags import BalanceBase, Statement, Tag

from invoices import money
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement, check_count
from invoices.statements.formats.references import account_number, is_iban, joined, our_account, reference

logging.getLogger("mt940").setLevel(logging.CRITICAL)  # it writes a file's texts, which are not for the log

TAG = re.compile(r":(\d\d[A-Z]?|NS):")
# The headers and the end of a SWIFT message: {1:F01…}{2:…}{4: and -}
ENVELOPE = re.compile(
    r"^[\x00-\x1f]*(-\}[\x00-\x1f]*)?(\{[1-35]:([^{}]|\{[^{}]*\})*\}[\x00-\x1f]*)*(\{4:)?[\x00-\x1f]*"
)
RETURN_CODES = ("RTI", "RTN", "RET")  # of `NRTI` and such
RETURN_CODES_OF_SEPA = frozenset(str(code) for code in (108, 109, 111, 159, 160, 161, 184, 185))
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
FULL_LINE, FULL_FIELD = 65, 27  # characters: what is as long goes on without a space
# `166?00GUTSCHRIFT?20…`: the sign after the code is the bank's own choice.
STRUCTURED = re.compile(r"\s*(\d{3})([^\w\s/+.,:;()&'\"-])(?=\d\d)")
# `EREF+…`, and `EREF: …` as cooperative banks write it.
KEYWORDS = "EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|PURP|MDAT|SQTP|ORCR|ORMR|DDAT|IBAN|(?<![A-Z])BIC"
KEYWORD = re.compile(rf"({KEYWORDS})(?:\+|: )")
# Of Dutch and Belgian banks: /IBAN/…/NAME/…/REMI/…
SLASHED = re.compile(
    r"/ ?(TRTP|TRCD|IBAN|BIC|NAME|REMI|EREF|ORDP|BENM|CNTP|MARF|CSID|CREF|PREF|KREF|PURP|ISDT|RTRN|ULTC|ULTD|ULTB|ADDR|"
    r"SVCL|OCMT|CHGS|EXCH|NRTX|BUSP|ID|ACCW|CRED|BENE|FX) ?/"
)


class _Booking(Statement):
    """Tag :61: as banks write it: references longer than SWIFT's, several lines behind it, and an amount that is not
    cut where it has a point for decimals."""

    pattern = r"""^
    (?P<year>[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})
    (?P<entry_month>[0-9]{2}|\s{2})?(?P<entry_day>[0-9]{2}|\s{2})?
    (?P<status>R?[DC])(?P<funds_code>[A-Z])?[\n ]?
    (?P<amount>[0-9]{1,15}(?:,[0-9]{0,3}|\.[0-9]{1,2})?|,[0-9]{1,3})
    (?P<id>[A-Z][A-Z0-9 ]{3})
    (?P<customer_reference>(?:(?!//)[^\n])*(?=//)|[^\n]{0,16})
    (//(?P<bank_reference>[^\n]*))?
    (\n?(?P<extra_details>[\s\S]*))?
    $"""


class _Balance(BalanceBase):
    """Tags :60F:, :60M:, :62F: and :62M:, whose amount is not cut where it has a point for decimals."""

    pattern = r"""^
    (?P<status>[DC])(?P<year>[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?P<currency>[A-Z]{3})\s?
    (?P<amount>[0-9]{1,15}(?:,[0-9]{0,3}|\.[0-9]{1,2})?|,[0-9]{1,3})
    (?=\s|$)"""


BOOKING, BALANCE = _Booking(), _Balance()


def looks_like(content: bytes) -> bool:
    """Whether this has the tags with which a statement begins."""
    start = _decoded(content[:65536])
    return bool(re.search(r"(^|[\n\r{}:\x01])\s*:20:", start[:8192])) and ":25:" in start


def read(content: bytes) -> list[ParsedStatement]:
    """The statements of a file; pages of one statement are one. Raises BadStatement."""
    pages = list(_pages(_decoded(content)))
    if not pages:
        raise BadStatement(_("The file has no statement: the tag :20: is missing."))
    return list(_whole(pages))


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 reads every byte")


@dataclass
class _Page:
    """One message: a whole statement, or a page of one. Amounts are minor units."""

    line: int
    account: str = ""
    currency: str = ""
    number: str = ""
    opening: int | None = None
    closing: int | None = None
    opened_on: date | None = None
    closed_on: date | None = None
    goes_on: bool = False  # its closing balance is that of a page (62M)
    is_further: bool = False  # its opening balance is that of a page (60M)
    lines: list[Line] = field(default_factory=list)


def _tags(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Each tag with the number of its line and the lines of its value. `-` ends what came before."""
    number, tag, value = 0, "", [""]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for place, line in enumerate(lines, 1):
        plain = ENVELOPE.sub("", line, count=1).rstrip() if line[:1] <= " " or line[0] in "{-" else line.rstrip()
        if found := TAG.match(plain):
            if tag:
                yield number, tag, value
            number, tag, value = place, found[1], [plain[found.end() :]]
        elif plain.strip() == "-" or (plain != line and not plain):
            if tag:
                yield number, tag, value
            tag = ""
        elif plain and tag:
            value.append(plain)
    if tag:
        yield number, tag, value


def _pages(text: str) -> Iterator[_Page]:
    page: _Page | None = None
    booking: tuple[int, dict[str, Any]] | None = None
    details: list[str] = []
    count = 0

    def booked() -> None:
        nonlocal booking, count
        if booking and page:
            count += 1
            check_count(count)
            page.lines.append(_line(booking[1], details, page.currency, booking[0]))
        booking = None
        details.clear()

    for number, tag, value in _tags(text):
        if tag == "86":
            if booking:  # what stands behind the last balance is about the whole statement
                details.extend(value)
            continue
        if tag == "NS":
            continue
        booked()
        if tag == "20" and (page is None or page.account):
            if page:
                yield _checked(page)
            page = _Page(number)
        elif page is None:
            continue
        elif tag in ("25", "25P"):
            page.account = page.account or our_account(value[0])
        elif tag in ("28", "28C"):
            page.number = value[0].strip()
        elif tag[:2] in ("60", "62"):
            _put_balance(page, tag, "\n".join(value), number)
        elif tag == "61":
            if not page.currency:
                raise BadStatement(_("A statement has no account (:25:) or no balance (:60F:)."), page.line)
            booking = number, _read(BOOKING, page.currency, "\n".join(value), number)
    booked()
    if page:
        yield _checked(page)


def _checked(page: _Page) -> _Page:
    if not page.account or page.opening is None or page.closing is None:
        raise BadStatement(
            _("A statement needs its account (:25:), its opening balance (:60F:) and its closing balance (:62F:)."),
            page.line,
        )
    return page


def _read(tag: Tag, currency: str, value: str, number: int) -> dict[str, Any]:
    """What the library reads in this value. Raises BadStatement with the line."""
    held = Transactions(options=Options.all())
    try:
        said: dict[str, Any] = tag.parse(held, value.strip())
        # Banks that count months of thirty days write the 30th of February.
        said = date_fixup_pre_processor(held, tag, said)
        return tag(held, {**said, "currency": said.get("currency") or currency.upper()})
    except Exception as error:
        raise BadStatement(_("This line cannot be read as MT940."), number) from error


def _put_balance(page: _Page, tag: str, value: str, number: int) -> None:
    balance = next(iter(_read(BALANCE, "", value, number).values()))
    currency = str(balance.amount.currency).lower()
    if page.currency and page.currency != currency:
        message = _("The statement of account {account} is in more than one currency, or in none.")
        raise BadStatement(message.format(account=page.account), number)
    page.currency = currency
    amount, day = _minor(balance.amount.amount, currency, number), _as_date(balance.date)
    if tag.startswith("60"):
        if page.opening is not None:
            raise BadStatement(_("A statement has its opening balance twice."), number)
        page.opening, page.opened_on, page.is_further = amount, day, tag == "60M"
    else:
        if page.closing is not None:
            raise BadStatement(_("A statement has its closing balance twice."), number)
        page.closing, page.closed_on, page.goes_on = amount, day, tag == "62M"


def _whole(pages: Sequence[_Page]) -> Iterator[ParsedStatement]:
    """Pages that follow on each other become one statement. Raises BadStatement where one is missing between them."""
    held: list[_Page] = []
    last: dict[tuple[str, str], _Page] = {}  # of each account
    for page in pages:
        before = last.get((page.account, page.currency))
        if before and _is_missing_between(before, page):
            raise BadStatement(_missing(before, page), page.line)
        last[page.account, page.currency] = page
        if held and not (page.is_further and held[-1].goes_on and _follows(held[-1], page)):
            yield _joined(held)
            held = []
        held.append(page)
    if held:
        yield _joined(held)


def _follows(one: _Page, other: _Page) -> bool:
    return (one.account, one.currency, one.closing) == (other.account, other.currency, other.opening)


def _is_missing_between(one: _Page, other: _Page) -> bool:
    """Whether one goes on with a page that the file does not have, or the other continues such a page. A page may add
    up to nothing, so its balances do not tell that it is missing; its number does."""
    if not (one.goes_on or other.is_further):
        return False
    numbers = [re.fullmatch(r"(.*?)/0*([0-9]{1,5})", page.number) for page in (one, other)]
    first, second = numbers
    leaves_out = bool(first and second and first[1] == second[1] and int(second[2]) > int(first[2]) + 1)
    return one.closing != other.opening or leaves_out


def _missing(one: _Page, other: _Page) -> str:
    message = _(
        "Between page {one} and page {other} of account {account} a page is missing: one ends with {closing}, the "
        "other begins with {opening}. Nothing was taken; ask the bank for the whole file."
    )
    return message.format(
        one=one.number or "–",
        other=other.number or "–",
        account=one.account,
        closing=money.text(one.closing or 0, one.currency),
        opening=money.text(other.opening or 0, other.currency),
    )


def _joined(pages: list[_Page]) -> ParsedStatement:
    first, last = pages[0], pages[-1]
    lines = tuple(line for page in pages for line in page.lines)
    days = [line.booked_on for line in lines]
    return ParsedStatement(
        format="MT940",
        account=first.account,
        currency=first.currency,
        number=first.number,
        begins_on=min(days) if days else first.opened_on,
        ends_on=last.closed_on,
        opening=first.opening,
        closing=last.closing,
        lines=lines,
    )


def _minor(amount: Decimal, currency: str, line: int) -> int:
    minor = amount.scaleb(money.exponent(currency))
    if minor != minor.to_integral_value():
        message = _("{amount} has more decimals than {currency} has.")
        raise BadStatement(message.format(amount=amount, currency=currency.upper()), line)
    if abs(minor) >= money.MAX_MINOR_UNITS * 1000:
        raise BadStatement(_("“{amount}” is no amount.").format(amount=amount), line)
    return int(minor)


def _line(data: dict[str, Any], lines: list[str], currency: str, number: int) -> Line:
    amount = _minor(data["amount"].amount, currency, number)
    customer_reference = reference(data.get("customer_reference"))
    details = _details(lines)
    text = joined([details.get("text", ""), data.get("extra_details") or ""])
    code, posting = str(data["id"]), details.get("posting", "")
    mark = str(data["status"]).upper()
    returned = mark.startswith("R") or code[1:4].upper() in RETURN_CODES or posting in RETURN_CODES_OF_SEPA
    returned = returned or bool(details.get("reason"))
    end_to_end = reference(details.get("end_to_end"))
    own = reference(data.get("bank_reference"))
    named = [end_to_end, customer_reference, own]
    valued = _as_date(data["date"])
    return Line(
        number=number,
        booked_on=_as_date(data.get("entry_date") or data["date"]),
        valued_on=valued,
        amount=amount,
        currency=currency,
        bank_reference=own,
        end_to_end_id=end_to_end or customer_reference,
        payer_name=joined([details.get("name", "")]),
        payer_account=account_number(details.get("account")),
        text=text,
        structured_reference=reference(details.get("structured")),
        code="/".join(filter(None, (code, posting))),
        is_return=returned,
        returns=tuple(filter(None, dict.fromkeys(named))) if returned and amount < 0 else (),
        return_reason=details.get("reason", ""),
    )


def _as_date(value: Any) -> date:
    return date(value.year, value.month, value.day)


def _details(lines: list[str]) -> dict[str, str]:
    """What tag :86: says, structured in the German way (?20, SVWZ+), in the Dutch way (/REMI/), or as free text."""
    free = _run_on(lines, FULL_LINE)
    if found := STRUCTURED.match(free):
        return _german("".join(lines), found)
    keys = list(SLASHED.finditer(free))
    return _slashed(free, keys) if len(keys) >= 2 else {"text": free}


def _run_on(pieces: Sequence[str], full: int) -> str:
    """Pieces of a text that was cut after so many characters. What is shorter was cut at a space, which is gone."""
    return "".join(piece if len(piece) == full else f"{piece} " for piece in pieces).strip()


def _german(free: str, head: re.Match[str]) -> dict[str, str]:
    fields: dict[str, list[str]] = {}
    # A sign within a text is not the beginning of a field: two digits of a field that there is must follow.
    for part in re.split(rf"{re.escape(head[2])}(?=0\d|10|2\d|3[0-4]|6[0-3])", free[head.end(1) :]):
        fields.setdefault(part[:2], []).append(part[2:])
    pieces = [piece for code in sorted(fields) if code[:1] in ("2", "6") for piece in fields[code]]
    said = _keywords(_run_on(pieces, FULL_FIELD))
    name = _run_on([piece for code in ("32", "33") for piece in fields.get(code, ())], FULL_FIELD)
    account = "".join(fields.get("31", ()))
    return {
        "posting": head[1],
        "text": said.get("SVWZ") or said.get("", ""),
        "name": name or said.get("ABWA", ""),
        "account": account or said.get("IBAN", ""),
        "end_to_end": said.get("EREF", ""),
        "reason": said.get("reason", ""),
    }


def _keywords(purpose: str) -> dict[str, str]:
    """`EREF+…SVWZ+…` by its keywords. What stands before the first one is part of the text."""
    keys = list(KEYWORD.finditer(purpose))
    if not keys:
        return {"": purpose}
    before = purpose[: keys[0].start()].strip()
    found: dict[str, str] = {}
    for place, key in enumerate(keys):
        end = keys[place + 1].start() if place + 1 < len(keys) else len(purpose)
        found.setdefault(key[1], purpose[key.end() : end].strip())
    if "SVWZ" in found:
        found["SVWZ"] = f"{before} {found['SVWZ']}".strip()
    else:
        # Without the keyword of the text, it stands before the others or nowhere.
        found[""] = before or purpose
    return found


def _slashed(free: str, keys: list[re.Match[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, key in enumerate(keys):
        end = keys[place + 1].start() if place + 1 < len(keys) else len(free)
        found.setdefault(key[1], free[key.end() : end].strip("/ "))
    party = [each.strip() for each in found.get("CNTP", "").split("/")]
    account = next((each for each in (found.get("IBAN", ""), found.get("ACCW", ""), party[0]) if each), "")
    remittance = found.get("REMI", "")
    structured = re.match(r"STRD/+(?:CUR|ISO|BBA)/+([^/]+)", remittance)
    text = re.sub(r"^(USTD|STRD)/+", "", remittance)
    return {
        "text": joined([text or ("" if "REMI" in found else free)]),
        "name": found.get("NAME") or (party[2] if len(party) > 2 else "") or _name_of(found),
        "account": account if is_iban(account) or account.isdigit() else account.split(" ")[0].split("/")[0],
        "end_to_end": found.get("EREF", ""),
        "structured": structured[1] if structured else found.get("CREF", ""),
        "reason": found.get("RTRN", "").split("/")[0],
    }


def _name_of(found: dict[str, str]) -> str:
    """The name where it stands right behind the key of the party."""
    return next((found[key].split("/")[0] for key in ("ORDP", "BENM", "BENE") if found.get(key)), "")
