"""Pieces of camt files, to be put together into the shapes that banks write."""

from __future__ import annotations

from tests.helpers.bank import ACCOUNT

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def balance(code: str, amount: str, day: str = "2026-11-02", mark: str = "CRDT", more: str = "") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry>{more}</Tp><Amt Ccy='EUR'>{amount}</Amt>"
        f"<CdtDbtInd>{mark}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>\n"
    )


def entry(amount: str = "100.00", inner: str = "", mark: str = "CRDT", status: str = "<Sts><Cd>BOOK</Cd></Sts>") -> str:
    return (
        f"<Ntry><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>{mark}</CdtDbtInd>{status}"
        f"<BookgDt><Dt>2026-11-02</Dt></BookgDt><ValDt><Dt>2026-11-02</Dt></ValDt>{inner}</Ntry>\n"
    )


def detail(inner: str) -> str:
    return f"<NtryDtls><TxDtls>{inner}</TxDtls></NtryDtls>"


def document(*entries: str, balances: str = "", closing: str = "100.00", account: str = "", head: str = "") -> bytes:
    balances = balances or balance("OPBD", "0.00") + balance("CLBD", closing)
    account = account or f"<Id><IBAN>{ACCOUNT}</IBAN></Id><Ccy>EUR</Ccy>"
    return (
        f"{head or HEAD}\n<Document xmlns='{NAMESPACE}'><BkToCstmrStmt>\n"
        f"<Stmt><Id>S-1</Id><Acct>{account}</Acct>\n{balances}{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def notification(*entries: str) -> bytes:
    content = document(*entries, balances=" ").decode()
    return content.replace("Stmt>", "Ntfctn>").replace("camt.053", "camt.054").encode()


def batch(*parts: str, total: str, more: str = "", mark: str = "CRDT") -> str:
    return entry(total, f"<AcctSvcrRef>B-1</AcctSvcrRef>{more}<NtryDtls><Btch/>{''.join(parts)}</NtryDtls>", mark=mark)


def part(amount: str, text: str, more: str = "", path: str = "<Amt Ccy='EUR'>{0}</Amt>") -> str:
    return f"<TxDtls>{path.format(amount)}{more}<RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls>"
