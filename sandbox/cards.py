"""Stripe's test cards: numbers, tokens, payment methods, and the result of a charge (Stripe docs: Testing)."""

from dataclasses import dataclass

from sandbox.ids import ids
from sandbox.shapes import billing_details
from sandbox.store import HIDDEN, StripeObject


@dataclass(frozen=True)
class Card:
    number: str
    brand: str = "visa"
    decline: str | None = None  # the decline code of every charge
    authenticate: bool = False  # every charge needs authentication by the customer
    code: str = "card_declined"  # the error code, where there is a decline
    message: str = "Your card was declined."
    advice: str = "try_again_later"  # advice_code
    network: str = "01"  # network_decline_code


VISA = Card("4242424242424242")
CARDS = {
    "visa": VISA,
    "visa_debit": Card("4000056655665556"),
    "mastercard": Card("5555555555554444", "mastercard"),
    "amex": Card("378282246310005", "amex"),
    "chargeCustomerFail": Card("4000000000000341", decline="generic_decline"),
    "visa_chargeDeclined": Card("4000000000000002", decline="generic_decline"),
    "visa_chargeDeclinedInsufficientFunds": Card(
        "4000000000009995", decline="insufficient_funds", message="Your card has insufficient funds.", network="51"
    ),
    "visa_chargeDeclinedLostCard": Card(
        "4000000000009987", decline="lost_card", advice="do_not_try_again", network="41"
    ),
    "visa_chargeDeclinedStolenCard": Card(
        "4000000000009979", decline="stolen_card", advice="do_not_try_again", network="43"
    ),
    "chargeDeclinedExpiredCard": Card(
        "4000000000000069",
        decline="expired_card",
        code="expired_card",
        message="Your card has expired.",
        advice="confirm_card_data",
        network="54",
    ),
    "chargeDeclinedIncorrectCvc": Card(
        "4000000000000127",
        decline="incorrect_cvc",
        code="incorrect_cvc",
        message="Your card's security code is incorrect.",
        advice="confirm_card_data",
        network="82",
    ),
    "chargeDeclinedProcessingError": Card(
        "4000000000000119",
        decline="processing_error",
        code="processing_error",
        message="An error occurred while processing your card. Try again in a little bit.",
        network="06",
    ),
    "authenticationRequired": Card("4000002760003184", authenticate=True),
    "threeDSecure2Required": Card("4000000000003220", authenticate=True),
}
ALIASES = {
    "visa_chargeCustomerFail": "chargeCustomerFail",
    "chargeDeclined": "visa_chargeDeclined",
    "chargeDeclinedInsufficientFunds": "visa_chargeDeclinedInsufficientFunds",
    "chargeDeclinedLostCard": "visa_chargeDeclinedLostCard",
    "chargeDeclinedStolenCard": "visa_chargeDeclinedStolenCard",
    "visa_chargeDeclinedExpiredCard": "chargeDeclinedExpiredCard",
    "visa_chargeDeclinedIncorrectCvc": "chargeDeclinedIncorrectCvc",
    "visa_chargeDeclinedProcessingError": "chargeDeclinedProcessingError",
    "threeDSecureRequired": "threeDSecure2Required",
}
BY_NUMBER = {card.number: name for name, card in CARDS.items()}
# A charge of these stays processing until the bank decides: by itself after some days ("succeeded" or one of
# BANK_FAILURES; "": it does not), or at POST /_sandbox/payment_intents/:id/settle.
BANK_DEBITS = {
    "pm_usBankAccount": "",
    "pm_usBankAccount_processing": "",
    "pm_usBankAccount_success": "succeeded",
    "pm_usBankAccount_accountClosed": "account_closed",
    "pm_usBankAccount_debitNotAuthorized": "debit_not_authorized",
    "pm_usBankAccount_insufficientFunds": "insufficient_funds",
    "pm_usBankAccount_noAccount": "no_account",
}
BANK_FAILURES = {
    "account_closed": "The customer's bank account has been closed.",
    "debit_not_authorized": "The customer has notified their bank that this payment was unauthorized.",
    "insufficient_funds": "The customer's account has insufficient funds to cover this payment.",
    "no_account": "The customer's bank account could not be located.",
}


def card_name(token: str) -> str | None:
    """The key in CARDS for `pm_card_visa` or `tok_visa`; None if this is no test card."""
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix):
            name = token.removeprefix(prefix)
            name = ALIASES.get(name, name)
            return name if name in CARDS else None
    return None


def card_of(method: StripeObject) -> Card:
    return CARDS[method[HIDDEN]["card"]]


def payment_method(name: str, now: int, exp: tuple[int, int] = (12, 2034)) -> StripeObject:
    card = CARDS[name]
    return {
        **shared_members("card", now),
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"},
            "country": "US",
            "display_brand": {"amex": "american_express"}.get(card.brand, card.brand),
            "exp_month": exp[0],
            "exp_year": exp[1],
            "fingerprint": "Sbx" + card.number[-10:] + "Fpr",
            "funding": "debit" if name.endswith("debit") else "credit",
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        HIDDEN: {"card": name},
    }


def bank_debit(now: int, id: str = "pm_usBankAccount") -> StripeObject:
    """A new bank account, as the test id says."""
    return {
        **shared_members("us_bank_account", now),
        "us_bank_account": {
            "account_holder_type": "company",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None,
            "fingerprint": "SbxBankDebitFpr0",
            "last4": "6789",
            "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": "110000000",
            "status_details": {},
        },
        HIDDEN: {"card": "visa", "debit": True, "bank_says": BANK_DEBITS[id]},
    }


def shared_members(type: str, now: int) -> StripeObject:
    return {
        "id": ids.new("payment_method"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": type,
    }
