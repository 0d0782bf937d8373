"""camt.053 and camt.054 (ISO 20022): statements and notifications of banks as XML, in every version since 001.02.

Elements are known by their local names, so that the version in the namespace makes no difference. lxml tells the line
of an element; entities, document types and the network are off. Entries are read one by one and forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from io import BytesIO
from typing import Any

from django.utils.translation import gettext as _
from lxml import etree

from invoices import money
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement, check_count
from invoices.statements.formats.references import account_number, joined, our_account, reference

KINDS = {"Stmt": "camt.053", "Ntfctn": "camt.054"}  # camt.052 reports what is not booked for good
BOOKED = "BOOK"
# The first code that a statement has counts. ITBD is the balance of a page in the middle of a statement.
OPENING, CLOSING, INTERIM = ("OPBD", "PRCD"), "CLBD", "ITBD"
RETURNED = frozenset({"RRTN", "UPDD", "PRDD", "UPCT", "RPCR"})  # kinds of transaction that undo an earlier one
DEEPEST = 30  # elements within each other in an entry; the schemas have half as many


def looks_like(content: bytes) -> bool:
    """Whether this is XML at all, by its beginning."""
    start = content[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    return start.replace(b"\x00", b"").startswith(b"<")


@dataclass(slots=True)
class _Element:
    """An element of the file as we need it: by local names, and without the library's object, which is slow to ask."""

    line: int
    text: str
    currency: str
    children: dict[str, list[_Element]] = field(default_factory=dict)

    def all(self, path: str) -> list[_Element]:
        found = [self]
        for name in path.split("/"):
            found = [child for each in found for child in each.children.get(name, ())]
        return found

    def find(self, path: str) -> _Element | None:
        return next(iter(self.all(path)), None)

    def said(self, *paths: str) -> str:
        """The first text that one of these paths leads to."""
        return next((each.text for path in paths for each in self.all(path) if each.text), "")


