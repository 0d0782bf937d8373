"""Which members of Stripe's objects, and which texts, are personal data of a customer; and taking them out.

An erasure splits a document in two. Personal members, and texts that name the customer, are replaced by `REDACTED`, as
Stripe's own redaction does it. What remains (`facts`: numbers, ids, codes, dates) is the same before and after, and the
journal's chain proves that.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from invoices.models.reading import storable

REDACTED = "[redacted]"  # Stripe's own placeholder

WHO = "who the customer is"
WHERE = "where the customer lives, or is sent goods"
FREE = "what people wrote; it often names somebody"
CARD = "the card or its holder"
BANK = "the bank account or its holder"
PAGE = "opens a page that shows the customer's name and address"
DEVICE = "the customer's device"

# Member → why it is personal. It is so wherever it stands, with everything below it. Keys stay, and so do ids.
PERSONAL: dict[str, str] = {
    **dict.fromkeys(("email", "phone", "customer_email", "customer_name", "customer_phone", "receipt_email"), WHO),
    **dict.fromkeys(("individual_name", "business_name", "billing_details", "customer_details", "tax_ids"), WHO),
    **dict.fromkeys(("customer_tax_ids", "tax_id", "dob", "verified_name", "verified_email", "verified_phone"), WHO),
    **dict.fromkeys(("payer_details", "payer_email", "payer_name", "payer_id", "buyer_id", "cashtag"), WHO),
    **dict.fromkeys(("address", "customer_address", "shipping", "customer_shipping", "shipping_details"), WHERE),
    **dict.fromkeys(("instructions_email", "email_sent_to"), WHO),
    **dict.fromkeys(("verified_address", "shipping_address", "billing_address"), WHERE),
    **dict.fromkeys(("line1", "line2", "postal_code", "city"), WHERE),
    **dict.fromkeys(("description", "footer", "custom_fields", "metadata", "statement_descriptor"), FREE),
    **dict.fromkeys(("statement_descriptor_suffix", "note", "reference", "payment_reference", "memo"), FREE),
    **dict.fromkeys(("last4", "dynamic_last4", "exp_month", "exp_year", "fingerprint", "iin"), CARD),
    "cardholder_name": CARD,
    **dict.fromkeys(("account_holder_name", "account_number", "routing_number", "bank_name", "iban", "bic"), BANK),
    **dict.fromkeys(("sort_code", "institution_number", "transit_number", "branch_code", "bank_code"), BANK),
    **dict.fromkeys(("swift_code", "financial_addresses", "generated_sepa_debit", "mandate_url"), BANK),
    **dict.fromkeys(("hosted_invoice_url", "invoice_pdf", "receipt_url", "hosted_instructions_url"), PAGE),
    **dict.fromkeys(("hosted_voucher_url", "hosted_verification_url", "client_secret", "confirmation_secret"), PAGE),
    **dict.fromkeys(("ip", "ip_address", "user_agent", "user_ip", "purchase_ip"), DEVICE),
}
# `name` is also what a product, a coupon or one of our calls is called. In these objects it is a person's.
NAMED_OBJECTS = frozenset({"customer", "card", "bank_account", "source"})
# `pdf` is also how an invoice is to be printed. In a credit note it opens a page as `invoice_pdf` does. A dispute's
# evidence is what the bank is told of the customer. Kind → a member of it alone.
PERSONAL_OF_KIND = {**dict.fromkeys(NAMED_OBJECTS, "name"), "credit_note": "pdf", "dispute": "evidence"}

# The members whose values are looked for in every other text that belongs to the customer. The shortest is left to the
# members' names: "Bo" or "1" stands in too many texts.
NAMES = frozenset({"name", "customer_name", "individual_name", "business_name", "account_holder_name"})
SOUGHT = NAMES | {"email", "customer_email", "receipt_email", "instructions_email", "email_sent_to"}
SOUGHT |= {"phone", "customer_phone", "line1", "line2"}
SHORTEST_SOUGHT = 3
MOST_SOUGHT = 1000  # values of one customer, so that memory is bounded

# Stripe's ids, codes, numbers and types, and moments: no text that people wrote. Known values are not looked for in
# them, because a customer may be called "Paid". A number alone may be a telephone's, so it is none.
TOKEN = re.compile(
    r"(?=.*[a-z_])[a-z0-9_.:\-]*"
    r"|[A-Z]{2,3}"
    r"|(?=.*[A-Za-z])(?=.*[0-9_])[A-Za-z0-9_.:\-]+"
    r"|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?"
)


ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")  # as JSON writes what is no ASCII, also in a text inside a text


class Known:
    """What we know of one customer: the values to look for in texts."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        self._words: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._words_pattern: re.Pattern[str] | None = None

    def learn(self, document: Any, kind: str = "") -> None:
        """Takes the names, addresses and numbers out of one of the customer's documents."""
        for name, written in _sought(document, kind):
            value = " ".join(_plain(written).split())
            if len(value) >= SHORTEST_SOUGHT and not is_placeholder(value) and len(self.values) < MOST_SOUGHT:
                self.values.add(value)
                if name in NAMES:
                    self._words.update(word for word in re.findall(r"\w+", value) if len(word) >= SHORTEST_SOUGHT)
                self._pattern = self._words_pattern = None

    def is_in(self, text: str) -> bool:
        """Whether a text has one of the values, in large or small letters."""
        if self._pattern is None:
            self._pattern = _pattern(self.values)
        return bool(self._pattern.search(_plain(text)))

    def is_named_in(self, text: str) -> bool:
        """Whether what a person wrote has one of the values, or a word of one of the names."""
        if self._words_pattern is None:
            self._words_pattern = _pattern(self.values | self._words)
        return bool(self._words_pattern.search(_plain(text)))

    def taken_out_of(self, document: Any) -> Any:
        """The same document; only texts that have one of the values are replaced."""
        if isinstance(document, dict):
            return {name: self.taken_out_of(value) for name, value in document.items()}
        if isinstance(document, list):
            return [self.taken_out_of(value) for value in document]
        has_value = isinstance(document, str) and not is_token(document) and self.is_in(document)
        return REDACTED if has_value else document

    def where(self, document: Any) -> str:
        """The member in which an object of Stripe's still shows the customer; empty where none does.

        Either it has a name or an address that is no placeholder, or a text has the full name, e-mail or street.
        """
        for name, value in _sought(document, ""):
            if not is_placeholder(value) and value.strip():
                return name
        telling = _pattern({value for value in self.values if "@" in value or " " in value})
        return _member_with(telling, document)


