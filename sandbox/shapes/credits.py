"""A new refund, credit note and line of a credit note."""

from typing import Any

from sandbox import ACCOUNT
from sandbox.ids import ids
from sandbox.store import StripeObject

LINES_SHOWN = 10  # lines on the credit note itself; the others come from /v1/credit_notes/:id/lines


def refund(now: int, charge: StripeObject, amount: int, reason: str | None, status: str) -> StripeObject:
    """`amount` in minor units. A card's refund has succeeded at once; a bank's is pending."""
    type = charge["payment_method_details"]["type"]
    details: StripeObject = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {
        "id": ids.new("refund"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"card": {**details, "type": "refund"}, "type": "card"} if type == "card" else None,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def credit_note(now: int, invoice: StripeObject, lines: list[StripeObject], pre: int, number: int) -> StripeObject:
    """An issued credit note over these lines. `pre` of it (minor units) credits what was not paid yet, the rest what
    was; `number` counts the credit notes of the invoice."""
    id = ids.new("credit_note")
    amount = sum(line["amount"] for line in lines)
    types = {(True, False): "pre_payment", (False, True): "post_payment", (True, True): "mixed"}
    return {
        "id": id,
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": now,
        "invoice": invoice["id"],
        "lines": {
            "object": "list",
            "data": lines[:LINES_SHOWN],
            "has_more": len(lines) > LINES_SHOWN,
            "url": f"/v1/credit_notes/{id}/lines",
        },
        "livemode": False,
        "memo": None,
        "metadata": {},
        "number": f"{invoice['number']}-CN-{number:02d}",
        "out_of_band_amount": None,
        "pdf": f"https://pay.stripe.com/credit_notes/{ACCOUNT}/test_{id.removeprefix('cn_')}/pdf?s=ap",
        "post_payment_amount": amount - pre,
        "pre_payment_amount": pre,
        "pretax_credit_amounts": [],
        "reason": None,
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": types[pre > 0, amount > pre],
        "voided_at": None,
    }


def refund_of_credit_note(refund: StripeObject) -> StripeObject:
    """How a credit note names a refund."""
    return {
        "amount_refunded": refund["amount"],
        "payment_record_refund": None,
        "refund": refund["id"],
        "type": "refund",
    }


def credit_note_line(type: str, amount: int, description: str | None, **members: Any) -> StripeObject:
    return {
        "id": ids.new("credit_note_line_item"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": description,
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": type,
        "unit_amount": amount if type == "custom_line_item" else None,
        "unit_amount_decimal": str(amount) if type == "custom_line_item" else None,
        **members,
    }
