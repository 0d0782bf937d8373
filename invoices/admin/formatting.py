"""How values look on our pages: badges, amounts, times, ages, raw objects with their secrets masked."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from invoices import money
from invoices.models.reading import printable, without_secrets

DASH = "–"
SECRET_MEMBERS = ("client_secret", "secret", "password", "api_key", "token")
# The colour of a badge, by its text. desk.css has a class for each colour.
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
    """A short text on a coloured ground. Without a `tone` the text decides the colour (`TONES`)."""
    return format_html('<span class="badge {}">{}</span>', tone or TONES.get(text, "grey"), words(text))


def amount(value: int | None, currency: str | None) -> SafeString:
    """An amount in minor units, with its currency."""
    return format_html('<span class="amount">{}</span>', money.text(value, currency))


def moment(when: datetime | None, empty: str = DASH) -> SafeString:
    """Date and time in the reader's time zone; on hover also the seconds and the zone."""
    return _time(when, "SHORT_DATETIME_FORMAT", empty)


def clock_time(when: datetime | None, empty: str = DASH) -> SafeString:
    """The time of day in the reader's time zone."""
    return _time(when, "TIME_FORMAT", empty)


def day(when: datetime | None, empty: str = DASH) -> SafeString:
    return _time(when, "SHORT_DATE_FORMAT", empty)


def _time(when: datetime | None, pattern: str, empty: str) -> SafeString:
    if when is None:
        return format_html("{}", empty)
    local = timezone.localtime(when)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', when.isoformat(), full(when), date_format(local, pattern)
    )


def full(when: datetime) -> str:
    """Weekday, date, time with seconds, and time zone."""
    local = timezone.localtime(when)
    pattern = pgettext("how Django's date filter writes it", "l, j F Y, H:i:s")
    return f"{date_format(local, pattern)} {local.tzname()}"


def number(count: int) -> str:
    """A whole number with its thousands apart, as the language of the page writes it: `12,345`."""
    return number_format(count, force_grouping=True)


def size(count: int) -> str:
    """So many bytes: `12 kB`, `1.2 MB`."""
    if count < 1_000_000:
        return f"{number(-(-count // 1000))} kB"
    return f"{number_format(count / 1_000_000, 1, force_grouping=True)} MB"


def ago(when: datetime | None, empty: str | None = None) -> SafeString:
    """An age (`3 min ago`) that desk.js keeps up to date on the open page; on hover the date and time. Without a time
    `empty`, or `never`."""
    if when is None:
        return format_html("{}", _("never") if empty is None else empty)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', when.isoformat(), full(when), age_text(when)
    )


def age_text(when: datetime) -> str:
    """`12 s ago`, `3 min ago`, `5 days ago`; `in 2 h` for a time in the future. desk.js computes the same text."""
    words = age_words()
    seconds = int((timezone.now() - when).total_seconds())
    if -1 <= seconds <= 1:
        return words["now"]
    return words["past" if seconds > 0 else "future"].format(distance=distance(abs(seconds)))


def distance(seconds: float) -> str:
    """As `span`, in the form that stands behind a preposition: `vor`, `seit`, `in` in German."""
    count, unit = _largest_unit(int(seconds))
    return age_words()[unit].format(count=count)


def age_words() -> dict[str, str]:
    """What `age_text` and desk.js make an age of, in the language of the page."""
    return {
        "now": _("just now"),
        "past": pgettext("age", "{distance} ago"),
        "future": pgettext("age", "in {distance}"),
        "days": pgettext("age", "{count} days"),
        "h": pgettext("age", "{count} h"),
        "min": pgettext("age", "{count} min"),
        "s": pgettext("age", "{count} s"),
    }


def span(seconds: float) -> str:
    """A number of seconds in its largest unit, rounded down: `59 s`, `1 min`, `23 h`, `2 days`."""
    count, unit = _largest_unit(int(seconds))
    match unit:
        case "days":
            return _("{count} days").format(count=number(count))
        case "h":
            return _("{count} h").format(count=count)
        case "min":
            return _("{count} min").format(count=count)
    return _("{count} s").format(count=count)


def _largest_unit(seconds: int) -> tuple[int, str]:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length * (2 if unit == "days" else 1):
            return seconds // length, unit
    return seconds, "s"


# A time in a sentence that the journal keeps: `14:05 UTC`, `2027-01-31 at 14:05 UTC`.
UTC_TIME = re.compile(r"\b(?:(\d{4}-\d{2}-\d{2}) (?:at )?)?([01]\d|2[0-3]):([0-5]\d) UTC\b", re.ASCII)


def local_times(sentence: str, near: datetime | None = None) -> str:
    """The sentence with its times in the reader's time zone. The journal keeps them in UTC, because many read it.

    A time without a date is the one nearest to `near` (without it: to now). The day is added where it is not today."""
    about = (near or timezone.now()).astimezone(UTC)

    def local(found: re.Match[str]) -> str:
        day, hour, minute = found.groups()
        try:
            when = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else about
            when = when.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
            if not day:
                when = min((when + timedelta(days=days) for days in (-1, 0, 1)), key=lambda each: abs(each - about))
            here = timezone.localtime(when)
        except (ValueError, OverflowError):
            return found[0]
        today = here.date() == timezone.localdate()
        return date_format(here, "TIME_FORMAT" if today and not day else "SHORT_DATETIME_FORMAT")

    return UTC_TIME.sub(local, str(sentence or ""))


def words(code: str | None) -> str:
    """`insufficient_funds` → `insufficient funds`, in the language of the page where that is known (`KNOWN_WORDS`)."""
    spaced = (code or "").replace("_", " ").replace(".", " ")
    return _(spaced) if spaced else ""


def masked(value: Any) -> Any:
    """The same object with its secrets replaced. A client secret, for example, lets its holder confirm a payment."""
    if isinstance(value, dict):
        return {key: "••••••" if _secret(key, member) else masked(member) for key, member in value.items()}
    if isinstance(value, list):
        return [masked(member) for member in value]
    return value


def _secret(key: str, member: Any) -> bool:
    return isinstance(member, str) and bool(member) and (key in SECRET_MEMBERS or key.endswith("_secret"))


MAX_TEXT = 20_000  # characters of a text that could not be read as an object


def masked_text(written: str) -> str:
    """A text that cannot be read as an object, with everything masked that looks like a secret or a card number. Masks
    a little more than is shown, so that no secret is cut in two and stays readable."""
    hidden = without_secrets(written[: MAX_TEXT + 1000])
    return hidden if len(written) <= MAX_TEXT else f"{hidden[:MAX_TEXT]} …"


def pretty(value: Any) -> str:
    """A raw object as indented JSON, secrets masked."""
    return json.dumps(printable(masked(value)), indent=2, ensure_ascii=False)


def web_address(value: Any) -> str:
    """The address if it begins with http:// or https://, else an empty string, so that no `javascript:` becomes a
    link."""
    return value if isinstance(value, str) and value.isascii() and value.startswith(("https://", "http://")) else ""
