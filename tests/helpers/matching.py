"""Invoices, credits and what is proposed for them, for the tests of matching."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from invoices.statements.matching import Credit, Proposal, propose
from tests.factories import InvoiceObject, stored

TODAY = date(2026, 11, 20)
MADE = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())


def invoice(number: str, amount: int = 2900, customer: str = "cus_mill", name: str = "Mill Ltd", **given: Any) -> str:
    """An open invoice of one customer. Its id."""
    given = {"currency": "eur", "created": MADE, "collection_method": "send_invoice"} | given
    row = stored(
        InvoiceObject(
            id=given.pop("id", f"in_{number}"),
            number=number,
            customer=customer,
            customer_name=name,
            total=amount,
            amount_due=amount,
            amount_remaining=given.pop("amount_remaining", amount),
            **given,
        )
    )
    return str(row.pk)


def credit(text: str = "", amount: int = 2900, payer: str = "Mill Ltd", id: Any = 1, **given: Any) -> Credit:
    return Credit(id, amount, given.pop("currency", "eur"), TODAY, text, payer_name=payer, **given)


def best(credit: Credit, **payers: int) -> Proposal | None:
    found = propose([credit], {credit.id: payers})[credit.id]
    return found[0] if found else None


def parts(proposal: Proposal | None) -> list[tuple[str, int]]:
    return [(part.invoice, part.amount) for part in proposal.parts] if proposal else []


def codes(proposal: Proposal | None) -> set[str]:
    return {reason.code for reason in proposal.reasons} if proposal else set()
