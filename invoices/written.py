"""What people write: cleaned before it is stored, and refused where it could deceive."""

from __future__ import annotations

import unicodedata

from invoices.operations import Invalid

# They turn the direction in which text is shown, and so could make a text seem to say what it does not.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str, parameter: str, *, most: int, called: str = "A note") -> str:
    """The text as it is stored: lines end with a line feed alone, and none is empty at the end. It may be empty.

    `most`: characters. Raises Invalid of the parameter, with a sentence that begins with what it is called.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > most:
        raise Invalid(parameter, f"{called} has at most {most:,} characters; this one has {len(text):,}.")
    if wrong := next((each for each in text if not _is_shown(each)), ""):
        raise Invalid(parameter, f"{called} has printable characters alone: please remove U+{ord(wrong):04X}.")
    return text


def _is_shown(character: str) -> bool:
    return character in "\n\t" or (character not in TURNING and unicodedata.category(character) not in ("Cc", "Cs"))
