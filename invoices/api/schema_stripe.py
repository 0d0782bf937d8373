"""Stripe's objects in the API's description: each member that Stripe's reference names at our version, with its type.

Stripe adds members and values at any time, so all objects are open, and what can be one of several words is text. Only
members that an object of any age has are marked as always there (`!`): the mirror shows an object as it was last read.
Members that hold much and that nobody here looks into (the options of each payment method, what a bank said) are
objects of any kind.
"""

from __future__ import annotations

from invoices.api.schema_shapes import AMOUNT, TEXT, Schema, array, list_of, or_null, ref, shape

_ADDRESS = shape(texts="city? country? line1? line2? postal_code? state?")
_SHIPPING = shape(texts="carrier? name phone? tracking_number?", address=_ADDRESS)
_ISSUER = shape("Who issues it", texts="type", ids="account")
_DISCOUNTED = array(shape(amounts="amount", ids="discount"))
_PRETAX_CREDIT = array(shape(amounts="amount", texts="type", ids="discount credit_balance_transaction?"))
_PRETAX_CREDIT_OF_NOTE = array(shape(amounts="amount", texts="type", ids="discount credit_balance_transaction"))
_TAXES = array(
    shape(
        texts="tax_behavior taxability_reason type",
        amounts="amount taxable_amount?",
        tax_rate_details=or_null(shape(texts="tax_rate")),
    )
)
_CUSTOM_FIELDS = array(shape(texts="name value"))
_STATUS_DETAILS = shape(uncollectible=shape(texts="reason?"))
_ITEMS_CREDITED = or_null(shape(objects="credited_items?"))
_IDS_OR_OBJECTS = array({"anyOf": [TEXT, shape(texts="id object")]})


def _nested_list(component: str) -> Schema:
    """A list inside an object: of a long one, the first ten."""
    found = list_of(component)
    found["properties"]["total_count"] = {"type": "integer"}
    return found


ERROR_MEMBERS = shape(
    "What Stripe says of an error",
    texts="type! code decline_code advice_code network_advice_code network_decline_code message param doc_url "
    "request_log_url charge payment_method_type",
    objects="payment_method setup_intent source",
    payment_intent=ref("payment_intent"),
)

