"""Reads typed values out of a Stripe object of any shape. What is absent, or of another type, is None."""

import math
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

SECRET_PATTERN = re.compile(
    r"\b(?:sk|rk|pk|whsec|ek)_\w{6,}|\b\w+_secret_\w+"  # keys and client secrets, by the form of the value
    r"|(?<=secret\":\")[^\"]+|(?<=secret\": \")[^\"]+"  # members whose name ends in `secret`
    r"|\b\d(?:[ -]?\d){12,18}\b"  # the number of a card
)
BIGINT_LIMIT = 2**63  # the first integer that a BigIntegerField cannot hold


def member(data: Any, *path: str) -> Any:
    """The value at a path, as in `member(invoice, "parent", "type")`; None where the path ends early."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def text(data: Any, *path: str, limit: int = 255) -> str | None:
    """The first `limit` characters of a string, as `storable` gives them."""
    value = member(data, *path)
    return storable(value, limit) if isinstance(value, str) else None


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
    """The id in an expandable member: it holds the id, or the expanded object."""
    value = member(data, *path)
    return text(value, "id") if isinstance(value, dict) else text(data, *path)


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
