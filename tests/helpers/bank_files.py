"""Files of banks as a bank writes them, from what they are to say: for tests and benchmarks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

from invoices import money
from invoices.statements.formats.parsed import Line

CAMT = "urn:iso:std:iso:20022:tech:xsd:camt.05{kind}.001.08"


def major(amount: int, currency: str) -> str:
    return f"{money.major(abs(amount), currency):f}"


def camt053(
    account: str,
    currency: str,
    opening: int,
    lines: Sequence[Line],
    *,
    number: str = "2026-211",
    day: date | None = None,
) -> bytes:
    """A statement with its balances."""
    day = day or (lines[0].booked_on if lines else date(2026, 11, 2))
    closing = opening + sum(line.amount for line in lines)
    balances = _balance("OPBD", opening, currency, day) + _balance("CLBD", closing, currency, day)
    body = balances + "".join(_entry(line) for line in lines)
    return _camt(3, "BkToCstmrStmt", "Stmt", account, currency, number, body)


def camt054(account: str, currency: str, lines: Sequence[Line], *, number: str = "N-1") -> bytes:
    """A notification, which has no balances."""
    return _camt(
        4, "BkToCstmrDbtCdtNtfctn", "Ntfctn", account, currency, number, "".join(_entry(line) for line in lines)
    )


def _camt(kind: int, outer: str, inner: str, account: str, currency: str, number: str, body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{CAMT.format(kind=kind)}"><{outer}>\n'
        f"<GrpHdr><MsgId>M</MsgId><CreDtTm>2026-11-03T06:00:00+01:00</CreDtTm></GrpHdr>\n<{inner}>"
        f"<Id>{escape(number)}</Id><Acct><Id><IBAN>{account}</IBAN></Id><Ccy>{currency.upper()}</Ccy></Acct>\n"
        f"{body}</{inner}></{outer}></Document>"
    ).encode()


def _balance(code: str, amount: int, currency: str, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount, currency)}"
        f"<Dt><Dt>{day.isoformat()}</Dt></Dt></Bal>\n"
    )


def _amount(amount: int, currency: str) -> str:
    mark = "CRDT" if amount >= 0 else "DBIT"
    return f'<Amt Ccy="{currency.upper()}">{major(amount, currency)}</Amt><CdtDbtInd>{mark}</CdtDbtInd>'


def _entry(line: Line) -> str:
    other = "Dbtr" if line.amount > 0 else "Cdtr"

    def given(name: str, value: str) -> str:
        return f"<{name}>{escape(value)}</{name}>" if value else ""

    party = f"<{other}>{given('Nm', line.payer_name)}</{other}>" if line.payer_name else ""
    account = (
        f"<{other}Acct><Id><IBAN>{escape(line.payer_account)}</IBAN></Id></{other}Acct>" if line.payer_account else ""
    )
    structured = (
        f"<Strd><CdtrRefInf><Ref>{escape(line.structured_reference)}</Ref></CdtrRefInf></Strd>"
        if line.structured_reference
        else ""
    )
    returned = f"<RtrInf><Rsn><Cd>{escape(line.return_reason or 'AC04')}</Cd></Rsn></RtrInf>" if line.returns else ""
    end_to_end = line.end_to_end_id or (line.returns[0] if line.returns else "NOTPROVIDED")
    valued = f"<ValDt><Dt>{line.valued_on.isoformat()}</Dt></ValDt>" if line.valued_on else ""
    return (
        f"<Ntry>{_amount(line.amount, line.currency)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{line.booked_on.isoformat()}</Dt></BookgDt>{valued}{given('AcctSvcrRef', line.bank_reference)}"
        f"<NtryDtls><TxDtls><Refs>{given('EndToEndId', end_to_end)}</Refs>"
        f"<RltdPties>{party}{account}</RltdPties>"
        f"<RmtInf>{given('Ustrd', line.text)}{structured}</RmtInf>{returned}</TxDtls></NtryDtls></Ntry>\n"
    )


def mt940(
    account: str, currency: str, opening: int, lines: Sequence[Line], *, number: str = "211/1", day: date | None = None
) -> bytes:
    """A statement in the German way, with ?20 and SVWZ+."""
    day = day or (lines[0].booked_on if lines else date(2026, 11, 2))
    closing = opening + sum(line.amount for line in lines)
    said = [":20:STARTUMSE", f":25:{account}", f":28C:{number}", f":60F:{_mt_balance(opening, currency, day)}"]
    for line in lines:
        mark = "C" if line.amount > 0 else "RC" if line.returns else "D"
        valued = line.valued_on or line.booked_on
        kind = "NRTI" if line.returns else "NTRF"
        reference = f"//{line.bank_reference[:16]}" if line.bank_reference else ""
        said.append(
            f":61:{valued:%y%m%d}{line.booked_on:%m%d}{mark}{_comma(line.amount, currency)}{kind}NONREF{reference}"
        )
        end_to_end = line.end_to_end_id or (line.returns[0] if line.returns else "")
        purpose = (f"EREF+{end_to_end}" if end_to_end else "") + f"SVWZ+{line.text}"
        pieces = [purpose[begin : begin + 27] for begin in range(0, len(purpose), 27)][:10]
        fields = "".join(f"?{20 + place}{piece}" for place, piece in enumerate(pieces))
        name = line.payer_name
        said.append(f":86:166?00GUTSCHRIFT{fields}?31{line.payer_account}?32{name[:27]}?33{name[27:54]}")
    said += [f":62F:{_mt_balance(closing, currency, day)}", "-"]
    return "\r\n".join(said).encode()


def _mt_balance(amount: int, currency: str, day: date) -> str:
    return f"{'C' if amount >= 0 else 'D'}{day:%y%m%d}{currency.upper()}{_comma(amount, currency)}"


def _comma(amount: int, currency: str) -> str:
    written = major(amount, currency).replace(".", ",")
    return written if "," in written else f"{written},"


def csv_bytes(
    account: str,
    lines: Sequence[Line],
    *,
    delimiter: str = ";",
    decimal_mark: str = ",",
    date_format: str = "%d.%m.%Y",
    opening: int | None = None,
    encoding: str = "utf-8",
) -> bytes:
    """A file with the labels of a German bank; with `opening`, with the balance beside each line."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    labels = ["Auftragskonto", "Buchungstag", "Valutadatum", "Verwendungszweck", "Name Zahlungsbeteiligter"]
    writer.writerow([*labels, "IBAN Zahlungsbeteiligter", "Betrag", "Währung", "Saldo nach Buchung"])
    balance = opening
    for line in lines:
        balance = None if balance is None else balance + line.amount
        writer.writerow(
            [
                account,
                line.booked_on.strftime(date_format),
                (line.valued_on or line.booked_on).strftime(date_format),
                line.text,
                line.payer_name,
                line.payer_account,
                _written(line.amount, line.currency, decimal_mark),
                line.currency.upper(),
                "" if balance is None else _written(balance, line.currency, decimal_mark),
            ]
        )
    return out.getvalue().encode(encoding)


def _written(amount: int, currency: str, mark: str) -> str:
    value: Decimal = money.major(amount, currency)
    return f"{value:f}".replace(".", mark)
