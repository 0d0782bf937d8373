"""A dispute: a customer asks the bank to take the money of a charge back."""

from sandbox.call import Call
from sandbox.events import emit
from sandbox.ids import ids
from sandbox.store import StripeObject


def dispute(call: Call, charge: StripeObject) -> StripeObject:
    """The whole charge is disputed from now on. Stripe tells of the dispute, and sends no event of the charge. The
    dispute stands in its event alone: the sandbox keeps none, and none ends."""
    charge["disputed"] = True
    call.db.save("charge", charge)
    made: StripeObject = {
        "id": ids.new("dispute"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "evidence": {},
        "evidence_details": {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "general",
        "status": "needs_response",
    }
    emit(call, "charge.dispute.created", made)
    return made
