"""References, accounts and texts of banks, without what stands for nothing."""

from __future__ import annotations

from collections.abc import Iterable

# What banks write where there is no reference.
NONE = frozenset({"NONREF", "NOTPROVIDED", "NOT PROVIDED", "NONE", "N/A", "NICHT ANGEGEBEN", "KREF+", "UNKNOWN"})


def reference(written: str | None) -> str:
    """The reference, or nothing where the bank wrote that there is none."""
    found = " ".join((written or "").split())
    return "" if found.upper() in NONE or not found.strip("0-./ ") else found


def account_number(written: str | None) -> str:
    """An IBAN or account number: upper case, without spaces."""
    return "".join((written or "").split()).upper()[:64]


def joined(parts: Iterable[str]) -> str:
    """The parts of a text as one, without repeated spaces and without a NUL, which no database takes."""
    return " ".join(" ".join(parts).replace("\x00", "").split())
