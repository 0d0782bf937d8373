"""Refunds: the money of a charge goes back, at once to a card and days later to a bank account, and may come back."""

from typing import Any

from sandbox import params, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.store import StripeObject

OUTCOMES = ("succeeded", "failed", "canceled")


def charge_of(call: Call, intent: StripeObject) -> StripeObject:
    """The successful charge of a PaymentIntent."""
    charge = call.db.get("charge", intent["latest_charge"] or "")
    if charge is None or not charge["paid"]:
        raise refusals.not_allowed(unknowns.REFUND_WITHOUT_CHARGE.format(intent["id"]), "payment_intent")
    return charge


def unrefunded(charge: StripeObject) -> int:
    """In minor units."""
    return int(charge["amount_captured"] - charge["amount_refunded"])


def refund(call: Call, charge: StripeObject, amount: int | None, **given: Any) -> StripeObject:
    """Refunds so many minor units of the charge, or what is left of it. `given`: its reason and metadata."""
    left = unrefunded(charge)
    if not charge["paid"]:
        raise refusals.not_allowed(unknowns.REFUND_UNPAID.format(charge["id"]), "charge")
    if not left:
        raise refusals.not_allowed(unknowns.REFUNDED.format(charge["id"]), code="charge_already_refunded")
    amount = left if amount is None else amount
    if amount > left:
        raise refusals.invalid_parameter(unknowns.REFUND_TOO_LARGE.format(amount, left), "amount")
    status = "succeeded" if charge["payment_method_details"]["type"] == "card" else "pending"
    made = shapes.refund(call.now, charge, amount, given.get("reason"), status)
    made["metadata"] = params.merged_metadata({}, given.get("metadata"))
    call.db.add("refund", made)
    before = snapshot(charge)
    set_refunded(call, charge, charge["amount_refunded"] + amount)
    emit(call, "refund.created", made)
    emit(call, "charge.refunded", charge, before)
    return made


def set_refunded(call: Call, charge: StripeObject, amount: int) -> None:
    charge.update(amount_refunded=amount, refunded=amount == charge["amount_captured"])
    call.db.save("charge", charge)


def end(call: Call, made: StripeObject, outcome: str) -> None:
    """The bank has taken the money, or sent it back; or the refund was canceled. A card's bank, too, may send back days
    later what has succeeded."""
    made["status"] = outcome
    if outcome == "failed":
        made["failure_reason"] = "unknown"
    call.db.save("refund", made)
    charge = call.db.get("charge", made["charge"])
    if outcome != "succeeded" and charge:
        set_refunded(call, charge, charge["amount_refunded"] - made["amount"])
    emit(call, "refund.updated", made)
    if outcome == "failed":
        emit(call, "refund.failed", made)
