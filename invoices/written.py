"""What people write: cleaned before it is stored, and refused where it could deceive."""

from __future__ import annotations

import unicodedata

from django.utils.translation import gettext as _

from invoices.operations import Invalid

# They turn the direction in which text is shown, and so could make a text seem to say what it does not.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str, parameter: str, *, most: int, called: str = "") -> str:
    """The text as it is stored: lines end with a line feed alone, and none is empty at the end. It may be empty.

    `most`: characters. Raises Invalid of the parameter, with a sentence that begins with what it is
    called: a note, unless said.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > most:
        raise Invalid(
            parameter,
            _("{what} has at most {most} characters; this one has {count}.").format(
                what=called or _("A note"), most=f"{most:,}", count=f"{len(text):,}"
            ),
        )
    if wrong := next((each for each in text if not _is_shown(each)), ""):
        raise Invalid(
            parameter,
            _("{what} has printable characters alone: please remove {character}.").format(
                what=called or _("A note"), character=f"U+{ord(wrong):04X}"
            ),
        )
    return text


def _is_shown(character: str) -> bool:
    return character in "\n\t" or (character not in TURNING and unicodedata.category(character) not in ("Cc", "Cs"))
