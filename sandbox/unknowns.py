"""Behaviour that nobody has seen at live Stripe, and what the sandbox does instead: the strictest possible answer.

Stripe promises none of this. The code names an entry where it decides something. GET /_sandbox/unknowns shows the
table; V1, V2 and S1 are messages of refusals.py.
"""

from sandbox import refusals

UNKNOWNS = {
    "void_uncollectible": "Documented as allowed, seen live refused with V1: refused.",
    "pay_void": "Not seen: refused with V1.",
    "pay_draft_out_of_band": "Not seen (a card on a draft works): refused with V1; finalize first.",
    "pay_uncollectible": "Documented as allowed: allowed.",
    "pay_while_processing": "Not seen: a second payment while a bank debit is under way is refused.",
    "pay_without_card": "Not seen on invoices: answered as subscriptions answer, 400 resource_missing without param.",
    "pay_foreign_payment_method": "Not seen: a payment method that is not the customer's is refused.",
    "pay_forgive": "Not seen: all that the source has is charged, and the invoice is paid with nothing remaining.",
    "send_automatic": "Seen for send_invoice alone: an open invoice that is charged automatically is refused with S1.",
    "send_closed": "Paid was seen refused; void and uncollectible are refused alike.",
    "update_auto_advance": "Seen on drafts alone: refused on anything finalized, as other fields are.",
    "void_partly_paid": "Not seen: refused with V2, since it holds a paid payment.",
    "void_while_processing": "Not seen: refused with V1, since money may be on its way.",
    "attach_not_open": "Not seen: payments are attached to open invoices alone, and to uncollectible ones.",
    "attach_uncollectible": "Paying one is documented as allowed, and so is this: allowed.",
    "attach_twice": "Not seen: refused, also to another invoice.",
    "attach_other_currency": "Not seen: refused.",
    "attach_other_customer": "Not seen: refused.",
    "attach_unconfirmed": "Documented as allowed: it is credited when it succeeds.",
    "cancel_attached": "Not seen: its InvoicePayment is canceled too, and no event tells of that.",
    "confirm_released": "Not seen: one whose invoice was closed meanwhile is charged, and not credited.",
    "least_charge": "Documented for the currencies of payouts: in others any amount is charged.",
    "get_deleted_draft": "Not seen: 404, as for an id that never was.",
    "attach_declining_card": "0002 was seen declining when charged: here it can be attached, and declines then.",
    "finalized_then_charged": "With auto_advance, next_payment_attempt is an hour after a finalization by hand.",
    "redaction": "Which members become placeholders, and whether an event tells of it: names, addresses, numbers and "
    "free texts do, addresses of pages stay, and no event is made.",
    "bank_days": "A bank decides on a debit after four days; live banks take from one to fourteen.",
    "bank_failure": "The bank's reason is the decline code, under payment_intent_payment_attempt_failed.",
    "cancel_debit": "Not seen: a canceled debit's charge has failed, and the invoice gets a new default payment.",
    "late_debit": "A bank debit that arrives when other money has paid the invoice is overpaid money.",
    "retry_schedule": "A failed automatic charge is tried again after 3, 5 and 7 days; live Stripe has its own times.",
    "overpaid_amounts": "amount_paid is amount_due, amount_overpaid the rest; the InvoicePayment has all of it.",
    "out_of_band_succeeded": "Whether invoice.payment_succeeded is sent too: it is not.",
    "out_of_band_payments": "The default InvoicePayment and its PaymentIntent are canceled; no paid one replaces them.",
    "third_decimal": "Documented: the last digit of three-decimal currencies is 0. The message was not seen.",
    "decimals_of_items": "Seen in charges alone: items and prices refuse too what cannot be charged.",
    "refund_messages": "Not seen: the messages that refuse a refund.",
    "refund_of_bank_debit": "A card's refund succeeds at once, a bank's is pending until it is settled.",
    "refund_failed": "The charge counts a failed or canceled refund no more; no further event tells of the charge.",
    "credit_messages": "Not seen: the messages that refuse a credit note.",
    "credit_uncollectible": "Not seen: credit notes are issued for open and paid invoices alone.",
    "credit_by_amount": "Not seen: a credit note by amount has one line of its own, without a description.",
    "credit_pays": "Documented as paid with nothing remaining. invoice.paid is sent, and not payment_succeeded.",
    "credit_void": "Documented for open invoices: one that credits what was paid cannot be voided.",
    "partial_then_card": "The default InvoicePayment asks for what remains, never for more.",
}

PAY_VOID = refusals.NOT_OPEN
PAY_DRAFT_OUT_OF_BAND = refusals.NOT_OPEN
PAY_WHILE_PROCESSING = "This invoice has a payment that is still processing. Wait for it to succeed or fail."
PAY_FOREIGN_METHOD = "The provided PaymentMethod does not belong to the customer of this invoice."
PAY_FOREIGN_SOURCE = "The provided source does not belong to the customer of this invoice."
PAY_FOREIGN_MANDATE = "The provided mandate does not correspond to the payment method that pays this invoice."
ATTACH_NOT_OPEN = refusals.NOT_OPEN
ATTACH_TWICE = "This payment is already attached to an invoice."
ATTACH_CURRENCY = "The currency of the payment ({}) must match the currency of the invoice ({})."
ATTACH_CUSTOMER = "The payment belongs to another customer than the invoice."
ATTACH_DEAD = "A payment that has failed or was canceled cannot be attached to an invoice."
REFUND_OF_NOTHING = "One of the following params should be provided for this request: payment_intent or charge."
REFUND_WITHOUT_CHARGE = "This PaymentIntent ({}) does not have a successful charge to refund."
REFUND_UNPAID = "Charge {} was not paid, so it cannot be refunded."
REFUNDED = "Charge {} has already been refunded."
REFUND_TOO_LARGE = "Refund amount ({}) is greater than unrefunded amount on charge ({})."
CREDIT_NOT_OPEN_OR_PAID = "Credit notes can only be issued for invoices that are open or paid."
CREDIT_AMOUNT_OR_LINES = "You must pass either amount or lines, and not both."
CREDIT_TOO_LARGE = "The amount of the credit note ({}) must be from 1 to what was not credited yet ({})."
CREDIT_WAYS = "The sum of refund_amount, credit_amount and out_of_band_amount must be what was paid of it ({})."
CREDIT_WITHOUT_CHARGE = "No charge of this invoice has as much left to refund."
CREDIT_NOT_VOIDABLE = "Only an issued credit note of an open invoice that credits nothing that was paid can be voided."
BANK_DAYS = 4  # from the charge of a bank account to the bank's decision
THIRD_DECIMAL = "Invalid amount. Amounts in {} must be evenly divisible by 10."
RETRY_DAYS = (3, 5, 7)  # days from each failed automatic charge to the next
HOURS_BEFORE_FIRST_CHARGE = 1  # after a finalization by hand
