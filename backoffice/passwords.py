"""Rules for passwords, beyond Django's: repeated words, rows of keys, names of the desk, names of the person."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

ROWS = (
    "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
    "1234567890", "abcdefghijklmnopqrstuvwxyz", "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)  # fmt: skip
LEAST_OF_A_ROW = 4  # characters that follow each other on a keyboard
DESK_WORDS = ("password", "passwort", "invoice", "stripe", "desk", "agent", "manager", "auditor", "admin", "welcome")
LEAST_LEFT = 6  # characters that must be left without rows, repetitions and words that anybody tries
LEAST_DIFFERENT = 5  # different characters
_SWAPPED = str.maketrans("013457$@!", "oleastsai")


class GuessableValidator:
    """Refuses what little remains of once repeated words, rows of keys, years, the desk's own words and the person's
    names are taken out."""

    def validate(self, password: str, user: Any = None) -> None:
        plain = password.casefold()
        if len(set(plain)) < LEAST_DIFFERENT:
            raise ValidationError(_("The password has too few different characters."), code="password_monotonous")
        if _repeats(plain):
            raise ValidationError(_("The password is a word that is repeated."), code="password_repeated")
        if min(len(_left(text, user)) for text in (plain, plain.translate(_SWAPPED))) < LEAST_LEFT:
            raise ValidationError(
                _(
                    "The password is made of names, common words or rows of keys. Take several words that do not "
                    "belong together."
                ),
                code="password_guessable",
            )

    def get_help_text(self) -> str:
        return _(
            "Not a repeated word, a row of keys, a word such as “invoice” or “agent” with a number, or your own name. "
            "Several words that do not belong together are good."
        )


def _repeats(plain: str) -> bool:
    return bool(re.fullmatch(r"(.{1,32}?)[\W\d_]*(\1[\W\d_]*)+", plain))


def _left(plain: str, user: Any) -> str:
    """What is left of it without all that anybody would try."""
    for name in sorted((*DESK_WORDS, *_names(user)), key=len, reverse=True):
        plain = plain.replace(name, " ")
    for row in ROWS:
        for text in (row, row[::-1]):
            plain = _without_row(plain, text)
    plain = re.sub(r"(19|20)\d\d", " ", plain)
    plain = re.sub(r"(.)\1{2,}", r"\1", plain)
    return re.sub(r"[\W_]", "", plain)


def _without_row(plain: str, row: str) -> str:
    for length in range(min(len(row), len(plain)), LEAST_OF_A_ROW - 1, -1):
        for begin in range(len(row) - length + 1):
            plain = plain.replace(row[begin : begin + length], " ")
    return plain


def _names(user: Any) -> list[str]:
    said = [str(getattr(user, name, "") or "") for name in ("username", "first_name", "last_name", "email")]
    parts = {part for text in said for part in re.split(r"[^a-z0-9]+", text.casefold())}
    return [part for part in parts if len(part) >= 3]
