"""What is proposed for a credit, and what for it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from invoices.models import BankTransaction

Confidence = BankTransaction.Confidence


@dataclass(frozen=True)
class Credit:
    """A credit, or what of it nobody has decided on. `amount` is minor units above zero."""

    id: Any
    amount: int
    currency: str  # lower case
    booked_on: date
    text: str = ""
    structured_reference: str = ""
    end_to_end_id: str = ""
    payer_name: str = ""
    payer_account: str = ""


@dataclass(frozen=True)
class Part:
    """An invoice, and how much of the credit would pay it, in minor units."""

    invoice: str
    amount: int


@dataclass(frozen=True)
class Reason:
    """Why it is proposed, or what speaks against it. `code` is one of `reasons.SENTENCES`, which has its words."""

    code: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Proposal:
    """The invoices that a credit may pay. `leftover`: what of it would then be left, in minor units."""

    parts: tuple[Part, ...]
    confidence: Confidence
    reasons: tuple[Reason, ...]
    leftover: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": [[part.invoice, part.amount] for part in self.parts],
            "confidence": int(self.confidence),
            "reasons": [[reason.code, dict(reason.values)] for reason in self.reasons],
            "leftover": self.leftover,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Proposal:
        return cls(
            tuple(Part(invoice, amount) for invoice, amount in said["parts"]),
            Confidence(said["confidence"]),
            tuple(Reason(code, values) for code, values in said["reasons"]),
            said["leftover"],
        )
