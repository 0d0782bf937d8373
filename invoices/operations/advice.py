"""A table: for each of Stripe's decline codes, what the agent does now and what to tell the customer."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop

ANOTHER, HOSTED, UPDATE, WAIT, STOP = "another_method", "hosted_page", "update_card", "wait", "stop"


@dataclass(frozen=True)
class Advice:
    """What to do: its kind (another_method, hosted_page, update_card, wait, stop), for the agent (in English, as the
    journal keeps it), and for the customer in English and in German."""

    kind: str
    agent: str
    customer: str
    german: str


_ANOTHER = "Please choose another payment method, or ask your bank why it refused."
_UPDATE = "Please update your card with the link that we send you; then we try again."
_WAIT = "Your bank could not be reached. We will try again later; you need not do anything."
_STOP = "Your bank does not accept payments from this card any more. Please use another payment method."
_ANOTHER_DE = "Bitte wählen Sie eine andere Zahlungsart, oder fragen Sie Ihre Bank nach dem Grund."
_UPDATE_DE = (
    "Bitte aktualisieren Sie Ihre Karte über den Link, den wir Ihnen senden; dann versuchen wir es noch einmal."
)
_WAIT_DE = "Ihre Bank war nicht erreichbar. Wir versuchen es später noch einmal; Sie brauchen nichts zu tun."
_STOP_DE = "Ihre Bank nimmt von dieser Karte keine Zahlungen mehr an. Bitte verwenden Sie eine andere Zahlungsart."

# Stripe's docs, "Decline codes". What is not listed falls to DEFAULT.
TABLE: dict[str, Advice] = {
    "insufficient_funds": Advice(
        ANOTHER,
        gettext_noop("Not enough money on the account: another payment method, or later."),
        "Your bank says that the account does not hold enough. Please use another payment method, or tell us when to "
        "try again.",
        "Laut Ihrer Bank ist das Konto nicht ausreichend gedeckt. Bitte verwenden Sie eine andere Zahlungsart, oder "
        "nennen Sie uns einen Tag, an dem wir es noch einmal versuchen.",
    ),
    "expired_card": Advice(
        UPDATE,
        gettext_noop("The card has expired: let the customer update it."),
        f"Your card has expired. {_UPDATE}",
        f"Ihre Karte ist abgelaufen. {_UPDATE_DE}",
    ),
    **dict.fromkeys(
        (
            "incorrect_cvc",
            "invalid_cvc",
            "incorrect_number",
            "invalid_number",
            "invalid_expiry_month",
            "invalid_expiry_year",
            "incorrect_zip",
            "incorrect_address",
            "new_account_information_available",
        ),
        Advice(
            UPDATE,
            gettext_noop("The card's data are wrong or old: let the customer enter it again."),
            f"Some of your card's data are not right. {_UPDATE}",
            f"Einige Angaben zu Ihrer Karte stimmen nicht. {_UPDATE_DE}",
        ),
    ),
    **dict.fromkeys(
        (
            "card_not_supported",
            "currency_not_supported",
            "invalid_account",
            "invalid_amount",
            "service_not_allowed",
            "transaction_not_allowed",
            "not_permitted",
            "testmode_decline",
            "offline_pin_required",
            "online_or_offline_pin_required",
            "incorrect_pin",
            "invalid_pin",
            "duplicate_transaction",
        ),
        Advice(
            ANOTHER,
            gettext_noop("This card cannot be used for such a payment: another payment method."),
            "Your card cannot be used for this payment. Please choose another payment method.",
            "Ihre Karte kann für diese Zahlung nicht verwendet werden. Bitte wählen Sie eine andere Zahlungsart.",
        ),
    ),
    **dict.fromkeys(
        ("card_velocity_exceeded", "withdrawal_count_limit_exceeded", "pin_try_exceeded"),
        Advice(
            WAIT,
            gettext_noop("The card's limit is reached: try again later, or another payment method."),
            "Your card has reached its limit. We can try again tomorrow, or you choose another payment method.",
            "Das Limit Ihrer Karte ist erreicht. Wir können es morgen noch einmal versuchen, oder Sie wählen eine "
            "andere Zahlungsart.",
        ),
    ),
    **dict.fromkeys(
        ("processing_error", "issuer_not_available", "try_again_later", "reenter_transaction", "approve_with_id"),
        Advice(WAIT, gettext_noop("The bank could not process it: try again in an hour."), _WAIT, _WAIT_DE),
    ),
    **dict.fromkeys(
        (
            "lost_card",
            "stolen_card",
            "pickup_card",
            "restricted_card",
            "fraudulent",
            "merchant_blacklist",
            "security_violation",
            "do_not_try_again",
            "revocation_of_authorization",
            "revocation_of_all_authorizations",
            "stop_payment_order",
        ),
        # The customer is not told the reason: the person who uses the card may have stolen it (Stripe's docs).
        Advice(
            STOP,
            gettext_noop("Do not try this card again: another payment method. Do not tell the customer the reason."),
            _STOP,
            _STOP_DE,
        ),
    ),
    **dict.fromkeys(
        ("generic_decline", "do_not_honor", "call_issuer", "no_action_taken"),
        Advice(
            ANOTHER,
            gettext_noop("The bank refuses without a reason: the customer asks the bank, or uses another card."),
            f"Your bank refused the payment without a reason. {_ANOTHER}",
            f"Ihre Bank hat die Zahlung ohne Angabe eines Grundes abgelehnt. {_ANOTHER_DE}",
        ),
    ),
    # Why a bank refused a debit.
    **dict.fromkeys(
        (
            "account_closed",
            "bank_account_restricted",
            "bank_account_unusable",
            "bank_ownership_changed",
            "invalid_account_number",
            "no_account",
        ),
        Advice(
            ANOTHER,
            gettext_noop("The bank account cannot be debited: another payment method."),
            "Your bank account could not be debited. Please check it, or choose another payment method.",
            "Von Ihrem Bankkonto konnte nicht abgebucht werden. Bitte prüfen Sie es, oder wählen Sie eine andere "
            "Zahlungsart.",
        ),
    ),
    "debit_not_authorized": Advice(
        ANOTHER,
        gettext_noop(
            "The customer told the bank not to allow this debit: talk to the customer before you charge again."
        ),
        "Your bank tells us that you did not allow this payment. Please talk to us, or choose another payment method.",
        "Ihre Bank teilt uns mit, dass Sie diese Abbuchung nicht erlaubt haben. Bitte sprechen Sie mit uns, oder "
        "wählen Sie eine andere Zahlungsart.",
    ),
    "authentication_required": Advice(
        HOSTED,
        gettext_noop("The bank wants the customer to confirm: send the link to the invoice's hosted page."),
        "Your bank wants you to confirm this payment yourself. Please open the link to the invoice and pay there.",
        "Ihre Bank möchte, dass Sie diese Zahlung selbst bestätigen. Bitte öffnen Sie den Link zur Rechnung, und "
        "zahlen Sie dort.",
    ),
}
DEFAULT = Advice(
    ANOTHER,
    gettext_noop("Another payment method, or the link to the invoice's hosted page."),
    f"The payment did not go through. {_ANOTHER}",
    f"Die Zahlung ist nicht zustande gekommen. {_ANOTHER_DE}",
)


def advise(code: str, decline_code: str = "", stripe_code: str = "") -> Advice | None:
    """The advice after our code, Stripe's decline code and Stripe's code; None where there is nothing to advise."""
    if code == "authentication_required":
        return TABLE[code]
    if code != "card_declined":
        return None
    return TABLE.get(decline_code) or TABLE.get(stripe_code) or DEFAULT


def advice_for(code: str, decline_code: str, stripe_code: str = "") -> str:
    """The agent's sentence; empty where there is nothing to advise."""
    found = advise(code, decline_code, stripe_code)
    return found.agent if found else ""