def read(content: bytes) -> list[ParsedStatement]:
    """The statements of a file. Raises BadStatement."""
    found: list[ParsedStatement] = []
    lines: list[Line] = []
    balances: list[_Element] = []
    ours = ""
    count = 0
    begun = False
    try:
        events = etree.iterparse(
            BytesIO(content),
            events=("start", "end"),
            tag=("{*}Ntry", "{*}Bal", "{*}Acct", *(f"{{*}}{kind}" for kind in KINDS)),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        for event, element in events:
            if not begun and element.getroottree().docinfo.doctype:
                raise BadStatement(_("The file declares a document type, which no bank's file does."), 1)
            begun = True
            if event == "start":
                continue
            name, above = _local(element.tag), element.getparent()
            if name in KINDS:
                found.append(_statement(_tree(element), KINDS[name], ours, balances, lines))
                count += len(lines)
                lines, balances, ours = [], [], ""
                element.clear()
            elif above is None or _local(above.tag) not in KINDS:
                continue
            elif name == "Acct":
                ours = our_account(_tree(element).said("Id/IBAN", "Id/Othr/Id"))
            elif name == "Bal":
                balances.append(_tree(element))
                _forget(element)
            else:
                lines.extend(_lines(_tree(element), ours))
                check_count(count + len(lines))
                _forget(element)
    except etree.XMLSyntaxError as error:
        raise BadStatement(_("The file is no complete XML: {why}").format(why=error.msg or ""), error.lineno) from None
    if not found:
        raise BadStatement(_("The file is XML, but neither camt.053 nor camt.054. Ask the bank for one of these."))
    return found


def _statement(
    element: _Element, kind: str, number: str, balances: list[_Element], lines: list[Line]
) -> ParsedStatement:
    if not number:
        raise BadStatement(_("A statement names no account."), element.line)
    opening, closing = _balances(balances)
    if kind == "camt.053" and (opening is None or closing is None):
        message = _(
            "Statement {number} of account {account} lacks an opening or closing balance, so nothing proves it."
        )
        raise BadStatement(message.format(number=element.said("Id") or "–", account=number), element.line)
    currencies = {element.said("Acct/Ccy").lower(), *(line.currency for line in lines)} - {""}
    currencies |= {each.currency for each in (opening, closing) if each}
    if len(currencies) != 1:
        message = _("The statement of account {account} is in more than one currency, or in none.")
        raise BadStatement(message.format(account=number), element.line)
    days = [line.booked_on for line in lines]
    begins = _day(element.find("FrToDt"), "FrDtTm", "FrDt") or (min(days) if days else None)
    begins = begins or (opening.day if opening else None)
    ends = _day(element.find("FrToDt"), "ToDtTm", "ToDt") or (closing.day if closing else None)
    ends = ends or (max(days) if days else None)
    both = opening is not None and closing is not None  # one alone proves nothing
    return ParsedStatement(
        format=kind,
        account=number,
        currency=currencies.pop(),
        number=element.said("Id", "ElctrncSeqNb", "LglSeqNb"),
        begins_on=begins,
        ends_on=ends,
        opening=opening.amount if opening and both else None,
        closing=closing.amount if closing and both else None,
        lines=tuple(lines),
    )


@dataclass(frozen=True)
class _Balance:
    code: str
    currency: str
    amount: int  # minor units
    day: date | None


def _balances(elements: list[_Element]) -> tuple[_Balance | None, _Balance | None]:
    """The opening and the closing balance: of several days the earliest and the latest, in whatever order they stand.

    A page in the middle of a statement has an interim balance in place of one of them, or of both.
    """
    found = []
    for each in elements:
        code = each.said("Tp/CdOrPrtry/Cd")
        if code in (*OPENING, CLOSING, INTERIM):
            currency, amount = _amount(each)
            found.append(_Balance(code, currency, amount * _sign(each), _day(each.find("Dt"), "DtTm", "Dt")))

    def by_day(balance: _Balance) -> date:
        return balance.day or date.min

    openings = next(filter(None, ([each for each in found if each.code == code] for code in OPENING)), [])
    closings = [each for each in found if each.code == CLOSING]
    interim = [each for each in found if each.code == INTERIM]
    opening = min(openings, key=by_day) if openings else interim.pop(0) if interim else None
    # `max` takes the first of several of one day, and the last one of a day is its closing balance.
    closing = max(reversed(closings), key=by_day) if closings else interim[-1] if interim else None
    return opening, closing


def _lines(entry: _Element, ours: str) -> Iterator[Line]:
    """An entry is one line; a batch that the bank booked as one, one for each transaction where they add up to it."""
    status = entry.said("Sts/Cd", "Sts")
    if status and status != BOOKED:
        return
    currency, amount = _amount(entry)
    amount *= _sign(entry)
    booked = _day(entry.find("BookgDt"), "DtTm", "Dt") or _day(entry.find("ValDt"), "DtTm", "Dt")
    if booked is None:
        raise BadStatement(_("An entry has no booking date."), entry.line)
    details = entry.all("NtryDtls/TxDtls")
    if len(details) < 2:
        yield _line(entry, details, amount, currency, booked, ours)
        return
    parts, charges = _parts(entry, details, amount, currency)
    if parts is None:
        # What the bank does not tell apart stays one, with all that is said of it.
        yield _line(entry, details, amount, currency, booked, ours)
        return
    whole = (reference(entry.said("AcctSvcrRef")), amount)
    for detail, part in zip(details, parts, strict=True):
        yield _line(entry, [detail], part, currency, booked, ours, whole)
    if charges:
        yield Line(
            number=entry.line,
            booked_on=booked,
            valued_on=_day(entry.find("ValDt"), "DtTm", "Dt"),
            amount=charges,
            currency=currency,
            text=joined([entry.said("AddtlNtryInf")]),
            code="CHRG",
            entry=whole,
        )


def _parts(entry: _Element, details: list[_Element], amount: int, currency: str) -> tuple[list[int] | None, int]:
    """The amount of each transaction of a batch, and what the bank kept of the whole for itself; None where they do not
    add up to what it booked."""
    sign = 1 if amount >= 0 else -1
    parts = [_part(each, currency, sign) for each in details]
    told = [each for each in parts if each is not None]
    if len(told) < len(parts):
        return None, 0
    left = amount - sum(told)
    if not left:
        return told, 0
    net = [part - charge for part, charge in zip(told, (_charges(each, currency) for each in details), strict=True)]
    if sum(net) == amount:
        return net, 0
    charged = [_charges(entry, currency), sum(_charges(each, currency) for each in details)]
    return (told, left) if left < 0 and -left in charged else (None, 0)


def _part(detail: _Element, currency: str, sign: int) -> int | None:
    """The amount of one transaction of a batch; None where it is not told in the account's currency."""
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/CntrValAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        element = detail.find(path)
        if element is not None and element.currency == currency:
            return _minor(element, currency) * ({"CRDT": 1, "DBIT": -1}.get(detail.said("CdtDbtInd"), sign))
    return None


def _charges(element: _Element, currency: str) -> int:
    """What the bank took, in minor units; above zero: it was taken."""
    total = element.find("Chrgs/TtlChrgsAndTaxAmt")
    if total is not None and total.currency == currency:
        return _minor(total, currency)
    found = 0
    for each in (*element.all("Chrgs/Rcrd"), *element.all("Chrgs")):
        amount = each.find("Amt")
        if amount is not None and amount.currency == currency:
            found += _minor(amount, currency) * (-1 if each.said("CdtDbtInd") == "CRDT" else 1)
    return found


def _line(
    entry: _Element,
    details: list[_Element],
    amount: int,
    currency: str,
    booked: date,
    ours: str,
    whole: tuple[str, int] | None = None,
) -> Line:
    """One line, of one transaction or of several that cannot be told apart."""
    detail = details[0] if len(details) == 1 else _Element(entry.line, "", "")
    returned = detail.find("RtrInf")
    code = "/".join(filter(None, (entry.said(f"BkTxCd/{each}") for each in _CODE))) or entry.said("BkTxCd/Prtry/Cd")
    kind = detail.said("BkTxCd/Domn/Fmly/SubFmlyCd") or entry.said("BkTxCd/Domn/Fmly/SubFmlyCd")
    undoes = returned is not None or entry.said("RvslInd").lower() in ("true", "1") or kind in RETURNED
    structured = [
        found for each in details for ref in each.all("RmtInf/Strd/CdtrRefInf/Ref") if (found := reference(ref.text))
    ]
    free = [
        text.text
        for each in details
        for path in ("RmtInf/Ustrd", "RmtInf/Strd/RfrdDocInf/Nb", "RmtInf/Strd/AddtlRmtInf")
        for text in each.all(path)
    ]
    # A transaction may name several references: the first is its own, the others belong to the text.
    text = joined([*free, *dict.fromkeys(structured[1:])])
    if not text:
        text = joined([detail.said("AddtlTxInf") or entry.said("AddtlNtryInf")])
    own = reference(detail.said("Refs/AcctSvcrRef"))
    if not own and whole is None:
        own = reference(entry.said("AcctSvcrRef"))
    end_to_end = reference(detail.said("Refs/EndToEndId"))
    references = [detail.said(f"Refs/{name}") for name in ("TxId", "InstrId", "MsgId", "ClrSysRef", "UETR")]
    name, account = _other_side(detail, amount, ours)
    return Line(
        number=detail.line,
        booked_on=booked,
        valued_on=_day(entry.find("ValDt"), "DtTm", "Dt"),
        amount=amount,
        currency=currency,
        bank_reference=own,
        end_to_end_id=end_to_end,
        payer_name=name,
        payer_account=account,
        text=text,
        structured_reference=structured[0] if structured else "",
        code=code,
        is_return=undoes,
        returns=tuple(filter(None, dict.fromkeys(map(reference, [end_to_end, *references]))))
        if undoes and amount < 0
        else (),
        return_reason=_reason(returned),
        entry=whole,
    )


def _reason(returned: _Element | None) -> str:
    if returned is None:
        return ""
    return returned.said("Rsn/Cd", "Rsn/Prtry") or joined(each.text for each in returned.all("AddtlInf"))


def _other_side(detail: _Element, amount: int, ours: str) -> tuple[str, str]:
    """Name and account of the other side. A return keeps the sides of the transaction that it returns, so that of the
    two the one with our account is us."""

    def side(role: str) -> tuple[str, str]:
        parties = "RltdPties/"
        name = detail.said(
            *(f"{parties}{role}/Nm", f"{parties}{role}/Pty/Nm", f"{parties}Ultmt{role}/Nm"),
            f"{parties}Ultmt{role}/Pty/Nm",
        )
        account = detail.said(f"{parties}{role}Acct/Id/IBAN", f"{parties}{role}Acct/Id/Othr/Id")
        return joined([name]), account_number(account)

    usual, turned = ("Dbtr", "Cdtr") if amount > 0 else ("Cdtr", "Dbtr")
    found = side(usual)
    if found[1] and found[1] == ours:
        other = side(turned)
        return other if any(other) and other[1] != ours else found
    return found


_CODE = ("Domn/Cd", "Domn/Fmly/Cd", "Domn/Fmly/SubFmlyCd")


# --- elements ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1000)
def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _tree(element: Any, depth: int = 0) -> _Element:
    read_here = _Element(element.sourceline or 0, (element.text or "").strip(), element.get("Ccy", "").strip().lower())
    if depth > DEEPEST:
        raise BadStatement(_("The elements of the file are nested too deep."), read_here.line)
    for child in element:
        if name := _local(child.tag):
            read_here.children.setdefault(name, []).append(_tree(child, depth + 1))
    return read_here


def _forget(element: Any) -> None:
    """What was read, and what stands before it, takes no more memory."""
    element.clear()
    before = element.getprevious()
    if before is not None and _local(before.tag) in ("Ntry", "Bal"):
        element.getparent().remove(before)


def _sign(element: _Element) -> int:
    mark = element.said("CdtDbtInd")
    if mark not in ("CRDT", "DBIT"):
        raise BadStatement(_("An amount is neither a credit nor a debit."), element.line)
    return 1 if mark == "CRDT" else -1


def _amount(element: _Element) -> tuple[str, int]:
    """Currency and minor units of an entry or a balance, without the sign."""
    amount = element.find("Amt")
    if amount is None:
        raise BadStatement(_("An amount is missing."), element.line)
    if not re.fullmatch("[a-z]{3}", amount.currency):
        raise BadStatement(_("An amount has no currency."), amount.line)
    return amount.currency, _minor(amount, amount.currency)


def _minor(element: _Element, currency: str) -> int:
    """Minor units. XML writes amounts with a point for decimals and nothing else."""
    written = element.text
    if not re.fullmatch(r"\+?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})", written):
        raise BadStatement(_("“{amount}” is no amount.").format(amount=written[:40]), element.line)
    minor = Decimal(written).scaleb(money.exponent(currency))
    if minor != minor.to_integral_value():
        message = _("{amount} has more decimals than {currency} has.")
        raise BadStatement(message.format(amount=written[:40], currency=currency.upper()), element.line)
    if minor >= money.MAX_MINOR_UNITS * 1000:
        raise BadStatement(_("“{amount}” is no amount.").format(amount=written[:40]), element.line)
    return int(minor)


def _day(element: _Element | None, moment: str, day: str) -> date | None:
    """The day of a date or of a moment, as the bank's own clock has it. Raises BadStatement."""
    written = element.said(day, moment) if element else ""
    if not element or not written:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d([T ][0-9:.,]+)?(Z|[+-]\d\d:?\d\d)?", written, re.ASCII):
            return date.fromisoformat(written[:10])
    except ValueError:
        pass
    message = _("“{day}” is no date.")
    raise BadStatement(message.format(day=written[:40]), element.line)
