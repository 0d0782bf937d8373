"""Stripe's search query language (https://docs.stripe.com/search#search-query-language): text to clauses, and back.

A query is one level: at most ten clauses, all joined by AND (a space means AND) or all by OR, without parentheses.
Which fields there are, and what each takes, is in `conditions.py`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from django.utils.translation import gettext as _

MAX_CLAUSES = 10  # Stripe's number
MAX_LENGTH = 5000  # characters; Stripe's number
MAX_DIGITS = 18  # of a number: any amount, and any time, and no more than a column can hold

Operator = Literal[":", "~", ">", "<", ">=", "<="]
OPERATORS: tuple[Operator, ...] = (">=", "<=", ":", "~", ">", "<")  # the longer ones first

SPACE = re.compile(r"\s*")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*", re.ASCII)
NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
AFTER_VALUE = re.compile(r"\s|\Z")
ESCAPED = re.compile(r"\\([\\\"'])")
QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
# NUL and half a surrogate pair: no database takes them as text.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class QueryError(Exception):
    """The text is no query. `position`: the character at which it is wrong, from 1. Its sentence is in the language of
    the page; /v1 has none, and answers in English."""

    def __init__(self, problem: str, position: int) -> None:
        said = _("We were unable to parse your search query at character {position}: {problem}")
        super().__init__(said.format(position=position, problem=problem))
        self.position = position


@dataclass(frozen=True)
class Clause:
    """`field:"value"`, or the rows that do not match it."""

    field: str  # in small letters
    key: str | None  # of `metadata["key"]`
    operator: Operator
    value: str | int | None  # what stood in quotation marks, a bare number, or `null`
    negated: bool = False
    position: int = dataclasses.field(default=1, compare=False)  # of the first character, from 1
    operator_position: int = dataclasses.field(default=1, compare=False)
    value_position: int = dataclasses.field(default=1, compare=False)

    def __str__(self) -> str:
        key = "" if self.key is None else f"[{_quoted(self.key)}]"
        return f"{'-' if self.negated else ''}{self.field}{key}{self.operator}{_written(self.value)}"


@dataclass(frozen=True)
class Query:
    """The clauses, of which all must match, or with `any_of` one of them."""

    clauses: tuple[Clause, ...]
    any_of: bool = False  # False where there is only one clause

    def __str__(self) -> str:
        return (" OR " if self.any_of else " AND ").join(map(str, self.clauses))


def parse(text: str) -> Query:
    """The query that the text spells. Raises QueryError."""
    if len(text) > MAX_LENGTH:
        raise QueryError(_("a query has at most {most} characters.").format(most=MAX_LENGTH), MAX_LENGTH + 1)
    if unstorable := UNSTORABLE.search(text):
        raise QueryError(_("this character cannot be searched for."), unstorable.start() + 1)
    return _Parser(text).query()


def _written(value: str | int | None) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Parser:
    """Reads the text from left to right. `place` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def query(self) -> Query:
        self._skip_space()
        if self.place == len(self.text):
            self._fail(_('the query is empty. Write a clause, such as status:"open".'))
        clauses, joined_by = [self._clause()], ""
        while self._skip_space() < len(self.text):
            joined_by = self._joint(joined_by)
            if len(clauses) == MAX_CLAUSES:
                self._fail(_("a query has at most {most} clauses.").format(most=MAX_CLAUSES))
            clauses.append(self._clause())
        return Query(tuple(clauses), any_of=joined_by == "OR")

    def _joint(self, before: str) -> str:
        """Reads AND, OR or nothing, which is AND. All joints of a query are the same."""
        start, word = self.place, WORD.match(self.text, self.place)
        found = "AND"
        if word and word[0].upper() in ("AND", "OR"):
            found = word[0].upper()
            self.place = word.end()
            self._skip_space()
        if before and before != found:
            said = _("{word} cannot stand in one query with {other}. Join all clauses by the same word.")
            if self.place == start:
                said = _(
                    "a space, which means AND, cannot stand in one query with {other}. Join all clauses by the same "
                    "word."
                )
            self._fail(said.format(word=found, other=before), start)
        return found

    def _clause(self) -> Clause:
        position = self.place
        negated = self._take("-")
        if self.text[self.place : self.place + 1] in ("(", ")"):
            self._fail(_("parentheses are not supported. Join all clauses by AND, or all by OR."))
        word = WORD.match(self.text, self.place)
        if word is None:
            self._fail(self._and_found(_('expected a field, such as status or metadata["key"].')))
        if word[0].upper() in ("AND", "OR"):
            self._fail(_("expected a clause, and found {word}.").format(word=word[0]))
        self.place = word.end()
        key = self._key() if self._take("[") else None
        self._skip_space()
        operator_position = self.place
        operator = next((each for each in OPERATORS if self._take(each)), None)
        if operator is None:
            said = _("expected an operator after {word}: one of : ~ > < >= <=.").format(word=word[0])
            self._fail(self._and_found(said))
        self._skip_space()
        value_position = self.place
        value = self._value()
        if not AFTER_VALUE.match(self.text, self.place):
            self._fail(self._and_found(_("expected a space, AND or OR after the value.")))
        places = (position + 1, operator_position + 1, value_position + 1)
        return Clause(word[0].lower(), key, operator, value, negated, *places)

    def _key(self) -> str:
        self._skip_space()
        key = self._string(_('expected a key in quotation marks, as in metadata["key"].'))
        self._skip_space()
        if not self._take("]"):
            self._fail(self._and_found(_("expected ] after the key.")))
        return key

    def _value(self) -> str | int | None:
        if word := WORD.match(self.text, self.place):
            if word[0].lower() != "null":
                self._fail(_('text needs quotation marks: "{word}".').format(word=word[0]))
            self.place = word.end()
            return None
        if number := NUMBER.match(self.text, self.place):
            if len(number[0].lstrip("-")) > MAX_DIGITS:
                self._fail(_("a number has at most {most} digits.").format(most=MAX_DIGITS))
            if self.text[number.end() : number.end() + 1] == ".":
                self._fail(_("expected a whole number: amounts are in minor units, times in seconds since 1970."))
            self.place = number.end()
            return int(number[0])
        return self._string(_("expected a value: text in quotation marks, a whole number, or null."))

    def _string(self, expected: str) -> str:
        quoted = QUOTED.match(self.text, self.place)
        if quoted is None:
            if self.text[self.place : self.place + 1] in ("'", '"'):
                self._fail(_('the quotation mark is never closed. Inside quotation marks write \\" for one.'))
            self._fail(self._and_found(expected))
        if not quoted[0][1:-1]:
            self._fail(_("nothing stands between the quotation marks. To find where a field is empty, write null."))
        self.place = quoted.end()
        return ESCAPED.sub(r"\1", quoted[0][1:-1])

    # --- characters ---------------------------------------------------------------------------------------------

    def _skip_space(self) -> int:
        """The place of the next character that is no space."""
        found = SPACE.match(self.text, self.place)
        self.place = found.end() if found else self.place
        return self.place

    def _take(self, expected: str) -> bool:
        if not self.text.startswith(expected, self.place):
            return False
        self.place += len(expected)
        return True

    def _and_found(self, expected: str) -> str:
        """A sentence of what was expected, and one of what stands there."""
        found = self.text[self.place : self.place + 1]
        there = _("Found {character}").format(character=found) if found else _("The query ends here.")
        return f"{expected} {there}"

    def _fail(self, problem: str, place: int | None = None) -> NoReturn:
        raise QueryError(problem, (self.place if place is None else place) + 1)
