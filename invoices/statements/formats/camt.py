"""camt.053 and camt.054 (ISO 20022): statements and notifications of banks as XML, in every version since 001.02.

Elements are known by their local names, so that the version in the namespace makes no difference. lxml tells the line
of an element; entities, document types and the network are off. Entries are read one by one and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from io import BytesIO
from typing import Any

from django.utils.translation import gettext as _
from lxml import etree

from invoices import money
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement
from invoices.statements.formats.references import account_number, joined, reference

KINDS = {"Stmt": "camt.053", "Ntfctn": "camt.054"}  # camt.052 reports what is not booked for good
BOOKED = "BOOK"
OPENING, CLOSING = ("OPBD", "PRCD"), ("CLBD",)


def looks_like(content: bytes) -> bool:
    """Whether this is XML at all, by its beginning."""
    start = content[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    return start.replace(b"\x00", b"").startswith(b"<")


def read(content: bytes) -> list[ParsedStatement]:
    """The statements of a file. Raises BadStatement."""
    found: list[ParsedStatement] = []
    lines: list[Line] = []
    try:
        events = etree.iterparse(
            BytesIO(content),
            events=("end",),
            tag=("{*}Ntry", *(f"{{*}}{kind}" for kind in KINDS)),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        for _event, element in events:
            if element.getroottree().docinfo.doctype:
                raise BadStatement(_("The file declares a document type, which no bank's file does."), 1)
            name = _name(element)
            if name == "Ntry":
                if _is_in_statement(element):
                    lines.extend(_lines(element))
                _forget(element)
            elif name in KINDS:
                found.append(_statement(element, KINDS[name], lines))
                lines = []
                _forget(element)
    except etree.XMLSyntaxError as error:
        raise BadStatement(_("The file is no complete XML: {why}").format(why=error.msg or ""), error.lineno) from None
    if not found:
        raise BadStatement(_("The file is XML, but neither camt.053 nor camt.054. Ask the bank for one of these."))
    return found


def _statement(element: Any, kind: str, lines: list[Line]) -> ParsedStatement:
    account = _child(element, "Acct")
    number = account_number(_text(account, "Id/IBAN") or _text(account, "Id/Othr/Id"))
    if not number:
        raise BadStatement(_("A statement names no account."), element.sourceline)
    balances = [(_text(each, "Tp/CdOrPrtry/Cd"), each) for each in _children(element, "Bal")]
    opening = _balance(balances, OPENING, first=True)
    closing = _balance(balances, CLOSING, first=False)
    currencies = {_text(account, "Ccy").lower(), *(line.currency for line in lines)} - {""}
    currencies |= {currency for currency, *_rest in (opening, closing) if currency}
    if len(currencies) != 1:
        message = _("The statement of account {account} is in more than one currency, or in none.")
        raise BadStatement(message.format(account=number), element.sourceline)
    days = [line.booked_on for line in lines]
    begins = _day(_child(element, "FrToDt"), "FrDtTm", "FrDt") or opening[2] or (min(days) if days else None)
    ends = _day(_child(element, "FrToDt"), "ToDtTm", "ToDt") or closing[2] or (max(days) if days else None)
    return ParsedStatement(
        format=kind,
        account=number,
        currency=currencies.pop(),
        number=_text(element, "Id") or _text(element, "ElctrncSeqNb"),
        begins_on=begins,
        ends_on=ends,
        # A closing balance alone proves nothing.
        opening=opening[1] if closing[1] is not None else None,
        closing=closing[1] if opening[1] is not None else None,
        lines=tuple(lines),
    )


def _balance(
    balances: list[tuple[str, Any]], codes: Iterable[str], *, first: bool
) -> tuple[str, int | None, date | None]:
    """Currency, minor units and day of the balance with the first of these codes; of several the first or last one."""
    for code in codes:
        found = [each for name, each in balances if name == code]
        if found:
            element = found[0] if first else found[-1]
            currency, amount = _amount(element)
            return currency, amount * _sign(element), _day(_child(element, "Dt"), "DtTm", "Dt")
    return "", None, None


def _lines(entry: Any) -> Iterator[Line]:
    """An entry is one line; a batch that the bank booked as one, one for each transaction where they add up to it."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    if status and status != BOOKED:
        return
    currency, amount = _amount(entry)
    sign = _sign(entry)
    booked = _day(_child(entry, "BookgDt"), "DtTm", "Dt") or _day(_child(entry, "ValDt"), "DtTm", "Dt")
    if booked is None:
        raise BadStatement(_("An entry has no booking date."), entry.sourceline)
    details = [each for batch in _children(entry, "NtryDtls") for each in _children(batch, "TxDtls")]
    parts = [_part(each, currency, sign) for each in details]
    if len(details) < 2 or None in parts or sum(parts) != amount * sign:  # type: ignore[arg-type]
        details, parts = details[:1] if len(details) == 1 else [], [amount * sign]
    for place, part in enumerate(parts):
        assert part is not None  # noqa: S101  for the type checker
        yield _line(entry, details[place] if details else None, part, currency, booked, single=len(parts) == 1)


def _part(detail: Any, currency: str, sign: int) -> int | None:
    """The amount of one transaction of a batch; None where it is not told in the account's currency."""
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        element = _find(detail, path)
        if element is not None and element.get("Ccy", "").lower() == currency:
            own = _text(detail, "CdtDbtInd")
            return _minor(element, currency) * ({"CRDT": 1, "DBIT": -1}.get(own, sign))
    return None


