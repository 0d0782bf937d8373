"""Takes out of a text what must never reach a log, a trace or Sentry: secrets, card numbers, addresses, documents.

Whoever writes a line leaves such things out in the first place. This is for what comes by accident: inside an error's
message, an address, a line of another library.
"""

from __future__ import annotations

import re
import traceback
from functools import cache
from types import TracebackType
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DataError, IntegrityError
from django.dispatch import receiver

REDACTED = "[redacted]"
MAX_LENGTH = 2000  # characters of one text
MAX_FRAMES = 40  # of a traceback, the innermost ones
SHORTEST_SECRET = 6  # a shorter one would be found everywhere
SECRET_SETTINGS = (
    "SECRET_KEY",
    "STRIPE_SECRET_KEY",
    "STRIPE_PASS_THROUGH_KEY",
    "EMAIL_HOST_PASSWORD",
    "SENTRY_DSN",
)

_PATTERNS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b[spr]k_(?:live|test)_\w+", REDACTED),  # Stripe's keys
        (r"\bwhsec_\w+", REDACTED),
        (r"\b(\w+)_secret_\w+", rf"\1_secret_{REDACTED}"),  # client secrets of PaymentIntents
        (r"(?i)\b(bearer|basic|token)\s+[\w.~+/=-]{8,}", rf"\1 {REDACTED}"),
        (r"(?i)\botpauth://\S+", REDACTED),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", REDACTED),  # JSON web tokens, of single sign-on
        (r"\b[0-9a-f]{64}\b", REDACTED),  # the form of our API tokens
        (r"(?i)://[^/\s:@]*:[^/\s@]+@", f"://{REDACTED}@"),  # a user's password in an address
        (r"(?i)\bhttps?://(?:invoice|pay|checkout|billing)\.stripe\.com/\S+", REDACTED),  # whoever has it, may open it
        (
            r"(?i)\b([\w-]{0,40}(?:passw(?:or)?d|secret|token|api[_-]?key|authorization|cookie|sessionid|csrftoken|signature"
            r"|otp|code_verifier))(\"?'?\s*[=:]\s*)(?!\[redacted\])(\"[^\"]*\"|'[^']*'|[^\s,;&]+)",
            rf"\1\2{REDACTED}",
        ),
        (
            r"(?<![\w.!#$%&'*+=?^`{|}~-])[\w.!#$%&'*+=?^`{|}~-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+",
            REDACTED,
        ),  # e-mail addresses
        (r"[{\[]\s*\\?[\"'](?s:.){12,}", "[document]"),  # JSON, or what Python shows of a dictionary: up to its end
    )
)
# An id of Stripe's or of ours, or words in small letters: nothing above fits into such a text, and most fields are one.
_ORDINARY = re.compile(
    r"(?!.*(?:whsec_|[spr]k_|_secret_|bearer|basic|token))"
    r"(?:[a-z]{2,12}_[0-9a-zA-Z]{1,40}|[a-z]{1,20}(?:[._ ][a-z]{1,20}){0,9})",
    re.ASCII,
)
_DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”")
# The messages of these quote the value at which they failed.
_QUOTING = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, DataError, IntegrityError)


def scrubbed(text: str) -> str:
    """The text without what must not be told, and of MAX_LENGTH at most."""
    if len(text) > 2 * MAX_LENGTH:  # before the patterns, which must not be slow
        text = text[: 2 * MAX_LENGTH]
    for secret in _secrets():
        if secret in text:
            text = text.replace(secret, REDACTED)
    if _ORDINARY.fullmatch(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = _DIGITS.sub(lambda found: REDACTED if _is_card_number(found[0]) else found[0], text)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def scrubbed_value(value: Any) -> Any:
    """Of a field: a number as it is, everything else as text."""
    return value if value is None or isinstance(value, bool | int | float) else scrubbed(str(value))


@cache
def _secrets() -> tuple[str, ...]:
    """Longest first is not needed: each is replaced wherever it stands. Read once, because every field of every line
    asks for them."""
    values = [getattr(settings, name, "") for name in SECRET_SETTINGS]
    values += [*getattr(settings, "STRIPE_WEBHOOK_SECRETS", ()), settings.DATABASES["default"].get("PASSWORD") or ""]
    return tuple(value for value in values if len(value) >= SHORTEST_SECRET)


@receiver(setting_changed)  # which tests send
def _forget_secrets(**given: Any) -> None:
    _secrets.cache_clear()


def _is_card_number(text: str) -> bool:
    """13 to 19 digits with the check digit of card numbers. A moment in nanoseconds seldom has it."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = [2 * each - 9 * (each > 4) for each in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def message_of(error: BaseException) -> str:
    """What an error says, in one line. The further lines of a database's error show the row that it refused; and what
    Python's own errors quote is the value at which they failed, such as a piece of a webhook's body."""
    first, *_ = str(error).strip().splitlines() or [""]
    if isinstance(error, KeyError):
        return ""  # the key alone, which may be anything
    if isinstance(error, _QUOTING) or type(error).__module__.startswith("psycopg"):
        if isinstance(error, IntegrityError) or type(error).__name__.endswith("Violation"):
            return scrubbed(first)  # its first line names the constraint
        first = _QUOTED.sub("…", first)
    return scrubbed(first)


def named(error: BaseException) -> str:
    """The class of the error, and what it says."""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def traceback_of(error: BaseException) -> list[str]:
    """A line for each error of the chain and for each frame: file, line, function. No source, no variables."""
    lines: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        lines.append(named(each))
        lines += [f"  {frame}" for frame in _frames(each.__traceback__)]
        following = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if following is not None:
            lines.append("caused by" if each.__cause__ is not None else "while handling")
        each = following
    return lines


def _frames(tb: TracebackType | None) -> list[str]:
    found = traceback.extract_tb(tb, limit=-MAX_FRAMES) if tb else []
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in found]
