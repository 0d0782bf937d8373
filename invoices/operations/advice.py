"""From Stripe's code and decline code to what the agent can do now: one closed table."""

ADVICE = {
    # what the customer can mend
    "insufficient_funds": "Not enough money on the account: try later, or ask for another payment method.",
    "expired_card": "The card has expired: ask the customer to update it, then pay again.",
    "incorrect_cvc": "The security code was wrong: ask the customer to enter the card again.",
    "incorrect_number": "The card number is wrong: ask the customer to enter the card again.",
    "card_not_supported": "This card cannot be used for such a payment: ask for another one.",
    "currency_not_supported": "This card does not take the invoice's currency: ask for another one.",
    "card_velocity_exceeded": "The card's limit is reached: try later, or ask for another payment method.",
    "withdrawal_count_limit_exceeded": "The card's limit is reached: try later, or ask for another payment method.",
    # what waits
    "processing_error": "The bank could not process it: try again in an hour.",
    "issuer_not_available": "The bank could not be reached: try again in an hour.",
    "try_again_later": "The bank asks to try again later.",
    "reenter_transaction": "The bank could not process it: try again in an hour.",
    # what stops
    "lost_card": "Do not try this card again: ask for another payment method.",
    "stolen_card": "Do not try this card again: ask for another payment method.",
    "pickup_card": "Do not try this card again: ask for another payment method.",
    "fraudulent": "Do not try this card again: ask for another payment method.",
    "do_not_honor": "The bank refuses without a reason: the customer should ask the bank, or use another card.",
    "generic_decline": "The bank refuses without a reason: the customer should ask the bank, or use another card.",
}
AUTHENTICATE = "The bank wants the customer to confirm: send the link to the invoice's hosted page."
DEFAULT = "Ask the customer for another payment method, or send the link to the invoice's hosted page."


def advice_for(code: str, decline_code: str, stripe_code: str = "") -> str:
    """What to do after this refusal, in a sentence; empty where there is nothing to advise."""
    if code == "authentication_required":
        return AUTHENTICATE
    if code != "card_declined":
        return ""
    return ADVICE.get(decline_code) or ADVICE.get(stripe_code) or DEFAULT
