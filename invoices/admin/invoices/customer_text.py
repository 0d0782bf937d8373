"""The text for the customer: one, which fits the invoice's state, in the customer's language where it is written."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from babel.dates import format_date
from django.utils import timezone

from invoices import money
from invoices.admin.formatting import web_address
from invoices.admin.invoices import wording
from invoices.admin.invoices.situation import Name, Situation
from invoices.models import Invoice
from invoices.models.reading import member
from invoices.operations import advice

ENGLISH, GERMAN = "en", "de"
LANGUAGES = {ENGLISH: "English", GERMAN: "Deutsch"}

# Each sentence in each language. {about}: the invoice and its amount; {on}: ` on 5 March 2027`, or nothing.
# `day` is how Babel writes a date.
SENTENCES = {
    ENGLISH: {
        "about_number": "Invoice {number} over {amount}",
        "about": "The invoice over {amount}",
        "day": "d MMMM y",
        "on": " on {day}",
        "deleted": "There is no invoice to pay; the draft was withdrawn.",
        "checking": "{about} is being worked on in this moment. Please do not pay it yet; we tell you how it ended.",
        "draft": "{about} is still being prepared. There is nothing to pay yet.",
        "paid": "{about} was paid{on}. Thank you; nothing is left to pay.",
        "credited": "{about} was credited{on}. You do not need to pay it.",
        "part_credited": " {credited} of it was credited to you.",
        "void": "{about} was cancelled{on}. You do not need to pay it.",
        "uncollectible": "{about} was not paid. We are not asking you to pay it now; {remaining} remains on our books. "
        "If you have a question about it, please write to us.",
        "part_uncollectible": "{about}: {paid} has been received. We are not asking you to pay the rest now; "
        "{remaining} remains on our books. If you have a question about it, please write to us.",
        "open": "{about} is open.",
        "open_due": "{about} is open and is due{on}.",
        "overdue": "{about} is open and was due{on}.",
        "part_open": "{about}: {paid} has been received, and {remaining} is left to pay.",
        "part_open_due": "{about}: {paid} has been received, and {remaining} is left to pay; it is due{on}.",
        "part_overdue": "{about}: {paid} has been received, and {remaining} is left to pay; it was due{on}.",
        "processing": " A payment of {processing} is on its way; your bank is processing it.",
        "pay_here": " You can pay it here: {link}",
        "the_link": " The link: {link}",
        "unreadable": "{about}: please give us a moment to look into it.",
    },
    GERMAN: {
        "about_number": "Die Rechnung {number} über {amount}",
        "about": "Die Rechnung über {amount}",
        "day": "d. MMMM y",
        "on": " am {day}",
        "deleted": "Es ist keine Rechnung zu bezahlen; der Entwurf wurde zurückgezogen.",
        "checking": "{about} wird gerade bearbeitet. Bitte zahlen Sie sie noch nicht; wir melden uns, sobald das "
        "Ergebnis feststeht.",
        "draft": "{about} wird noch vorbereitet. Es ist noch nichts zu bezahlen.",
        "paid": "{about} wurde{on} bezahlt. Vielen Dank; es ist nichts mehr offen.",
        "credited": "{about} wurde{on} gutgeschrieben. Sie brauchen sie nicht zu bezahlen.",
        "part_credited": " Davon wurden Ihnen {credited} gutgeschrieben.",
        "void": "{about} wurde{on} storniert. Sie brauchen sie nicht zu bezahlen.",
        "uncollectible": "{about} wurde nicht bezahlt. Wir bitten Sie derzeit nicht um Zahlung; {remaining} stehen "
        "noch in unseren Büchern. Wenn Sie eine Frage dazu haben, schreiben Sie uns bitte.",
        "part_uncollectible": "{about}: {paid} sind eingegangen. Um den Rest bitten wir Sie derzeit nicht; {remaining} "
        "stehen noch in unseren Büchern. Wenn Sie eine Frage dazu haben, schreiben Sie uns bitte.",
        "open": "{about} ist offen.",
        "open_due": "{about} ist offen und{on} fällig.",
        "overdue": "{about} ist offen und war{on} fällig.",
        "part_open": "{about}: {paid} sind eingegangen, {remaining} sind noch zu bezahlen.",
        "part_open_due": "{about}: {paid} sind eingegangen, {remaining} sind noch zu bezahlen, fällig{on}.",
        "part_overdue": "{about}: {paid} sind eingegangen, {remaining} sind noch zu bezahlen; fällig war die "
        "Rechnung{on}.",
        "processing": " Eine Zahlung von {processing} ist unterwegs; Ihre Bank bearbeitet sie.",
        "pay_here": " Hier können Sie sie bezahlen: {link}",
        "the_link": " Der Link: {link}",
        "unreadable": "{about}: Bitte geben Sie uns einen Moment, um sie anzusehen.",
    },
}


def language_of(customer: Any) -> str:
    """The first of the customer's `preferred_locales` in which the text is written; else English."""
    preferred = member(getattr(customer, "data", None), "preferred_locales")
    for locale in preferred if isinstance(preferred, list) else []:
        language = locale.lower().replace("_", "-").partition("-")[0] if isinstance(locale, str) else ""
        if language in LANGUAGES:
            return language
    return ENGLISH