STRIPES_OBJECTS: dict[str, Schema] = {
    "invoice": shape(
        "Stripe's invoice, member by member as Stripe sent it, with its first ten lines",
        kind="invoice",
        texts="id! account_country? account_name? billing_reason? collection_method currency! customer_account? "
        "customer_email? customer_name? customer_phone? customer_tax_exempt? description? footer? hosted_invoice_url? "
        "invoice_pdf? number? receipt_number? statement_descriptor? status!?",
        amounts="amount_due! amount_overpaid amount_paid! amount_paid_off_stripe amount_remaining! amount_shipping "
        "ending_balance? post_payment_credit_notes_amount pre_payment_credit_notes_amount starting_balance subtotal "
        "subtotal_excluding_tax? total! total_excluding_tax?",
        moments="automatically_finalizes_at? created! due_date? effective_at? next_payment_attempt? period_end "
        "period_start webhooks_delivered_at?",
        integers="attempt_count",
        booleans="attempted auto_advance livemode!",
        maps="metadata?",
        ids="application? customer!? default_payment_method? default_source? latest_revision? on_behalf_of? "
        "test_clock?",
        lists="default_tax_rates",
        account_tax_ids=or_null(_IDS_OR_OBJECTS),
        automatic_tax=shape(booleans="enabled", texts="disabled_reason? provider? status?", liability=or_null(_ISSUER)),
        confirmation_secret=or_null(shape("Only when expanded", texts="client_secret type")),
        custom_fields=or_null(_CUSTOM_FIELDS),
        customer_address=or_null(_ADDRESS),
        customer_shipping=or_null(_SHIPPING),
        customer_tax_ids=or_null(array(shape(texts="type value?"))),
        discounts=_IDS_OR_OBJECTS,
        from_invoice=or_null(shape(texts="action", ids="invoice")),
        issuer=_ISSUER,
        last_finalization_error=or_null(ERROR_MEMBERS),
        lines=_nested_list("line_item"),
        parent=or_null(
            shape(
                "What made it",
                texts="type",
                quote_details=or_null(shape(texts="quote")),
                subscription_details=or_null(
                    shape(maps="metadata?", moments="subscription_proration_date", ids="subscription")
                ),
            )
        ),
        payment_settings=shape(
            texts="default_mandate?", objects="payment_method_options?", payment_method_types=or_null(array(TEXT))
        ),
        payments={**_nested_list("invoice_payment"), "description": "Only when expanded"},
        rendering=or_null(
            shape(
                texts="amount_tax_display? template?",
                integers="template_version?",
                pdf=or_null(shape(texts="page_size?")),
            )
        ),
        shipping_cost=or_null(
            shape(amounts="amount_subtotal amount_tax amount_total", ids="shipping_rate?", lists="taxes")
        ),
        shipping_details=or_null(_SHIPPING),
        status_details=_STATUS_DETAILS,
        status_transitions=shape(moments="finalized_at? marked_uncollectible_at? paid_at? voided_at?"),
        threshold_reason=shape(amounts="amount_gte?", lists="item_reasons"),
        total_discount_amounts=or_null(_DISCOUNTED),
        total_pretax_credit_amounts=or_null(_PRETAX_CREDIT),
        total_taxes=or_null(_TAXES),
    ),
    "deleted_invoice": shape("An invoice that was deleted", kind="invoice", texts="id!", booleans="deleted!"),
    "line_item": shape(
        "A line of an invoice",
        kind="line_item",
        texts="id! currency description? invoice? quantity_decimal?",
        amounts="amount! subtotal",
        integers="quantity?",
        booleans="discountable livemode",
        maps="metadata",
        ids="subscription?",
        discount_amounts=or_null(_DISCOUNTED),
        discounts=_IDS_OR_OBJECTS,
        parent=or_null(
            shape(
                "What made it",
                texts="type",
                invoice_item_details=or_null(
                    shape(texts="invoice_item subscription?", booleans="proration", proration_details=_ITEMS_CREDITED)
                ),
                subscription_item_details=or_null(
                    shape(
                        texts="invoice_item? subscription? subscription_item",
                        booleans="proration",
                        proration_details=_ITEMS_CREDITED,
                    )
                ),
            )
        ),
        period=shape(moments="start end"),
        pretax_credit_amounts=or_null(_PRETAX_CREDIT),
        pricing=or_null(shape(texts="type unit_amount_decimal?", price_details=shape(texts="product", ids="price"))),
        taxes=or_null(_TAXES),
    ),
    "invoice_payment": shape(
        "A payment, or an attempt at one, of an invoice",
        kind="invoice_payment",
        texts="id! currency status",
        amounts="amount_paid? amount_requested",
        moments="created",
        booleans="is_default livemode",
        ids="invoice!",
        payment=shape(texts="type", ids="charge payment_intent payment_record"),
        status_transitions=shape(moments="canceled_at? paid_at?"),
    ),
    "customer": shape(
        "Stripe's customer",
        kind="customer",
        texts="id! business_name currency? customer_account? description? email? individual_name invoice_prefix? name? "
        "phone? tax_exempt?",
        amounts="balance",
        moments="created",
        integers="next_invoice_sequence",
        booleans="delinquent? livemode",
        maps="metadata",
        ids="default_source? test_clock?",
        objects="cash_balance? discount? sources subscriptions tax_ids",
        address=or_null(_ADDRESS),
        invoice_credit_balance={"type": "object", "additionalProperties": AMOUNT},
        invoice_settings=shape(
            texts="footer?",
            ids="default_payment_method?",
            custom_fields=or_null(_CUSTOM_FIELDS),
            rendering_options=or_null(shape(texts="amount_tax_display? template?")),
        ),
        preferred_locales=or_null(array(TEXT)),
        shipping=or_null(_SHIPPING),
        tax=shape(
            texts="automatic_tax ip_address? provider",
            location=or_null(shape(texts="country source state?")),
        ),
    ),
    "deleted_customer": shape("A customer who was deleted", kind="customer", texts="id!", booleans="deleted!"),
    "payment_intent": shape(
        "Stripe's payment intent",
        kind="payment_intent",
        texts="id! cancellation_reason? capture_method client_secret? confirmation_method currency customer_account? "
        "description? receipt_email? setup_future_usage? statement_descriptor? statement_descriptor_suffix? status "
        "transfer_group?",
        amounts="amount amount_capturable amount_received application_fee_amount?",
        moments="canceled_at? created",
        booleans="livemode",
        maps="metadata",
        ids="application? customer? latest_charge? on_behalf_of? payment_method? payment_record? review? source?",
        objects="amount_details automatic_payment_methods? hooks managed_payments? next_action? payment_details "
        "payment_method_configuration_details? payment_method_options? presentment_details processing? shipping? "
        "transfer_data?",
        allowed_payment_method_types=or_null(array(TEXT)),
        excluded_payment_method_types=or_null(array(TEXT)),
        last_payment_error=or_null(ERROR_MEMBERS),
        payment_method_types=array(TEXT),
    ),
    "charge": shape(
        "Stripe's charge: one attempt to take money",
        kind="charge",
        texts="id! authorization_code? calculated_statement_descriptor? currency description? failure_code? "
        "failure_message? payment_method? receipt_email? receipt_number? receipt_url? statement_descriptor? "
        "statement_descriptor_suffix? status transfer_group?",
        amounts="amount! amount_captured amount_refunded application_fee_amount?",
        moments="created",
        booleans="captured disputed livemode paid refunded",
        maps="metadata",
        ids="application? application_fee? balance_transaction? customer? failure_balance_transaction? on_behalf_of? "
        "payment_intent? review? source_transfer? transfer?",
        objects="billing_details fraud_details? level3? outcome? payment_method_details? presentment_details? "
        "radar_options? refunds? shipping? source? transfer_data?",
    ),
    "refund": shape(
        "Money that went back",
        kind="refund",
        texts="id! currency customer_account? description failure_reason instructions_email pending_reason reason? "
        "receipt_number? status?",
        amounts="amount!",
        moments="created",
        maps="metadata?",
        ids="balance_transaction? charge? customer? failure_balance_transaction payment_intent? payment_method "
        "source_transfer_reversal? transfer_reversal?",
        objects="destination_details next_action presentment_details",
    ),
    "credit_note": shape(
        "A note that lowers what is owed by an invoice, or gives money back",
        kind="credit_note",
        texts="id! currency customer_account? memo? number pdf reason? status type",
        amounts="amount! amount_shipping discount_amount out_of_band_amount? post_payment_amount pre_payment_amount "
        "subtotal subtotal_excluding_tax? total total_excluding_tax?",
        moments="created effective_at? voided_at?",
        booleans="livemode",
        maps="metadata?",
        ids="customer customer_balance_transaction? invoice",
        discount_amounts=_DISCOUNTED,
        lines=_nested_list("credit_note_line_item"),
        pretax_credit_amounts=_PRETAX_CREDIT_OF_NOTE,
        refunds=array(shape(amounts="amount_refunded", texts="type?", ids="refund", objects="payment_record_refund?")),
        shipping_cost=or_null(
            shape(amounts="amount_subtotal amount_tax amount_total", ids="shipping_rate?", lists="taxes")
        ),
        total_taxes=or_null(_TAXES),
    ),
    "credit_note_line_item": shape(
        "A line of a credit note",
        kind="credit_note_line_item",
        texts="id! description? invoice_line_item type unit_amount_decimal?",
        amounts="amount! discount_amount unit_amount?",
        integers="quantity?",
        booleans="livemode",
        maps="metadata?",
        lists="tax_rates",
        discount_amounts=_DISCOUNTED,
        pretax_credit_amounts=_PRETAX_CREDIT_OF_NOTE,
        taxes=or_null(_TAXES),
    ),
    "event": shape(
        "What happened at Stripe",
        kind="event",
        texts="id! account api_version? context type!",
        moments="created!",
        integers="pending_webhooks",
        booleans="livemode",
        data={
            **shape(objects="object! previous_attributes"),
            "description": "The object as it was then, and what its members were before",
        },
        request=or_null(shape("The request that caused it", texts="id? idempotency_key?")),
    ),
}
