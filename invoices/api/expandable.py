"""What `expand[]` can expand, as Stripe has it: of each kind of object, the members that hold an id.

`payment.payment_intent:payment_intent` leads to a PaymentIntent. Arrays on the way are not named. `:*` leads to a kind
that has no table here: which of its members can be expanded, only Stripe knows. A test compares this with Stripe's SDK.
"""

from __future__ import annotations

_TABLE = {
    "invoice": """account_tax_ids:tax_id application:* automatic_tax.liability.account:* customer:customer
        default_payment_method:payment_method default_source:source discounts:discount from_invoice.invoice:invoice
        issuer.account:* latest_revision:invoice on_behalf_of:* test_clock:*
        parent.subscription_details.subscription:subscription shipping_cost.shipping_rate:*
        total_discount_amounts.discount:discount total_pretax_credit_amounts.credit_balance_transaction:*
        total_pretax_credit_amounts.discount:discount payments:payments lines:lines
        amount_paid_off_stripe:* confirmation_secret:*""",
    "lines": "data:line_item",
    "line_item": """discount_amounts.discount:discount discounts:discount pricing.price_details.price:price
        pretax_credit_amounts.credit_balance_transaction:* pretax_credit_amounts.discount:discount
        subscription:subscription""",
    "payments": "data:invoice_payment",
    "invoice_payment": """invoice:invoice payment.charge:charge payment.payment_intent:payment_intent
        payment.payment_record:payment_record""",
    "customer": """cash_balance:* default_source:source invoice_settings.default_payment_method:payment_method sources:*
        subscriptions:* tax:* tax_ids:* test_clock:* invoice_credit_balance:*""",
    "payment_intent": """amount_details.line_items:* application:* customer:customer latest_charge:charge
        on_behalf_of:* payment_method:payment_method payment_record:payment_record review:review source:source
        transfer_data.destination:*""",
    "charge": """application:* application_fee:* balance_transaction:* customer:customer
        failure_balance_transaction:* on_behalf_of:* outcome.rule:* payment_intent:payment_intent
        payment_method_details.bancontact.generated_sepa_debit:payment_method
        payment_method_details.bancontact.generated_sepa_debit_mandate:mandate
        payment_method_details.card.mandate:mandate payment_method_details.ideal.generated_sepa_debit:payment_method
        payment_method_details.ideal.generated_sepa_debit_mandate:mandate
        payment_method_details.sofort.generated_sepa_debit:payment_method
        payment_method_details.sofort.generated_sepa_debit_mandate:mandate
        payment_method_details.us_bank_account.mandate:mandate refunds:* review:review source_transfer:* transfer:*
        transfer_data.destination:*""",
    "credit_note": """customer:customer customer_balance_transaction:* discount_amounts.discount:discount
        invoice:invoice pretax_credit_amounts.credit_balance_transaction:* pretax_credit_amounts.discount:discount
        refunds.refund:refund shipping_cost.shipping_rate:* lines:*""",
    "refund": """balance_transaction:* charge:charge customer:customer failure_balance_transaction:*
        payment_intent:payment_intent payment_method:payment_method source_transfer_reversal:* transfer_reversal:*""",
    "payment_method": """card.generated_from.setup_attempt:* customer:customer sepa_debit.generated_from.charge:charge
        sepa_debit.generated_from.setup_attempt:*""",
    "mandate": "payment_method:payment_method",
    "price": "currency_options:* product:product tiers:*",
    "product": "default_price:price tax_code:*",
    "discount": "customer:customer promotion_code:* source.coupon:*",
    "tax_id": "customer:customer owner.account:* owner.application:* owner.customer:customer",
    "review": "charge:charge payment_intent:payment_intent",
    "subscription": """application:* automatic_tax.liability.account:* billing_schedules.applies_to.price:price
        cancellation_details.feedback_option:* customer:customer default_payment_method:payment_method
        default_source:source discounts:discount invoice_settings.account_tax_ids:tax_id
        invoice_settings.issuer.account:* items:* latest_invoice:invoice on_behalf_of:* pending_setup_intent:*
        pending_update.discounts:discount schedule:* test_clock:* transfer_data.destination:*""",
    "payment_record": """payment_method_details.bancontact.generated_sepa_debit:payment_method
        payment_method_details.bancontact.generated_sepa_debit_mandate:mandate
        payment_method_details.ideal.generated_sepa_debit:payment_method
        payment_method_details.ideal.generated_sepa_debit_mandate:mandate
        payment_method_details.sofort.generated_sepa_debit:payment_method
        payment_method_details.sofort.generated_sepa_debit_mandate:mandate
        payment_method_details.us_bank_account.mandate:mandate""",
    "operation": "invoice:invoice",  # ours
}

Members = tuple[str, ...]  # ("payment", "payment_intent") for `payment.payment_intent`
UNTABLED = "*"

# Kind of object → members that lead to an id → kind of the object that the id names.
EXPANDABLE: dict[str, dict[Members, str]] = {
    kind: {tuple(members.split(".")): target for members, target in (entry.split(":") for entry in entries.split())}
    for kind, entries in _TABLE.items()
}

# Lists that stand in the object whole: a path leads through them, and ends in none of them.
LISTS = frozenset({"lines", "payments"})