def _line(entry: Any, detail: Any, amount: int, currency: str, booked: date, *, single: bool) -> Line:
    def said(path: str) -> str:
        return _text(detail, path)

    other, account = ("Dbtr", "DbtrAcct") if amount > 0 else ("Cdtr", "CdtrAcct")
    returned = _find(detail, "RtrInf")
    undoes = returned is not None or _text(entry, "RvslInd").lower() in ("true", "1")
    parties = "RltdPties/"
    free = [_plain(each) for each in _all(detail, "RmtInf/Ustrd")]
    structured = [reference(_plain(each)) for each in _all(detail, "RmtInf/Strd/CdtrRefInf/Ref")]
    named = [_plain(each) for each in _all(detail, "RmtInf/Strd/RfrdDocInf/Nb")]
    notes = [_plain(each) for each in _all(detail, "RmtInf/Strd/AddtlRmtInf")]
    own_reference = reference(said("Refs/AcctSvcrRef")) or (reference(_text(entry, "AcctSvcrRef")) if single else "")
    end_to_end = reference(said("Refs/EndToEndId"))
    references = [said(f"Refs/{name}") for name in ("TxId", "InstrId", "MsgId", "ClrSysRef")]
    text = joined([*free, *named, *notes]) or joined([said("AddtlTxInf") or _text(entry, "AddtlNtryInf")])
    return Line(
        number=(detail if detail is not None else entry).sourceline or 0,
        booked_on=booked,
        valued_on=_day(_child(entry, "ValDt"), "DtTm", "Dt"),
        amount=amount,
        currency=currency,
        # A batch has one reference for all of its transactions: with the place in it, it is that of one.
        bank_reference=own_reference,
        end_to_end_id=end_to_end,
        payer_name=said(f"{parties}{other}/Nm")
        or said(f"{parties}{other}/Pty/Nm")
        or said(f"{parties}Ultmt{other}/Nm"),
        payer_account=account_number(said(f"{parties}{account}/Id/IBAN") or said(f"{parties}{account}/Id/Othr/Id")),
        text=text,
        structured_reference=next(filter(None, structured), ""),
        code="/".join(filter(None, (_text(entry, f"BkTxCd/{each}") for each in _CODE)))
        or _text(entry, "BkTxCd/Prtry/Cd"),
        returns=tuple(filter(None, dict.fromkeys(map(reference, [end_to_end, *references])))) if undoes else (),
        return_reason=_text(returned, "Rsn/Cd") or joined(_plain(each) for each in _all(returned, "AddtlInf")),
    )


_CODE = ("Domn/Cd", "Domn/Fmly/Cd", "Domn/Fmly/SubFmlyCd")


# --- elements ---------------------------------------------------------------------------------------------------------


def _name(element: Any) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _children(element: Any, name: str) -> list[Any]:
    return [each for each in element if _name(each) == name] if element is not None else []


def _child(element: Any, name: str) -> Any:
    return next(iter(_children(element, name)), None)


def _all(element: Any, path: str) -> list[Any]:
    found = [element] if element is not None else []
    for name in path.split("/"):
        found = [child for each in found for child in _children(each, name)]
    return found


def _find(element: Any, path: str) -> Any:
    return next(iter(_all(element, path)), None)


def _plain(element: Any) -> str:
    return (element.text or "").strip() if element is not None else ""


def _text(element: Any, path: str) -> str:
    return next(filter(None, map(_plain, _all(element, path))), "")


def _is_in_statement(entry: Any) -> bool:
    return _name(entry.getparent()) in KINDS


def _forget(element: Any) -> None:
    """An entry that was read, and what stands before it, takes no more memory. Its place stays."""
    element.clear()


def _sign(element: Any) -> int:
    mark = _text(element, "CdtDbtInd")
    if mark not in ("CRDT", "DBIT"):
        raise BadStatement(_("An amount is neither a credit nor a debit."), element.sourceline)
    return 1 if mark == "CRDT" else -1


def _amount(element: Any) -> tuple[str, int]:
    """Currency and minor units of an entry or a balance, without the sign."""
    amount = _child(element, "Amt")
    if amount is None:
        raise BadStatement(_("An amount is missing."), element.sourceline)
    currency = amount.get("Ccy", "").lower()
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise BadStatement(_("An amount has no currency."), amount.sourceline)
    return currency, _minor(amount, currency)


def _minor(element: Any, currency: str) -> int:
    """Minor units. XML writes amounts with a point for decimals and nothing else."""
    written = _plain(element)
    try:
        value = Decimal(written)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or not written.replace(".", "", 1).isascii():
        raise BadStatement(_("“{amount}” is no amount.").format(amount=written[:40]), element.sourceline)
    minor = value.scaleb(money.exponent(currency))
    if minor != minor.to_integral_value():
        message = _("{amount} has more decimals than {currency} has.")
        raise BadStatement(message.format(amount=written[:40], currency=currency.upper()), element.sourceline)
    if minor >= money.MAX_MINOR_UNITS * 1000:
        raise BadStatement(_("“{amount}” is no amount.").format(amount=written[:40]), element.sourceline)
    return int(minor)


def _day(element: Any, moment: str, day: str) -> date | None:
    """The day of a date or of a moment, as the bank's own clock has it. Raises BadStatement."""
    written = _text(element, day) or _text(element, moment)
    if not written:
        return None
    try:
        return date.fromisoformat(written[:10]) if len(written) <= 16 else datetime.fromisoformat(written).date()
    except ValueError:
        message = _("“{day}” is no date.")
        raise BadStatement(message.format(day=written[:40]), element.sourceline) from None
