"""The addresses of Stripe's API: which there are, and which of them are passed on to Stripe for a caller.

What stands here is Stripe's though the desk does not serve it, so that a 404 of ours never looks like one of Stripe's.
A test compares it with Stripe's SDK.
"""

from __future__ import annotations

import re

# The path below /v1/ and its methods: G for GET, P for POST, D for DELETE.
_TABLE = """
account=G account_links=P account_sessions=P accounts=GP accounts/:id=GPD accounts/:id/capabilities=G
accounts/:id/capabilities/:id=GP accounts/:id/external_accounts=GP accounts/:id/external_accounts/:id=GPD
accounts/:id/login_links=P accounts/:id/persons=GP accounts/:id/persons/:id=GPD accounts/:id/reject=P
accounts/:id/unreject=P apple_pay/domains=GP apple_pay/domains/:id=GD application_fees=G application_fees/:id=G
application_fees/:id/refunds=GP application_fees/:id/refunds/:id=GP apps/installs=GP apps/installs/:id=GP
apps/installs/:id/uninstall=P apps/secrets=GP apps/secrets/delete=P apps/secrets/find=G balance=G
balance_settings=GP balance_transactions=G balance_transactions/:id=G billing/alerts=GP billing/alerts/:id=G
billing/alerts/:id/activate=P billing/alerts/:id/archive=P billing/alerts/:id/deactivate=P
billing/credit_balance_summary=G billing/credit_balance_transactions=G billing/credit_balance_transactions/:id=G
billing/credit_grants=GP billing/credit_grants/:id=GP billing/credit_grants/:id/expire=P
billing/credit_grants/:id/void=P billing/feedback_options=GP billing/feedback_options/:id=GP
billing/feedback_options/:id/deactivate=P billing/meter_event_adjustments=P billing/meter_events=P billing/meters=GP
billing/meters/:id=GP billing/meters/:id/deactivate=P billing/meters/:id/event_summaries=G
billing/meters/:id/reactivate=P billing_portal/configurations=GP billing_portal/configurations/:id=GP
billing_portal/sessions=P charges=GP charges/:id=GP charges/:id/capture=P charges/:id/refunds=G
charges/:id/refunds/:id=G charges/search=G checkout/sessions=GP checkout/sessions/:id=GP
checkout/sessions/:id/expire=P checkout/sessions/:id/line_items=G climate/orders=GP climate/orders/:id=GP
climate/orders/:id/cancel=P climate/products=G climate/products/:id=G climate/suppliers=G climate/suppliers/:id=G
confirmation_tokens/:id=G country_specs=G country_specs/:id=G coupons=GP coupons/:id=GPD credit_notes=GP
credit_notes/:id=GP credit_notes/:id/lines=G credit_notes/:id/void=P credit_notes/preview=G
credit_notes/preview/lines=G customer_sessions=P customers=GP customers/:id=GPD
customers/:id/balance_transactions=GP customers/:id/balance_transactions/:id=GP customers/:id/cash_balance=GP
customers/:id/cash_balance_transactions=G customers/:id/cash_balance_transactions/:id=G customers/:id/discount=D
customers/:id/funding_instructions=P customers/:id/payment_methods=G customers/:id/payment_methods/:id=G
customers/:id/sources=GP customers/:id/sources/:id=GPD customers/:id/sources/:id/verify=P customers/:id/tax_ids=GP
customers/:id/tax_ids/:id=GD customers/search=G disputes=G disputes/:id=GP disputes/:id/close=P
entitlements/active_entitlements=G entitlements/active_entitlements/:id=G entitlements/features=GP
entitlements/features/:id=GP ephemeral_keys=P ephemeral_keys/:id=D events=G events/:id=G exchange_rates=G
exchange_rates/:id=G file_links=GP file_links/:id=GP files=GP files/:id=G financial_connections/accounts=G
financial_connections/accounts/:id=G financial_connections/accounts/:id/disconnect=P
financial_connections/accounts/:id/owners=G financial_connections/accounts/:id/refresh=P
financial_connections/accounts/:id/subscribe=P financial_connections/accounts/:id/unsubscribe=P
financial_connections/sessions=P financial_connections/sessions/:id=G financial_connections/transactions=G
financial_connections/transactions/:id=G forwarding/requests=GP forwarding/requests/:id=G
identity/verification_reports=G identity/verification_reports/:id=G identity/verification_sessions=GP
identity/verification_sessions/:id=GP identity/verification_sessions/:id/cancel=P
identity/verification_sessions/:id/redact=P invoice_payments=G invoice_payments/:id=G invoice_rendering_templates=G
invoice_rendering_templates/:id=G invoice_rendering_templates/:id/archive=P
invoice_rendering_templates/:id/unarchive=P invoiceitems=GP invoiceitems/:id=GPD invoices=GP invoices/:id=GPD
invoices/:id/add_lines=P invoices/:id/attach_payment=P invoices/:id/finalize=P invoices/:id/lines=G
invoices/:id/lines/:id=P invoices/:id/mark_uncollectible=P invoices/:id/pay=P invoices/:id/remove_lines=P
invoices/:id/send=P invoices/:id/update_lines=P invoices/:id/void=P invoices/create_preview=P invoices/search=G
issuing/authorizations=G issuing/authorizations/:id=GP issuing/authorizations/:id/approve=P
issuing/authorizations/:id/decline=P issuing/cardholders=GP issuing/cardholders/:id=GP issuing/cards=GP
issuing/cards/:id=GP issuing/disputes=GP issuing/disputes/:id=GP issuing/disputes/:id/submit=P
issuing/personalization_designs=GP issuing/personalization_designs/:id=GP issuing/physical_bundles=G
issuing/physical_bundles/:id=G issuing/tokens=G issuing/tokens/:id=GP issuing/transactions=G
issuing/transactions/:id=GP mandates/:id=G payment_attempt_records=G payment_attempt_records/:id=G
payment_intents=GP payment_intents/:id=GP payment_intents/:id/amount_details_line_items=G
payment_intents/:id/apply_customer_balance=P payment_intents/:id/cancel=P payment_intents/:id/capture=P
payment_intents/:id/confirm=P payment_intents/:id/increment_authorization=P
payment_intents/:id/verify_microdeposits=P payment_intents/search=G payment_links=GP payment_links/:id=GP
payment_links/:id/line_items=G payment_method_configurations=GP payment_method_configurations/:id=GP
payment_method_domains=GP payment_method_domains/:id=GP payment_method_domains/:id/validate=P payment_methods=GP
payment_methods/:id=GP payment_methods/:id/attach=P payment_methods/:id/detach=P payment_records=G
payment_records/:id=G payment_records/:id/report_payment_attempt=P
payment_records/:id/report_payment_attempt_canceled=P payment_records/:id/report_payment_attempt_failed=P
payment_records/:id/report_payment_attempt_guaranteed=P payment_records/:id/report_payment_attempt_informational=P
payment_records/:id/report_refund=P payment_records/report_payment=P payouts=GP payouts/:id=GP payouts/:id/cancel=P
payouts/:id/reverse=P plans=GP plans/:id=GPD prices=GP prices/:id=GP prices/search=G product_catalog/trial_offers=GP
product_catalog/trial_offers/:id=GP products=GP products/:id=GPD products/:id/features=GP
products/:id/features/:id=GD products/search=G promotion_codes=GP promotion_codes/:id=GP quotes=GP quotes/:id=GP
quotes/:id/accept=P quotes/:id/cancel=P quotes/:id/computed_upfront_line_items=G quotes/:id/finalize=P
quotes/:id/line_items=G quotes/:id/pdf=G radar/early_fraud_warnings=G radar/early_fraud_warnings/:id=G
radar/payment_evaluations=P radar/value_list_items=GP radar/value_list_items/:id=GD radar/value_lists=GP
radar/value_lists/:id=GPD refunds=GP refunds/:id=GP refunds/:id/cancel=P reporting/report_runs=GP
reporting/report_runs/:id=G reporting/report_types=G reporting/report_types/:id=G reviews=G reviews/:id=G
reviews/:id/approve=P setup_attempts=G setup_intents=GP setup_intents/:id=GP setup_intents/:id/cancel=P
setup_intents/:id/confirm=P setup_intents/:id/verify_microdeposits=P shipping_rates=GP shipping_rates/:id=GP
sigma/scheduled_query_runs=G sigma/scheduled_query_runs/:id=G sources=P sources/:id=GP
sources/:id/source_transactions=G sources/:id/verify=P subscription_items=GP subscription_items/:id=GPD
subscription_schedules=GP subscription_schedules/:id=GP subscription_schedules/:id/cancel=P
subscription_schedules/:id/release=P subscriptions=GP subscriptions/:id=GPD subscriptions/:id/discount=D
subscriptions/:id/migrate=P subscriptions/:id/pause=P subscriptions/:id/resume=P subscriptions/search=G
tax/associations/find=G tax/calculations=P tax/calculations/:id=G tax/calculations/:id/line_items=G tax/locations=GP
tax/locations/:id=G tax/registrations=GP tax/registrations/:id=GP tax/settings=GP tax/transactions/:id=G
tax/transactions/:id/line_items=G tax/transactions/create_from_calculation=P tax/transactions/create_reversal=P
tax_codes=G tax_codes/:id=G tax_ids=GP tax_ids/:id=GD tax_rates=GP tax_rates/:id=GP terminal/configurations=GP
terminal/configurations/:id=GPD terminal/connection_tokens=P terminal/locations=GP terminal/locations/:id=GPD
terminal/onboarding_links=P terminal/readers=GP terminal/readers/:id=GPD terminal/readers/:id/cancel_action=P
terminal/readers/:id/collect_inputs=P terminal/readers/:id/collect_payment_method=P
terminal/readers/:id/confirm_payment_intent=P terminal/readers/:id/process_payment_intent=P
terminal/readers/:id/process_setup_intent=P terminal/readers/:id/refund_payment=P
terminal/readers/:id/set_reader_display=P test_helpers/confirmation_tokens=P
test_helpers/customers/:id/fund_cash_balance=P test_helpers/issuing/authorizations=P
test_helpers/issuing/authorizations/:id/capture=P test_helpers/issuing/authorizations/:id/expire=P
test_helpers/issuing/authorizations/:id/finalize_amount=P
test_helpers/issuing/authorizations/:id/fraud_challenges/respond=P
test_helpers/issuing/authorizations/:id/increment=P test_helpers/issuing/authorizations/:id/reverse=P
test_helpers/issuing/cards/:id/shipping/deliver=P test_helpers/issuing/cards/:id/shipping/fail=P
test_helpers/issuing/cards/:id/shipping/return=P test_helpers/issuing/cards/:id/shipping/ship=P
test_helpers/issuing/cards/:id/shipping/submit=P test_helpers/issuing/personalization_designs/:id/activate=P
test_helpers/issuing/personalization_designs/:id/deactivate=P
test_helpers/issuing/personalization_designs/:id/reject=P test_helpers/issuing/transactions/:id/refund=P
test_helpers/issuing/transactions/create_force_capture=P test_helpers/issuing/transactions/create_unlinked_refund=P
test_helpers/refunds/:id/expire=P test_helpers/terminal/readers/:id/present_payment_method=P
test_helpers/terminal/readers/:id/succeed_input_collection=P
test_helpers/terminal/readers/:id/timeout_input_collection=P test_helpers/test_clocks=GP
test_helpers/test_clocks/:id=GD test_helpers/test_clocks/:id/advance=P
test_helpers/treasury/inbound_transfers/:id/fail=P test_helpers/treasury/inbound_transfers/:id/return=P
test_helpers/treasury/inbound_transfers/:id/succeed=P test_helpers/treasury/outbound_payments/:id=P
test_helpers/treasury/outbound_payments/:id/fail=P test_helpers/treasury/outbound_payments/:id/post=P
test_helpers/treasury/outbound_payments/:id/return=P test_helpers/treasury/outbound_transfers/:id=P
test_helpers/treasury/outbound_transfers/:id/fail=P test_helpers/treasury/outbound_transfers/:id/post=P
test_helpers/treasury/outbound_transfers/:id/return=P test_helpers/treasury/received_credits=P
test_helpers/treasury/received_debits=P three_d_secure/authentications=GP three_d_secure/authentications/:id=G
three_d_secure/authentications/:id/cancel=P three_d_secure/authentications/:id/submit=P tokens=P tokens/:id=G
topups=GP topups/:id=GP topups/:id/cancel=P transfers=GP transfers/:id=GP transfers/:id/reversals=GP
transfers/:id/reversals/:id=GP treasury/credit_reversals=GP treasury/credit_reversals/:id=G
treasury/debit_reversals=GP treasury/debit_reversals/:id=G treasury/financial_accounts=GP
treasury/financial_accounts/:id=GP treasury/financial_accounts/:id/close=P
treasury/financial_accounts/:id/features=GP treasury/inbound_transfers=GP treasury/inbound_transfers/:id=G
treasury/inbound_transfers/:id/cancel=P treasury/outbound_payments=GP treasury/outbound_payments/:id=G
treasury/outbound_payments/:id/cancel=P treasury/outbound_transfers=GP treasury/outbound_transfers/:id=G
treasury/outbound_transfers/:id/cancel=P treasury/received_credits=G treasury/received_credits/:id=G
treasury/received_debits=G treasury/received_debits/:id=G treasury/transaction_entries=G
treasury/transaction_entries/:id=G treasury/transactions=G treasury/transactions/:id=G webhook_endpoints=GP
webhook_endpoints/:id=GPD
"""
_METHODS = {"G": "GET", "P": "POST", "D": "DELETE"}
ADDRESSES: dict[str, frozenset[str]] = {
    path: frozenset(_METHODS[letter] for letter in letters)
    for path, _, letters in (entry.rpartition("=") for entry in _TABLE.split())
}

