"""MT940 (SWIFT): statements of banks as lines of text. The library `mt-940` reads the tags; here they become lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from mt940 import Options
from mt940.models import Transactions

from invoices import money
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement
from invoices.statements.formats.references import account_number, joined, reference

logging.getLogger("mt940").setLevel(logging.CRITICAL)  # it writes a file's texts, which are not for the log

TAG = re.compile(r":(?P<tag>\d\d[A-Z]?|NS):")
SLASHED = re.compile(r"/([A-Z]{3,4})/")  # of Dutch banks: /IBAN/…/NAME/…/REMI/…
RETURN_CODES = ("RTI", "RTN", "RET")  # of `NRTI` and such
RETURN_CODES_OF_SEPA = frozenset(str(code) for code in (108, 109, 111, 159, 160, 161, 184, 185))
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")


def looks_like(content: bytes) -> bool:
    """Whether this has the tags with which a statement begins."""
    start = content[:8192].decode("latin-1")
    return bool(re.search(r"(^|[\n\r{}])\s*:20:", start)) and ":25:" in content[:65536].decode("latin-1")


def read(content: bytes) -> list[ParsedStatement]:
    """The statements of a file; pages of one statement are one. Raises BadStatement."""
    pages = [_page(number, lines) for number, lines in _blocks(_decoded(content))]
    if not pages:
        raise BadStatement(_("The file has no statement: the tag :20: is missing."))
    return list(_whole(pages))


def _decoded(content: bytes) -> str:
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 reads every byte")


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each statement of the file with the number of its first line: from its tag :20: on."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    begin: int | None = None
    cleaned: list[str] = []
    for number, line in enumerate(lines, 1):
        # The headers and the end of a SWIFT message: {1:F01…}{2:…}{4: and -}
        plain = re.sub(r"^(\{[1-5]:[^{}]*\})*\{4:|^(\{[1-5]:[^{}]*\})+$|^-\}.*$", "", line)
        if plain.startswith(":20:") and begin is not None and any(each.startswith(":25") for each in cleaned):
            yield begin, cleaned
            begin, cleaned = None, []
        if begin is None and plain.startswith(":20:"):
            begin = number
        if begin is not None:
            cleaned.append("" if plain.strip() == "-" else plain)
    if begin is not None:
        yield begin, cleaned


@dataclass
class _Page:
    """One message: a whole statement, or a page of one. Amounts are minor units."""

    line: int
    account: str
    currency: str
    number: str
    opening: int | None
    closing: int | None
    opened_on: date | None
    closed_on: date | None
    goes_on: bool  # its closing balance is that of a page (62M)
    is_further: bool  # its opening balance is that of a page (60M)
    lines: list[Line]


def _page(first: int, lines: list[str]) -> _Page:
    parsed = Transactions(options=Options.all())
    places = [number for number, line in enumerate(lines, first) if line.startswith(":61:")]
    try:
        parsed.parse("\n".join(lines))
    except Exception as error:
        raise BadStatement(_("This line cannot be read as MT940."), _place_of(error, first, lines)) from None
    data = parsed.data
    opening, closing = _balance(data, "opening"), _balance(data, "closing")
    account = account_number(data.get("account_identification"))
    balance = opening or closing
    if not account or balance is None:
        raise BadStatement(_("A statement has no account (:25:) or no balance (:60F:)."), first)
    if len(parsed.transactions) != len(places):
        raise BadStatement(_("A transaction (:61:) of this statement cannot be read."), first)
    currency = str(balance.amount.currency).lower()
    entries = [_line(each.data, currency, number) for number, each in zip(places, parsed.transactions, strict=True)]
    return _Page(
        line=first,
        account=account,
        currency=currency,
        number="/".join(filter(None, (data.get("statement_number"), data.get("sequence_number")))),
        opening=_minor(opening.amount.amount, currency, first) if opening else None,
        closing=_minor(closing.amount.amount, currency, first) if closing else None,
        opened_on=opening.date if opening else None,
        closed_on=closing.date if closing else None,
        goes_on="intermediate_closing_balance" in data,
        is_further="intermediate_opening_balance" in data,
        lines=entries,
    )


def _place_of(error: Exception, first: int, lines: list[str]) -> int:
    """The line on which the library failed: it tells the text of the tag."""
    value = str(error.args[-1]) if len(error.args) > 1 else ""
    start = value.split("\n", 1)[0]
    return next((number for number, line in enumerate(lines, first) if start and start in line), first)


def _balance(data: dict[str, Any], which: str) -> Any:
    names = (f"final_{which}_balance", f"intermediate_{which}_balance", f"{which}_balance")
    return next((data[name] for name in names if data.get(name) is not None), None)


def _whole(pages: Sequence[_Page]) -> Iterator[ParsedStatement]:
    """Pages that follow on each other become one statement."""
    held: list[_Page] = []
    for page in pages:
        if held and not (page.is_further and held[-1].goes_on and _follows(held[-1], page)):
            yield _joined(held)
            held = []
        held.append(page)
    if held:
        yield _joined(held)


def _follows(one: _Page, other: _Page) -> bool:
    return (one.account, one.currency, one.closing) == (other.account, other.currency, other.opening)


def _joined(pages: list[_Page]) -> ParsedStatement:
    first, last = pages[0], pages[-1]
    lines = tuple(line for page in pages for line in page.lines)
    days = [line.booked_on for line in lines]
    begins = min([*days, *filter(None, [first.opened_on])]) if days else first.opened_on
    return ParsedStatement(
        format="MT940",
        account=first.account,
        currency=first.currency,
        number=first.number,
        begins_on=min(days) if days else begins,
        ends_on=last.closed_on or (max(days) if days else None),
        opening=first.opening if last.closing is not None else None,
        closing=last.closing if first.opening is not None else None,
        lines=lines,
    )


def _minor(amount: Decimal, currency: str, line: int) -> int:
    minor = amount.scaleb(money.exponent(currency))
    if minor != minor.to_integral_value():
        message = _("{amount} has more decimals than {currency} has.")
        raise BadStatement(message.format(amount=amount, currency=currency.upper()), line)
    return int(minor)


def _line(data: dict[str, Any], currency: str, number: int) -> Line:
    amount = _minor(data["amount"].amount, currency, number)
    details = _details(data)
    code = str(data.get("id") or "")
    posting = str(data.get("transaction_code") or "")
    mark = str(data.get("status") or "").upper()
    returned = mark.startswith("R") or code[1:4] in RETURN_CODES or posting in RETURN_CODES_OF_SEPA
    returned = returned and amount < 0
    end_to_end = reference(details.get("end_to_end"))
    named = [end_to_end, reference(data.get("customer_reference")), reference(data.get("bank_reference"))]
    valued = data["date"]
    return Line(
        number=number,
        booked_on=_as_date(data.get("entry_date") or valued),
        valued_on=_as_date(valued),
        amount=amount,
        currency=currency,
        bank_reference=reference(data.get("bank_reference")),
        end_to_end_id=end_to_end,
        payer_name=joined([details.get("name", "")]),
        payer_account=account_number(details.get("account")),
        text=details["text"],
        structured_reference=reference(details.get("structured")),
        code="/".join(filter(None, (code, posting))),
        returns=tuple(filter(None, dict.fromkeys(named))) if returned else (),
        return_reason=str(data.get("return_debit_notes") or ""),
    )


def _as_date(value: Any) -> date:
    return date(value.year, value.month, value.day)


def _details(data: dict[str, Any]) -> dict[str, str]:
    """What tag :86: says, structured in the German way (?20, SVWZ+), in the Dutch way (/REMI/), or as free text."""
    free = str(data.get("transaction_details") or "")
    slashed = _slashed(free)
    if slashed:
        return slashed
    purpose = str(data.get("purpose") or "") + str(data.get("additional_purpose") or "")
    text = joined([purpose or free.replace("\n", " "), str(data.get("extra_details") or "")])
    account = data.get("gvc_applicant_iban") or data.get("applicant_iban")
    return {
        "text": text,
        "name": str(data.get("deviate_applicant") or data.get("applicant_name") or ""),
        "account": str(account or ""),
        "end_to_end": str(data.get("end_to_end_reference") or data.get("customer_reference") or ""),
    }


def _slashed(free: str) -> dict[str, str] | None:
    plain = free.replace("\n", "")
    keys = list(SLASHED.finditer(plain))
    if len(keys) < 2:
        return None
    found: dict[str, str] = {}
    for place, key in enumerate(keys):
        end = keys[place + 1].start() if place + 1 < len(keys) else len(plain)
        found.setdefault(key[1], plain[key.end() : end].strip("/ "))
    party = found.get("CNTP", found.get("ORDP", found.get("BENM", ""))).split("/")
    remittance = found.get("REMI", "")
    remittance = re.sub(r"^(USTD|STRD)/+", "", remittance)
    return {
        "text": joined([remittance or plain]),
        "name": found.get("NAME") or (party[2] if len(party) > 2 else ""),
        "account": found.get("IBAN") or party[0],
        "end_to_end": found.get("EREF", ""),
        "structured": found.get("CREF", ""),
    }
