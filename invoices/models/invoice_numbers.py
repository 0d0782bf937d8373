"""An invoice's number as it is compared: without dividers, and with characters that look alike as one.

People type `a1b2 c3d4/oo12` for `A1B2C3D4-0012`. One index holds the keys of all numbers, on both databases.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Func

# What people put between the parts of a number, or leave out.
DIVIDERS = " -/._#:\u00a0\u2013\u2014"
# What looks like a digit, in capital letters: O Q I L Z S G B.
_LETTERS, _DIGITS = "OQILZSGB", "00112568"
_SMALL = "".join(map(chr, range(ord("a"), ord("z") + 1)))
_FROM = _LETTERS + _SMALL
_TO = _DIGITS + _SMALL.upper().translate(str.maketrans(_LETTERS, _DIGITS))
_TABLE = str.maketrans(_FROM, _TO, DIVIDERS)


def number_key(number: str) -> str:
    """`a1b2 c3d4/oo12` → `A182C3D40012`: the same for every way of writing a number that people confuse."""
    return number.translate(_TABLE)


class NumberKey(Func):
    """`number_key` of a column, made by the database. An index holds it: what it makes must never change."""

    arity = 1
    output_field = CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, parameters = compiler.compile(self.source_expressions[0])
        return f"translate({column}, '{_FROM + DIVIDERS}', '{_TO}')", parameters

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, parameters = compiler.compile(self.source_expressions[0])
        made = f"upper({column})"
        for old, new in (*zip(_LETTERS, _DIGITS, strict=True), *((divider, "") for divider in DIVIDERS)):
            made = f"replace({made}, '{old}', '{new}')"
        return made, parameters
