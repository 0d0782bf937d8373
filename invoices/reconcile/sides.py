"""What one side of a proof has of one day: counts, sums by currency and status, and a digest of everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from invoices.mirror import content
from invoices.models.reading import integer, text
from invoices.models.reconciliation import DaySide

# The amounts of each kind that are added up, in minor units.
SUMS = {
    "customer": ("balance",),
    "invoice": ("total", "amount_paid", "amount_remaining"),
    "invoice_payment": ("amount_requested", "amount_paid"),
    "payment_intent": ("amount", "amount_received"),
    "charge": ("amount", "amount_captured", "amount_refunded"),
    "credit_note": ("amount",),
    "refund": ("amount",),
}
LISTED_LINES = 10  # Stripe's lists show an invoice's first ten lines
NONE = "–"  # stands for a currency or a status that an object does not have
DIGEST_MODULUS = 2**256  # a digest is as long as a SHA-256 hash


@dataclass(frozen=True, slots=True)
class Figures:
    """What one object adds to its side of its day. Two objects have the same figures if their content is the same."""

    group: str  # "usd open"
    sums: tuple[int, ...]  # of SUMS
    hash: int


def figures(object: str, compared: dict[str, Any]) -> Figures:
    """`compared`: the object as `comparable` gives it."""
    group = f"{text(compared, 'currency') or NONE} {text(compared, 'status') or NONE}"
    sums = tuple(integer(compared, name) or 0 for name in SUMS[object])
    hashed = hashlib.sha256(json.dumps(compared, sort_keys=True, allow_nan=False).encode()).digest()
    return Figures(group, sums, int.from_bytes(hashed))


def comparable(data: dict[str, Any], *, all_lines: bool, ours: bool) -> dict[str, Any]:
    """The object without what changes by itself. Without `all_lines`, of an invoice's lines only those that Stripe's
    lists show, and how many there are: on our side the lines that we hold, at Stripe the number that it names."""
    kept = content(data)
    lines = kept.get("lines")
    if all_lines or not isinstance(lines, dict) or not isinstance(lines.get("data"), list):
        return kept
    number = lines.get("total_count") if lines.get("has_more") and not ours else len(lines["data"])
    return {**kept, "lines": {"data": lines["data"][:LISTED_LINES], "total_count": number}}


@dataclass
class Side:
    """What one side has of the objects of one kind that were created on one day (UTC).

    The digest is the sum of the objects' hashes, so the order in which they are added makes no difference, and one can
    be taken out again.
    """

    groups: dict[str, list[int]] = field(default_factory=dict)  # group → [count, and the sums]
    digest: int = 0

    def add(self, one: Figures | None, times: int = 1) -> None:
        """Adds an object, or with -1 takes it out. None changes nothing."""
        if one is None:
            return
        had = self.groups.get(one.group) or [0] * (1 + len(one.sums))
        self.groups[one.group] = [number + times * more for number, more in zip(had, (1, *one.sums), strict=True)]
        if not self.groups[one.group][0]:
            del self.groups[one.group]
        self.digest = (self.digest + times * one.hash) % DIGEST_MODULUS

    def as_dict(self) -> DaySide:
        """For the report."""
        return {"digest": f"{self.digest:064x}", "groups": dict(sorted(self.groups.items()))}


def sum_of_digests(digests: list[str]) -> str:
    """The digest of everything that these digests are of."""
    return f"{sum(int(digest, 16) for digest in digests) % DIGEST_MODULUS:064x}"


def together(one: DaySide, other: DaySide) -> DaySide:
    """Two parts of a day as one."""
    groups = {group: list(numbers) for group, numbers in one["groups"].items()}
    for group, numbers in other["groups"].items():
        groups[group] = [a + b for a, b in zip(groups.get(group) or [0] * len(numbers), numbers, strict=True)]
    return {"digest": sum_of_digests([one["digest"], other["digest"]]), "groups": dict(sorted(groups.items()))}