def chosen(wanted: str, customer: Any) -> str:
    """The language that the reader asked for, if there is such a text; else the customer's."""
    return wanted if wanted in LANGUAGES else language_of(customer)


def text(situation: Situation, language: str = ENGLISH, *, card_link: str = "") -> str:
    """The text. `card_link`: the address on which the customer updates the card, if one was just made. It names no
    amount to pay, and asks nobody to pay, while the state may be another one at Stripe. It asks to wait with a payment
    only while one is running, and asks nobody to pay what was written off: it may be disputed."""
    invoice, name = situation.invoice, situation.name
    say = _Sentences(situation, language)
    match name:
        case Name.CONTRADICTED | Name.UNKNOWN | Name.WAITING | Name.AWAITING:
            return say("checking" if situation.is_paying else "unreadable")
        case Name.DELETED | Name.DRAFT | Name.UNREADABLE:
            return say(name.value)
        case Name.RETURNED:  # neither paid nor to be paid: it is billed again
            return say("unreadable")
        case Name.PAID:
            return say("paid", invoice.paid_at) + (say("part_credited") if situation.credited else "")
        case Name.CREDITED:
            return say("credited", invoice.paid_at)
        case Name.VOID:
            return say("void", invoice.voided_at)
        case Name.UNCOLLECTIBLE:
            return say("part_uncollectible" if invoice.amount_paid else "uncollectible")  # no link: it is no reminder
    part = "part_" if invoice.amount_paid else ""
    kind = "open" if not invoice.due_date else "overdue" if wording.overdue(invoice) else "open_due"
    if kind == "overdue" and situation.is_promised:
        kind = "open"  # the customer has said by when, and is not reminded before
    state = say(f"{part}{kind}", invoice.due_date)
    if name == Name.PROCESSING:
        return state + say("processing")
    if name == Name.DECLINED and situation.is_promised and not card_link:
        return state + _pay_here(say, invoice)
    if name in {Name.DECLINED, Name.CONFIRM}:
        return f"{state} {_after_decline(situation, say, language, card_link)}"
    return state + _pay_here(say, invoice)


def _after_decline(situation: Situation, say: _Sentences, language: str, card_link: str) -> str:
    """What the customer can do now. The reason stands in it only where the customer may know it (advice.py)."""
    page = payment_page(situation.invoice)
    found = advice.TABLE["authentication_required"] if situation.name == Name.CONFIRM else situation.help
    found = found or advice.DEFAULT
    words = found.german if language == GERMAN else found.customer
    if found.kind == advice.UPDATE and card_link:
        return words + say("the_link", link=card_link)
    if not page or found.kind not in {advice.HOSTED, advice.ANOTHER, advice.STOP}:
        return words
    return words + say("the_link" if found.kind == advice.HOSTED else "pay_here", link=page)


def _pay_here(say: _Sentences, invoice: Invoice) -> str:
    page = payment_page(invoice)
    return say("pay_here", link=page) if page else ""


def payment_page(invoice: Invoice) -> str:
    """The address of Stripe's page on which the customer can pay this invoice; empty if it cannot be paid there."""
    is_payable = invoice.status in {"open", "uncollectible"} and not invoice.deleted_at
    return web_address(member(invoice.data, "hosted_invoice_url")) if is_payable else ""


class _Sentences:
    """Fills the sentences of one language with the amounts and days of one invoice."""

    def __init__(self, situation: Situation, language: str) -> None:
        invoice = situation.invoice
        self.sentences, self.language = SENTENCES[language], language

        def amount(value: int | None) -> str:
            return money.in_language(value, invoice.currency, language)

        total = invoice.total if invoice.amount_due is None else invoice.amount_due
        about = self.sentences["about_number" if invoice.number else "about"]
        self.values = {
            "about": about.format(number=invoice.number, amount=amount(total)),
            "paid": amount(invoice.amount_paid),
            "remaining": amount(invoice.amount_remaining),
            "processing": amount(situation.processing),
            "credited": amount(situation.credited),
        }

    def __call__(self, name: str, when: datetime | None = None, link: str = "") -> str:
        on = ""
        if when is not None:
            day = format_date(timezone.localtime(when).date(), self.sentences["day"], locale=self.language)
            on = self.sentences["on"].format(day=day)
        return self.sentences[name].format(**self.values, on=on, link=link)
