"""The lines of an invoice or a credit note: whether what we hold of them is all that Stripe has, and adds up. Both are
Stripe's objects, of any shape."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from invoices.models.reading import integer, member, text

PARTS = 28  # days in which the rolling sample takes every long invoice once
SUBTOTAL = "subtotal"  # the invoice's member that the amounts of its lines make up, in minor units

Object = dict[str, Any]


def are_cut(invoice: Object | None) -> bool:
    """Whether the invoice came with its first ten lines only, as events and lists show it."""
    return member(invoice, "lines", "has_more") is True and isinstance(member(invoice, "lines", "data"), list)


def disagreement(invoice: Object | None) -> str:
    """In what the lines differ from what the invoice says of them, as a sentence; empty where they agree, or where
    nothing can be said.

    Their count must be Stripe's, and their sum the invoice's subtotal: the amounts of lines and the subtotal are both
    before tax, before the customer's balance, and before the discounts of the whole invoice. The discounts of a single
    line are taken out of the subtotal, and not out of the line's amount. A line names both kinds together, so where
    lines have discounts, the subtotal may lie anywhere between the sum without them and the sum less all of them.
    """
    lines = member(invoice, "lines", "data")
    if not isinstance(lines, list):
        return ""
    count = integer(invoice, "lines", "total_count")
    if count is not None and count != len(lines):
        return f"Stripe counts {count} lines, and {len(lines)} are here."
    if are_cut(invoice):
        return f"The lines after the tenth are not certain to be Stripe's; {len(lines)} are here."
    subtotal = integer(invoice, SUBTOTAL)
    amounts = [integer(line, "amount") for line in lines]
    known = [amount for amount in amounts if amount is not None]
    if subtotal is None or len(known) < len(amounts):
        return ""
    most = sum(known)
    least = most - sum(_discounts(line) for line in lines)
    if min(least, most) <= subtotal <= max(least, most):
        return ""
    return f"The lines sum to {most} minor units, and the subtotal is {subtotal}."


def _discounts(line: Any) -> int:
    found = member(line, "discount_amounts")
    return sum(integer(one, "amount") or 0 for one in found) if isinstance(found, list) else 0


def with_later(invoice: Object, ours: Object | None) -> tuple[Object, bool]:
    """An invoice whose lines are cut, with the later lines of ours; and whether these are certain to be Stripe's.

    They are where we have all of them, the count is still Stripe's, the first ones are the same, and neither of the
    two is a draft: the lines of a finalized invoice do not change, and those of a draft may have changed before it
    was finalized. The lines of a credit note never change, and it does not say how many they are. Lines that are not
    certain keep Stripe's `has_more`, so that whoever sees them knows it.
    """
    lines, held = invoice["lines"], member(ours, "lines", "data")
    first: list[Any] = lines["data"]
    later: list[Any] = []
    certain = False
    if isinstance(held, list):
        ids = [_id(line) for line in first]
        later = [line for line in held[len(first) :] if _id(line) not in ids]
        certain = (
            member(ours, "lines", "has_more") is False
            and (len(first) + len(later) == lines.get("total_count") or invoice.get("object") == "credit_note")
            and held[: len(first)] == first
            and "draft" not in (text(invoice, "status"), text(ours, "status"))
        )
    return {**invoice, "lines": {**lines, "data": first + later, "has_more": not certain}}, certain


def _id(line: Any) -> Any:
    return line.get("id") if isinstance(line, dict) else line


def is_in_sample(id: str, day: datetime) -> bool:
    """Whether the rolling sample takes this invoice on this day: each once in PARTS days, and about as many each
    day."""
    number = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8])
    return (number + day.toordinal()) % PARTS == 0
