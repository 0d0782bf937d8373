"""Reads typed values out of a Stripe object of any shape. What is absent, or of another type, is None."""

import json
import math
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, TypeGuard

import msgspec

SECRET_PATTERN = re.compile(
    r"\b(?:sk|rk|pk|whsec|ek)_\w{6,}|\b\w+_secret_\w+"  # keys and client secrets, by the form of the value
    r"|(?<=secret\":\")[^\"]+|(?<=secret\": \")[^\"]+"  # members whose name ends in `secret`
    r"|\b\d(?:[ -]?\d){12,18}\b"  # the number of a card
)
BIGINT_LIMIT = 2**63  # the first integer that a BigIntegerField cannot hold
MAX_ID_LENGTH = 255  # characters, as in the key columns
# Stripe's ids are letters, digits and underscores; those that a company brought from elsewhere may have a little more.
# None has what ends a part of an address (`/`, `?`, `#`, `%`), a space or a line.
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+=~-]*", re.ASCII)
# What ends a line or steers a terminal: no value of one line has it.
CONTROL_CHARACTER = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]")
# One for all, because `json.dumps` makes a new one for every call that names how it is to write.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def member(data: Any, *path: str) -> Any:
    """The value at a path, as in `member(invoice, "parent", "type")`; None where the path ends early."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def text(data: Any, *path: str, limit: int = 255) -> str | None:
    """The first `limit` characters of a string as one line, as `storable` gives them."""
    value = member(data, *path)
    if not isinstance(value, str):
        return None
    if len(value) <= limit and value.isascii() and value.isprintable():
        return value  # as nearly all are: what follows would change nothing, and takes ten times as long
    return one_line(storable(value, limit))


def one_line(value: str) -> str:
    """The text with a space for each control character and each end of a line, of whatever alphabet."""
    return CONTROL_CHARACTER.sub(" ", value)


def is_id(value: Any) -> TypeGuard[str]:
    """Whether this can be a key, and a part of an address: not longer than the column, of the characters of `ID`."""
    return isinstance(value, str) and len(value) <= MAX_ID_LENGTH and bool(ID.fullmatch(value))


def storable(value: str, limit: int) -> str:
    """The first `limit` characters, as a database can store them.

    NUL is removed, and half a surrogate pair, which JSON can spell, becomes a question mark.
    """
    return value[:limit].replace("\x00", "").encode("utf-8", "replace").decode()


def without_secrets(written: str) -> str:
    """A text with everything masked that looks like a secret or a card number."""
    return SECRET_PATTERN.sub("••••••", written)


def lower(data: Any, *path: str) -> str | None:
    """In small letters, for columns that are searched without regard to case."""
    value = text(data, *path, limit=512)
    return value.lower() if value is not None else None


def expandable_id(data: Any, *path: str) -> str | None:
    """The id in an expandable member: it holds the id, or the expanded object. None for what is no id."""
    value = member(data, *path)
    found = value.get("id") if isinstance(value, dict) else value
    return found if is_id(found) else None


def integer(data: Any, *path: str) -> int | None:
    """An integer that a BigIntegerField can hold."""
    value = member(data, *path)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -BIGINT_LIMIT <= value < BIGINT_LIMIT else None


def flag(data: Any, *path: str) -> bool | None:
    """A JSON true or false."""
    value = member(data, *path)
    return value if isinstance(value, bool) else None


def moment(data: Any, *path: str) -> datetime | None:
    """Stripe's seconds since 1970 as an aware UTC datetime."""
    value = integer(data, *path)
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None


class NotFinite(float):
    """A number that JSON does not have, or that no float can hold. A type of its own, because `text_of` would make
    null of Python's own `nan`."""


def float_of(written: str) -> float:
    """For json.loads as `parse_float`: Python's parser makes infinity of a number that is too large."""
    value = float(written)
    return value if math.isfinite(value) else NotFinite(value)


def json_of(written: str | bytes, *, strict: bool = False) -> Any:
    """The value that a JSON text spells, as Python's own parser reads it: integers of any size are exact, and what is
    not finite is NotFinite. `strict`: NaN and Infinity are refused. Raises ValueError, RecursionError.

    msgspec takes a third of the time. What it refuses, Python's parser may read: half a surrogate pair, a number too
    large for a float.
    """
    try:
        return msgspec.json.decode(written)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json.loads(written, parse_constant=refuse_constant if strict else NotFinite, parse_float=float_of)


def text_of(value: Any) -> str:
    """The JSON text of a value that `json_of` read, compact. Raises ValueError for NotFinite, which no reader takes.

    msgspec takes a tenth of the time. What it refuses, Python's encoder may write: half a surrogate pair.
    """
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return ascii_text_of(value)


def ascii_text_of(value: Any) -> str:
    """The JSON text of a value, compact and always spelled in the same way: as Python does, in ASCII. Raises ValueError
    for what is not finite."""
    return _ENCODER.encode(value)


def refuse_constant(name: str) -> None:
    """For json.loads as `parse_constant`: Python's parser accepts NaN and Infinity, which are not JSON.

    Raises ValueError.
    """
    raise ValueError(f"{name} is not JSON")


def storable_json(value: Any) -> Any:
    """The same JSON value as every database can store it: text as `storable` gives it, and a number that is not finite
    as text."""
    if isinstance(value, str):
        return storable(value, len(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {storable(key, len(key)): storable_json(item) for key, item in value.items()}
    return [storable_json(item) for item in value] if isinstance(value, list) else value


def printable(value: Any) -> Any:
    """The same JSON value for a page: half a surrogate pair, which UTF-8 cannot encode, becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def address(value: Any) -> str | None:
    """An IP address as the database stores it; None for anything else, such as the empty address of a Unix socket."""
    try:
        return str(ip_address(value or ""))
    except ValueError:
        return None
