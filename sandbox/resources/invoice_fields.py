"""The parameters with which an invoice is created and updated."""

from sandbox.currencies import currency
from sandbox.params import (
    ADDRESS,
    anything,
    array_of,
    boolean,
    clearable,
    hash_of,
    integer,
    metadata,
    not_empty,
    not_negative,
    one_of,
    text,
)

LIABILITY = hash_of(("type",), account=text, type=one_of("account", "self"))
ISSUER = hash_of(("type",), account=text, type=one_of("account", "self"))
DISCOUNTS = clearable(array_of(hash_of(coupon=text, discount=text, promotion_code=text)))
RENDERING = hash_of(
    amount_tax_display=clearable(one_of("exclude_tax", "include_inclusive_tax")),
    pdf=hash_of(page_size=one_of("a4", "auto", "letter")),
    template=text,
    template_version=clearable(integer),
)
SHIPPING = hash_of(("address", "name"), address=ADDRESS, name=text, phone=clearable(text))
SETTINGS = hash_of(
    default_mandate=clearable(text),
    payment_method_options=anything,
    payment_method_types=clearable(array_of(text)),
)
COMMON = {
    "account_tax_ids": clearable(array_of(text)),
    "application_fee_amount": integer,
    "auto_advance": boolean,
    "automatic_tax": hash_of(("enabled",), enabled=boolean, liability=LIABILITY),
    "automatically_finalizes_at": not_negative,
    "collection_method": one_of("charge_automatically", "send_invoice"),
    "custom_fields": clearable(array_of(hash_of(("name", "value"), name=text, value=text))),
    "days_until_due": not_negative,
    "default_payment_method": clearable(text),
    "default_source": clearable(text),
    "default_tax_rates": clearable(array_of(text)),
    "description": clearable(text),
    "discounts": DISCOUNTS,
    "due_date": not_negative,
    "effective_at": clearable(not_negative),
    "footer": clearable(text),
    "issuer": ISSUER,
    "metadata": metadata,
    "number": text,
    "on_behalf_of": clearable(text),
    "payment_settings": SETTINGS,
    "rendering": RENDERING,
    "shipping_cost": anything,
    "shipping_details": clearable(SHIPPING),
    "statement_descriptor": clearable(text),
    "transfer_data": anything,
}
CREATE = {
    **COMMON,
    "currency": currency,
    "customer": not_empty,
    "customer_account": text,
    "from_invoice": hash_of(("action", "invoice"), action=one_of("revision"), invoice=text),
    "pending_invoice_items_behavior": one_of("include", "exclude"),
    "subscription": text,
}
UPDATE = COMMON
# Parameters of Stripe that need an object of another kind, which the sandbox does not keep: parameter → kind.
UNSUPPORTED = {
    "account_tax_ids": "tax_id",
    "default_tax_rates": "tax_rate",
    "discounts": "coupon",
    "on_behalf_of": "account",
    "shipping_cost": "shipping_rate",
    "transfer_data": "account",
    "from_invoice": "invoice",
    "customer_account": "customer_account",
}
COPIED = (  # parameters whose value becomes the member of the same name
    "auto_advance", "collection_method", "custom_fields", "default_source", "description", "effective_at", "footer",
    "issuer", "number", "statement_descriptor",
)  # fmt: skip
