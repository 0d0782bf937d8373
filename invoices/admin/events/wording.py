"""The names of Stripe's event types, for people to read."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.admin.formatting import words

EVENT_TYPES = {
    "invoice.created": gettext_noop("Invoice created"),
    "invoice.updated": gettext_noop("Invoice changed"),
    "invoice.finalized": gettext_noop("Invoice finalized"),
    "invoice.sent": gettext_noop("Invoice e-mailed to the customer"),
    "invoice.paid": gettext_noop("Invoice paid"),
    "invoice.payment_succeeded": gettext_noop("Payment succeeded"),
    "invoice.payment_failed": gettext_noop("Payment failed"),
    "invoice.payment_action_required": gettext_noop("The customer must confirm the payment"),
    "invoice.voided": gettext_noop("Invoice voided"),
    "invoice.marked_uncollectible": gettext_noop("Invoice marked uncollectible"),
    "invoice.overpaid": gettext_noop("Invoice overpaid"),
    "invoice.overdue": gettext_noop("Invoice overdue"),
    "invoice.will_be_due": gettext_noop("Invoice will be due soon"),
    "invoice.deleted": gettext_noop("Draft deleted"),
    "invoice_payment.paid": gettext_noop("Payment credited to the invoice"),
    "payment_intent.created": gettext_noop("Payment prepared"),
    "payment_intent.succeeded": gettext_noop("Charge succeeded"),
    "payment_intent.payment_failed": gettext_noop("Charge declined"),
    "payment_intent.requires_action": gettext_noop("The customer must confirm the charge"),
    "payment_intent.processing": gettext_noop("Charge on its way"),
    "payment_intent.canceled": gettext_noop("Charge withdrawn"),
    "charge.succeeded": gettext_noop("Attempt to charge succeeded"),
    "charge.failed": gettext_noop("Attempt to charge failed"),
    "charge.pending": gettext_noop("Attempt to charge waits for the bank"),
    "charge.updated": gettext_noop("Charge changed"),
    "charge.captured": gettext_noop("Charge captured"),
    "charge.expired": gettext_noop("Uncaptured charge expired"),
    "charge.refunded": gettext_noop("Charge refunded, in whole or in part"),
    "credit_note.created": gettext_noop("Credit note issued"),
    "credit_note.updated": gettext_noop("Credit note changed"),
    "credit_note.voided": gettext_noop("Credit note voided"),
    "customer.created": gettext_noop("Customer created"),
    "customer.updated": gettext_noop("Customer updated"),
    "customer.deleted": gettext_noop("Customer deleted"),
    "invoiceitem.created": gettext_noop("Invoiceitem created"),
    "invoiceitem.updated": gettext_noop("Invoiceitem updated"),
    "invoiceitem.deleted": gettext_noop("Invoiceitem deleted"),
    "payment_method.attached": gettext_noop("Payment method attached"),
    "payment_method.detached": gettext_noop("Payment method detached"),
    "charge.dispute.created": gettext_noop("Charge dispute created"),
    "charge.dispute.closed": gettext_noop("Charge dispute closed"),
    "refund.created": gettext_noop("Refund made"),
    "refund.updated": gettext_noop("Refund changed"),
    "refund.failed": gettext_noop("Refund failed"),
}


def title(event_type: str) -> str:
    """`invoice.paid` → `Invoice paid`; a type that is not in the table is written out: `x.y` → `X y`."""
    known = EVENT_TYPES.get(event_type)
    return _(known) if known else words(event_type).capitalize()
