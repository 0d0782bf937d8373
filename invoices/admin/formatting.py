"""How values look on our pages: badges, amounts, moments, ages, raw objects."""

import json
import re
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoices import money
from invoices.models.reading import printable

DASH = "–"
SECRET = ("client_secret", "secret", "password", "api_key", "token")
TONES = {
    # invoices
    "draft": "grey",
    "open": "blue",
    "paid": "green",
    "uncollectible": "amber",
    "void": "grey",
    # payments
    "canceled": "grey",
    "processing": "violet",
    "requires_action": "amber",
    "requires_payment_method": "red",
    # operations
    "awaiting_approval": "amber",
    "ready": "violet",
    "running": "violet",
    "unknown": "violet",
    "succeeded": "green",
    "failed": "red",
    "refused": "amber",
    "cancelled": "grey",
    "expired": "grey",
    # events and runs
    "pending": "violet",
    "done": "green",
    "ignored": "grey",
    "finished": "green",
}


def badge(text: str, tone: str = "") -> SafeString:
    """A small coloured word; the colour follows the word where no tone is given."""
    return format_html('<span class="badge {}">{}</span>', tone or TONES.get(text, "grey"), text.replace("_", " "))


def amount(value: int | None, currency: str | None) -> SafeString:
    return format_html('<span class="amount">{}</span>', money.text(value, currency))


def moment(when: datetime | None, empty: str = DASH) -> SafeString:
    """Date and time in the reader's zone; the zone and the seconds on hover."""
    return _time(when, "j M Y, H:i", empty)


def clock_time(when: datetime | None, empty: str = DASH) -> SafeString:
    """The time of day in the reader's zone."""
    return _time(when, "H:i", empty)


def day(when: datetime | None, empty: str = DASH) -> SafeString:
    return _time(when, "j M Y", empty)


def _time(when: datetime | None, pattern: str, empty: str) -> SafeString:
    if when is None:
        return format_html("{}", empty)
    local = timezone.localtime(when)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', when.isoformat(), full(when), date_format(local, pattern)
    )


def full(when: datetime) -> str:
    """A moment beyond doubt: with seconds and zone."""
    local = timezone.localtime(when)
    return f"{date_format(local, 'l, j F Y, H:i:s')} {local.tzname()}"


def ago(when: datetime | None, empty: str = "never") -> SafeString:
    """An age that keeps counting on the open page (desk.js), with the moment itself on hover."""
    if when is None:
        return format_html("{}", empty)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', when.isoformat(), full(when), age_text(when)
    )


def age_text(when: datetime) -> str:
    """`12 s ago`, `3 min ago`, `5 days ago`; `in 2 h` for what is to come. desk.js says the same."""
    seconds = int((timezone.now() - when).total_seconds())
    size = span(abs(seconds))
    if -1 <= seconds <= 1:
        return "just now"
    return f"{size} ago" if seconds > 0 else f"in {size}"


def span(seconds: float) -> str:
    seconds = int(seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length * (2 if unit == "days" else 1):
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def words(code: str | None) -> str:
    """`insufficient_funds` → `insufficient funds`."""
    return (code or "").replace("_", " ").replace(".", " ")


def masked(value: Any) -> Any:
    """The same object without what would let its reader act in the customer's name."""
    if isinstance(value, dict):
        return {key: "••••••" if _secret(key, member) else masked(member) for key, member in value.items()}
    if isinstance(value, list):
        return [masked(member) for member in value]
    return value


def _secret(key: str, member: Any) -> bool:
    return isinstance(member, str) and bool(member) and (key in SECRET or key.endswith("_secret"))


HIDDEN = re.compile(
    r"\b(?:sk|rk|pk|whsec|ek)_\w{6,}|\b\w+_secret_\w+"  # keys and client secrets by how they look
    r"|(?<=secret\":\")[^\"]+|(?<=secret\": \")[^\"]+"  # … and by their names
    r"|\b\d(?:[ -]?\d){12,18}\b"  # the number of a card
)


def masked_text(written: str, most: int = 20_000) -> str:
    """What cannot be read as an object, for reading, without what looks like a secret or a card's number."""
    hidden = HIDDEN.sub("••••••", written[: most + 1000])
    return hidden if len(written) <= most else f"{hidden[:most]} …"


def pretty(value: Any) -> str:
    """A raw object for reading, secrets masked."""
    return json.dumps(printable(masked(value)), indent=2, ensure_ascii=False)


def web_address(value: Any) -> str:
    """The address if it is one that a browser may open, else nothing (never `javascript:`)."""
    return value if isinstance(value, str) and value.isascii() and value.startswith(("https://", "http://")) else ""
