"""The names of Stripe's event types, for people to read."""

from invoices.admin.formatting import words

EVENT_TYPES = {
    "invoice.created": "Invoice created",
    "invoice.updated": "Invoice changed",
    "invoice.finalized": "Invoice finalized",
    "invoice.sent": "Invoice e-mailed to the customer",
    "invoice.paid": "Invoice paid",
    "invoice.payment_succeeded": "Payment succeeded",
    "invoice.payment_failed": "Payment failed",
    "invoice.payment_action_required": "The customer must confirm the payment",
    "invoice.voided": "Invoice voided",
    "invoice.marked_uncollectible": "Invoice marked uncollectible",
    "invoice.overpaid": "Invoice overpaid",
    "invoice.overdue": "Invoice overdue",
    "invoice.will_be_due": "Invoice will be due soon",
    "invoice.deleted": "Draft deleted",
    "invoice_payment.paid": "Payment credited to the invoice",
    "payment_intent.created": "Payment prepared",
    "payment_intent.succeeded": "Charge succeeded",
    "payment_intent.payment_failed": "Charge declined",
    "payment_intent.requires_action": "The customer must confirm the charge",
    "payment_intent.processing": "Charge on its way",
    "payment_intent.canceled": "Charge withdrawn",
    "charge.succeeded": "Attempt to charge succeeded",
    "charge.failed": "Attempt to charge failed",
    "charge.pending": "Attempt to charge waits for the bank",
    "charge.updated": "Charge changed",
    "charge.captured": "Charge captured",
    "charge.expired": "Uncaptured charge expired",
    "charge.refunded": "Charge refunded, in whole or in part",
    "credit_note.created": "Credit note issued",
    "credit_note.updated": "Credit note changed",
    "credit_note.voided": "Credit note voided",
    "refund.created": "Refund made",
    "refund.updated": "Refund changed",
    "refund.failed": "Refund failed",
}


def title(event_type: str) -> str:
    """`invoice.paid` → `Invoice paid`; a type that is not in the table is written out: `x.y` → `X y`."""
    return EVENT_TYPES.get(event_type, words(event_type).capitalize())
