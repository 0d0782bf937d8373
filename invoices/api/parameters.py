"""Parameters as Stripe writes them: brackets in forms and addresses, the same structure in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from invoices.api.envelope import empty_parameter, invalid, too_large, unknown_parameters

MAX_BODY = 256 * 1024  # bytes; the largest real request is a note of 5,000 characters
MAX_PAIRS = 1000
DEEPEST = 8
BIGINT = 2**63
INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what no database takes as text

Nested = dict[str, Any]


# --- from bytes to structure -----------------------------------------------------------------------------------------


def decode(raw: bytes) -> Nested:
    """`a[b]=1&c[]=2&c[]=3` → `{"a": {"b": "1"}, "c": {"0": "2", "1": "3"}}`. Raises ApiError (400)."""
    root: Nested = {}
    pairs = [pair for pair in raw.split(b"&") if pair]
    if len(pairs) > MAX_PAIRS:
        raise invalid(f"Invalid request: more than {MAX_PAIRS} parameters.")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _place(root, _text(name), _text(value))
    return root


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise invalid("Invalid request: the parameters are not UTF-8.") from None


def _place(root: Nested, name: str, value: str) -> None:
    match = NAME.fullmatch(name)
    if match is None:
        root[name] = value
        return
    parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    if len(parts) > DEEPEST:
        raise invalid("Invalid request: the parameters are nested too deeply.", match[1])
    here = root
    for part in parts[:-1]:
        here = here.setdefault(part or str(len(here)), {})
        if not isinstance(here, dict):
            raise invalid("Invalid object", match[1])
    here[parts[-1] or str(len(here))] = value


class FormParser(BaseParser):
    """`application/x-www-form-urlencoded`, as every Stripe SDK sends."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Nested:
        return decode(_read(stream))


class JsonParser(BaseParser):
    """`application/json`: an object of the same structure."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Nested:
        try:
            body = json.loads(_read(stream), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise invalid("Invalid request: the body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise invalid("Invalid request: the body must be a JSON object.")
        return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read(stream: Any) -> bytes:
    body = stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise too_large()
    return body


def given(request: Request) -> Nested:
    """All that the caller passed, in the address and in the body. Raises ApiError (400, 413)."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > MAX_BODY:
        raise too_large()
    found = decode(request.META.get("QUERY_STRING", "").encode("latin-1", errors="replace"))
    if request.method == "POST":
        body: Any = request.data  # a dict, whatever parser made it
        found |= dict(body.items())
    return found


# --- from structure to names and values ------------------------------------------------------------------------------


def flat(nested: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """`{"a": {"b": "1"}}` → `{"a[b]": "1"}`: every value under the name by which Stripe would speak of it.

    A JSON null counts as not given. Raises ApiError for text that cannot be stored, and for an empty value.
    """
    values: dict[str, Any] = {}
    for key, found in nested.items():
        name = f"{within}[{key}]" if within else key
        if UNSTORABLE.search(name):
            raise invalid("Invalid request: a parameter's name has a character that cannot be stored.")
        if len(name) > 500:
            raise invalid("Invalid request: a parameter's name is too long.")
        value: Any = {str(index): item for index, item in enumerate(found)} if isinstance(found, list) else found
        if isinstance(value, dict):
            values |= flat(value, name) if value else {name: value}
        elif value == "":
            raise empty_parameter(name)
        elif isinstance(value, str) and UNSTORABLE.search(value):
            raise invalid("Invalid string: it has a character that cannot be stored.", name)
        elif value is not None:
            values[name] = value
    return values


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises ApiError that names every parameter we do not know."""
    accepted = set(known)
    unknown = [name for name in names if name not in accepted]
    if unknown:
        raise unknown_parameters(unknown)


def take_array(nested: Nested, name: str) -> list[str]:
    """Takes an array of text out of the parameters: `a[]=…`, `a[0]=…` or a JSON list. Raises ApiError."""
    value = nested.pop(name, None)
    if value is None:
        return []
    if isinstance(value, dict) and all(key.isascii() and key.isdigit() for key in value):
        value = list(value.values())
    if not isinstance(value, list):
        raise invalid("Invalid array", name)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise invalid(f"Invalid string: {str(item)[:50]}", f"{name}[{index}]")
    return list(flat({name: value}).values())


def integer(value: Any, name: str) -> int:
    """A whole number that fits a bigint. Raises ApiError."""
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -BIGINT <= value < BIGINT:
        raise invalid(f"Invalid integer: {str(value)[:50]}", name, "parameter_invalid_integer")
    return value


def one_of(choices: Iterable[str]) -> str:
    """`a or b`; `a, b, or c`: as Stripe lists what it accepts."""
    *most, last = choices
    if len(most) > 1:
        return f"{', '.join(most)}, or {last}"
    return " or ".join([*most, last])
