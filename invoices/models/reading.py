"""Reads typed values out of a Stripe object of any shape: what is absent or of another type is None, never an error."""

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

BIGINT = 2**63


def member(data: Any, *path: str) -> Any:
    """`member(invoice, "parent", "subscription_details", "subscription")`, None wherever the path ends early."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def text(data: Any, *path: str, limit: int = 255) -> str | None:
    """Without what no database stores: NUL goes, half a surrogate pair (JSON can spell it) becomes a question mark."""
    value = member(data, *path)
    if not isinstance(value, str):
        return None
    return value[:limit].replace("\x00", "").encode("utf-8", "replace").decode()


def lower(data: Any, *path: str) -> str | None:
    """For columns that people search without minding capitals."""
    value = text(data, *path, limit=512)
    return value.lower() if value is not None else None


def ident(data: Any, *path: str) -> str | None:
    """An expandable member: the id itself, or the id of the object that stands there."""
    value = member(data, *path)
    return text(value, "id") if isinstance(value, dict) else text(data, *path)


def integer(data: Any, *path: str) -> int | None:
    value = member(data, *path)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -BIGINT <= value < BIGINT else None


def flag(data: Any, *path: str) -> bool | None:
    value = member(data, *path)
    return value if isinstance(value, bool) else None


def moment(data: Any, *path: str) -> datetime | None:
    """Stripe's seconds since 1970 as an aware datetime, UTC."""
    value = integer(data, *path)
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def printable(value: Any) -> Any:
    """The same value for a page: half a surrogate pair, which no encoding can carry, becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def address(value: Any) -> str | None:
    """A network address as the database takes it; None for what is none (a socket has none)."""
    try:
        return str(ip_address(value or ""))
    except ValueError:
        return None