# Only what begins with one of these is ever passed on. Left out are what holds keys, card numbers, bank accounts,
# documents of people or files, and what is about the account itself: account, accounts, apps, confirmation_tokens,
# ephemeral_keys, files, file_links, financial_connections, forwarding, identity, issuing, reporting, sigma, sources,
# terminal, test_helpers, tokens, treasury, webhook_endpoints, and the like.
PASSED_ON = frozenset(
    "balance_transactions billing charges checkout coupons country_specs credit_notes customers disputes entitlements "
    "exchange_rates invoice_payments invoice_rendering_templates invoiceitems invoices mandates "
    "payment_attempt_records payment_intents payment_links payment_methods payment_records payouts plans prices "
    "product_catalog products promotion_codes quotes radar refunds reviews setup_attempts setup_intents shipping_rates "
    "subscription_items subscription_schedules subscriptions tax tax_codes tax_ids tax_rates topups transfers".split()
)
FILES = frozenset({"quotes/:id/pdf"})  # no JSON, and on another host
ALSO_PASSED_ON = frozenset({("POST", "invoices/create_preview")})  # changes nothing

# A part of a path, of which none can lead anywhere else: no dots, no percent signs, no empty part.
PATH = re.compile(r"/v1((?:/[A-Za-z0-9_-]{1,255}){1,5})", re.ASCII)


def address_of(method: str, path: str) -> str | None:
    """The address in the table that this path is one of, without `/v1/`; None where Stripe has none for this method.
    Words are preferred to ids."""
    match = PATH.fullmatch(path)
    if match is None:
        return None
    found = [""]
    for part in match[1].split("/")[1:]:
        found = [f"{before}/{one}".lstrip("/") for before in found for one in (part, ":id")]
    return next((one for one in found if method in ADDRESSES.get(one, ())), None)


def is_passed_on(method: str, address: str) -> bool:
    """Whether this address may be asked of Stripe for a caller: only what changes nothing."""
    if address.partition("/")[0] not in PASSED_ON or address in FILES:
        return False
    return method == "GET" or (method, address) in ALSO_PASSED_ON