def _member_with(pattern: re.Pattern[str], document: Any, member: str = "") -> str:
    if isinstance(document, str):
        return member if pattern.search(_plain(document)) else ""
    if isinstance(document, dict):
        return next((found for key, value in document.items() if (found := _member_with(pattern, value, key))), "")
    below = document if isinstance(document, list) else ()
    return next((found for value in below if (found := _member_with(pattern, value, member))), "")


def _pattern(values: set[str]) -> re.Pattern[str]:
    if not values:
        return re.compile(r"(?!)")  # nothing
    each = (r"\s+".join(re.escape(part) for part in value.split()) for value in sorted(values, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)", re.IGNORECASE)


def _plain(text: str) -> str:
    """The text as it sounds: however it was written into JSON, HTML or an address, and in whatever letters."""
    unescaped = ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return unicodedata.normalize("NFKC", html.unescape(unquote(unescaped))).casefold()


def is_token(text: str) -> bool:
    """Whether this is an id, a code or a moment, and no text."""
    return bool(TOKEN.fullmatch(text))


def is_placeholder(text: str) -> bool:
    """Whether Stripe, or we, have put this in the place of something personal."""
    return "redacted" in text.lower()


def redacted(document: Any, known: Known | None = None, kind: str = "") -> Any:
    """The same document without personal data: personal members by their names, and texts that have a known value.

    `kind` is Stripe's `object` value where the document does not say it. What is null stays null; a number in a
    personal member becomes null.
    """
    if isinstance(document, dict):
        kind = _kind(document, kind)
        return {
            name: _replaced(value, known)
            if is_personal(name, kind)
            else redacted(value, known, _kind_of_previous(document, name))
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [redacted(value, known, kind) for value in document]
    return document if known is None else known.taken_out_of(document)


def is_personal(name: str, kind: str = "") -> bool:
    """Whether a member of an object of this kind is personal."""
    return name in PERSONAL or PERSONAL_OF_KIND.get(kind) == name


def _replaced(value: Any, known: Known | None) -> Any:
    if isinstance(value, dict):
        return {
            REDACTED if known is not None and known.is_in(key) else key: _replaced(below, known)
            for key, below in value.items()
        }
    if isinstance(value, list):
        return [_replaced(below, known) for below in value]
    return REDACTED if isinstance(value, str) and value else ("" if value == "" else None)


def facts(document: Any, kind: str = "") -> Any:
    """What an erasure leaves as it is: facts(redacted(document)) == facts(document), whatever is known."""
    if isinstance(document, dict):
        kind = _kind(document, kind)
        personal_of_kind = PERSONAL_OF_KIND.get(kind)
        return {
            name: facts(value, _kind_of_previous(document, name))
            if isinstance(value, (dict, list))
            else value
            if not isinstance(value, str) or is_token(value)
            else ""
            for name, value in document.items()
            if name not in PERSONAL and name != personal_of_kind  # as `is_personal`, without a call for each member
        }
    if isinstance(document, list):
        return [facts(value, kind) for value in document]
    return document if not isinstance(document, str) or is_token(document) else ""


def _kind(document: dict[str, Any], otherwise: str) -> str:
    found = document.get("object")
    return found if isinstance(found, str) else otherwise


def _kind_of_previous(document: dict[str, Any], name: str) -> str:
    """An event's `previous_attributes` are members of its object, and do not say of which kind that is."""
    beside = document.get("object")
    return _kind(beside, "") if name == "previous_attributes" and isinstance(beside, dict) else ""


def _sought(document: Any, kind: str, below: str = "") -> Iterator[tuple[str, str]]:
    """(member, value) of every value that is to be looked for elsewhere."""
    if isinstance(document, dict):
        kind = _kind(document, kind)
        for name, value in document.items():
            inside = below or (name if is_personal(name, kind) else "")
            if isinstance(value, str):
                if inside and inside != "metadata" and name in SOUGHT:
                    yield name, value
            else:
                yield from _sought(value, _kind_of_previous(document, name), inside)
    elif isinstance(document, list):
        for value in document:
            yield from _sought(value, kind, below)


def customers_of(document: Any) -> set[str]:
    """The ids of the customers that a document of Stripe's belongs to or names as its customer. A text that no database
    can store is nobody's id, and to ask for it would be an error."""
    found: set[str] = set()
    waiting = [document]
    while waiting:  # a list instead of recursion: every event and every object that is stored comes through here
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("object") == "customer" and _can_be_stored(value.get("id")):
                found.add(value["id"])
            if _can_be_stored(value.get("customer")):
                found.add(value["customer"])
            waiting.extend([below for below in value.values() if isinstance(below, (dict, list)) and below])
        elif isinstance(value, list):
            waiting.extend([below for below in value if isinstance(below, (dict, list)) and below])
    return found


_CUSTOMER_MEMBER = re.compile(r'"customer"\s*:\s*"([^"]*)"')
_CUSTOMER_ITSELF = re.compile(r'"object"\s*:\s*"customer"')


def customers_in(text: str, document: Any) -> set[str]:
    """As `customers_of`, of a document with its JSON text: more may be found than that finds, and never less.

    Where the text spells no letter as `\\u…` or in UTF-16 (NUL), and holds no customer itself, all stand behind the
    same word. To look for it takes a tenth of the time of a walk through the document, and every webhook comes here.
    """
    found = _CUSTOMER_MEMBER.findall(text)
    if "\\u" in text or "\x00" in text or any("\\" in value for value in found) or _CUSTOMER_ITSELF.search(text):
        return customers_of(document)
    return {value for value in found if _can_be_stored(value)}


def _can_be_stored(value: Any) -> bool:
    return isinstance(value, str) and storable(value, len(value)) == value


def parsed(text: str) -> Any:
    """The document that a text spells; None where it spells none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def redacted_text(text: str, known: Known | None = None, kind: str = "") -> str:
    """The same for a document as text. A text that is none, such as a body that nobody could read, goes as a whole."""
    document = parsed(text)
    if not isinstance(document, (dict, list)):
        return text if document is not None and not isinstance(document, str) else REDACTED
    without = redacted(document, known, kind)
    return text if without == document else json.dumps(without, separators=(",", ":"))
