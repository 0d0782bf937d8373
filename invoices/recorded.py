"""Sentences that are kept in the journal: written in English, shown in the reader's language.

The journal speaks one language, because everybody reads it, scripts compare it, and its rows never change. A page shows
such a sentence in its reader's language by finding the message of the catalog that it was made from.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from babel.messages.mofile import read_mo
from django.conf import settings
from django.utils import translation

from invoices import money

ENGLISH = "en"
MIN_LETTERS = 8  # of a message besides its placeholders: one with fewer fits almost every sentence
# Characters of a sentence that is compared with messages that have values. None of ours is longer. A person's reason of
# 2,000 characters, written for it, took a minute: each placeholder of a message may end at every place.
MAX_LENGTH = 500
# Of these placeholders the value is a text of the desk's own, and is shown in the reader's language too.
TRANSLATED = {"action", "word", "sentence"}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z“])")
_AMOUNT = re.compile(r"([A-Z]{3}) ([0-9]{1,3}(?:,[0-9]{3})*(?:\.[0-9]{2,3})?)", re.ASCII)


def in_english() -> AbstractContextManager[None]:
    """For the time of the block messages are made in English: around the writing of what the journal keeps."""
    return translation.override(ENGLISH)


def shown(sentence: str) -> str:
    """A kept sentence in the language of the page. What the desk did not write itself, such as Stripe's reason, stays
    as it is."""
    language = translation.get_language() or ENGLISH
    return str(sentence or "") if language == ENGLISH else _shown(str(sentence or ""), language)


@lru_cache(maxsize=4096)
def _shown(sentence: str, language: str) -> str:
    # One by one first: a value at the end of the first sentence's message would swallow the second sentence.
    parts = _SENTENCE_END.split(sentence)
    found = [_whole(part, language) for part in parts]
    if None in found:
        return _whole(sentence, language) or " ".join(new or old for new, old in zip(found, parts, strict=True))
    return " ".join(filter(None, found))


def _whole(sentence: str, language: str) -> str | None:
    """The sentence in this language; None where no message of the catalog is like it."""
    if not sentence:
        return None
    exact = translation.gettext(sentence)
    if exact != sentence:
        return exact
    for pattern, message in _patterns(language) if len(sentence) <= MAX_LENGTH else ():
        found = pattern.fullmatch(sentence)
        if found is not None:
            values = found.groupdict()
            return message.format(**{name: _value(name, value, language) for name, value in values.items()})
    # A reason that was chosen from ours, and what somebody wrote after it.
    chosen, colon, written = sentence.partition(": ")
    reason = translation.gettext(chosen) if colon and chosen else chosen
    return f"{reason}: {written}" if reason != chosen else None


def _value(name: str, value: str, language: str) -> str:
    if name in TRANSLATED:
        return _shown(value, language)
    amount = _AMOUNT.fullmatch(value)
    if amount is None:
        return value
    try:
        return money.in_language(money.parse(value, amount[1]), amount[1], language)
    except money.BadAmount:
        return value


@lru_cache(maxsize=8)
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """What each message with placeholders looks like when they are filled, the one with most text of its own first."""
    found = []
    for folder in settings.LOCALE_PATHS:
        with (folder / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
            for message in read_mo(file):
                for one, other in zip(_forms(message.id), _forms(message.string), strict=False):
                    if _is_telling(one, other):
                        found.append((_letters(one), _pattern(one), other))
    found.sort(key=lambda each: -each[0])
    return [(pattern, message) for _, pattern, message in found]


def _forms(text: Any) -> tuple[str, ...]:
    """A message's text, or its singular and its plural."""
    return tuple(text) if isinstance(text, tuple | list) else (str(text or ""),)


def _is_telling(message: str, translated: str) -> bool:
    """Whether a filled message can be known again: enough of it is text, and the other language has the same values."""
    names = set(_PLACEHOLDER.findall(message))
    return bool(names) and names >= set(_PLACEHOLDER.findall(translated)) and _letters(message) >= MIN_LETTERS


def _letters(message: str) -> int:
    return sum(map(str.isalpha, _PLACEHOLDER.sub("", message)))


def _pattern(message: str) -> re.Pattern[str]:
    seen: set[str] = set()
    pattern = ""
    for number, part in enumerate(_PLACEHOLDER.split(message)):
        if number % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>.+?)"
            seen.add(part)
    return re.compile(pattern, re.DOTALL)
