"""References, accounts and texts of banks, without what stands for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What banks write where there is no reference: also the keyword that says that it stands in another field.
NONE = frozenset(
    {
        *("NONREF", "NOTPROVIDED", "NOT PROVIDED", "NOTPROV", "NONE", "N/A", "NICHT ANGEGEBEN", "UNKNOWN", "NOREF"),
        *("NO REF", "NREF", "KREF+", "EREF+", "MREF+", "EREF", "KREF", "MARF", "PREF", "SVWZ+", "NOT AVAILABLE"),
    }
)


def reference(written: str | None) -> str:
    """The reference, or nothing where the bank wrote that there is none."""
    found = " ".join((written or "").replace("\x00", "").split())
    return "" if found.upper() in NONE or not found.strip("0-./ ") else found


def account_number(written: str | None) -> str:
    """An IBAN or account number: upper case, without spaces."""
    return "".join((written or "").replace("\x00", "").split()).upper()[:64]


def is_iban(account: str) -> bool:
    """Whether this is an IBAN, by its check digits."""
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", account):
        return False
    return int("".join(str(int(each, 36)) for each in account[4:] + account[:4])) % 97 == 1


def our_account(written: str | None) -> str:
    """The account of a statement. Banks write a currency behind the IBAN, or the bank's code or a slash before it; the
    same account is one, whichever format tells it."""
    found = account_number(written)
    for part in (found, *found.split("/")):
        for iban in (part, part[:-3]):
            if is_iban(iban):
                return iban
    return found.strip("/")


def writings(account: str) -> set[str]:
    """The account as other formats write it: a German IBAN is a bank code and a number in MT940, and the other way."""
    if is_iban(account) and account.startswith("DE"):
        bank, number = account[4:12], account[12:]
        return {account, f"{bank}/{number}", f"{bank}/{number.lstrip('0')}"}
    if found := re.fullmatch(r"([0-9]{8})/([0-9]{1,10})(?:EUR)?", account):
        bank, number = found[1], found[2].rjust(10, "0")
        check = 98 - int(f"{bank}{number}131400") % 97
        return {account, f"{bank}/{number}", f"{bank}/{number.lstrip('0')}", f"DE{check:02}{bank}{number}"}
    return {account}


def joined(parts: Iterable[str]) -> str:
    """The parts of a text as one, without repeated spaces and without a NUL, which no database takes."""
    return " ".join(" ".join(parts).replace("\x00", "").split())
