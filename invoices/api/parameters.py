"""Request parameters as Stripe writes them: brackets in forms and addresses, the same structure in JSON.

`of_request` gives them as nested dictionaries; `flatten` gives each value its name in brackets.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from invoices.api.envelope import ApiError, empty_parameter, invalid, too_large, unknown_parameters
from invoices.models.reading import BIGINT_LIMIT, refuse_constant

MAX_BODY_BYTES = 256 * 1024  # far above the largest real request, which has a note of 5,000 characters
MAX_PARAMETERS = 1000
LONG_BODY_BYTES = 1024 * 1024  # of a view with `takes_long_lists`: 10,000 ids
LONG_PARAMETERS = 11_000
MAX_NESTING = 8  # names in `a[b][c]`: three
MAX_NAME_LENGTH = 500  # characters of a whole name, brackets included
MAX_PATHS, MAX_PATH_LENGTH = 20, 250  # of what an action's answer is to show whole
INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
BRACKETED_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
# NUL and half a surrogate pair: no database takes them as text.
UNSTORABLE_CHARACTER = re.compile("[\x00\ud800-\udfff]")

Nested = dict[str, Any]  # the values are text, numbers, lists, or further Nested


# --- from bytes to structure -----------------------------------------------------------------------------------------


def decode(raw: bytes, most: int = MAX_PARAMETERS) -> Nested:
    """`a[b]=1&c[]=2&c[]=3` → `{"a": {"b": "1"}, "c": {"0": "2", "1": "3"}}`. Raises ApiError (400)."""
    parameters: Nested = {}
    pairs = [pair for pair in raw.split(b"&") if pair]
    if len(pairs) > most:
        raise invalid(f"Invalid request: more than {most} parameters.")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _place(parameters, _text(name), _text(value))
    return parameters


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise invalid("Invalid request: the parameters are not UTF-8.") from None


def _place(parameters: Nested, name: str, value: Any) -> None:
    """Puts the value where its bracketed name says. An array's next item gets the next number as its key."""
    match = BRACKETED_NAME.fullmatch(name)
    if match is None:
        parameters[name] = value
        return
    parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    if len(parts) > MAX_NESTING:
        raise invalid("Invalid request: the parameters are nested too deeply.", match[1])
    level = parameters
    for part, following in pairwise(parts):
        level = level.setdefault(part or _open_item(level, following), {})
        if not isinstance(level, dict):
            raise invalid("Invalid object", match[1])
    last = parts[-1] or str(len(level))
    if isinstance(level.get(last), dict):  # `a[b]=1&a=2`: a filter would be passed over, such as one side of a range
        raise invalid("Invalid object", match[1])
    level[last] = value


def _open_item(array: Nested, member: str) -> str:
    """The key of the item to which `a[][member]=…` belongs: the last one, or a new one where that has the member.

    So `a[][b]=1&a[][c]=2&a[][b]=3` are two items, as Stripe reads it.
    """
    last = str(len(array) - 1)
    item = array.get(last)
    return last if member and isinstance(item, dict) and member not in item else str(len(array))


class FormParser(BaseParser):
    """`application/x-www-form-urlencoded`, as every Stripe SDK sends."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Nested:
        is_long = _takes_long_lists(parser_context)
        return decode(_read(stream, is_long), LONG_PARAMETERS if is_long else MAX_PARAMETERS)


class JsonParser(BaseParser):
    """`application/json`: an object of the same structure."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Nested:
        try:
            body = json.loads(_read(stream, _takes_long_lists(parser_context)), parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            raise invalid("Invalid request: the body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise invalid("Invalid request: the body must be a JSON object.")
        if _is_deeper(body, MAX_NESTING):
            raise invalid("Invalid request: the parameters are nested too deeply.")
        return body


def _is_deeper(body: Any, levels: int) -> bool:
    """Whether lists and objects stand in each other on more levels. It does not recurse further than that."""
    if not isinstance(body, (dict, list)):
        return False
    return levels == 0 or any(
        _is_deeper(below, levels - 1) for below in (body.values() if isinstance(body, dict) else body)
    )


def _takes_long_lists(context: Any) -> bool:
    """Whether the view that a body is parsed for takes ten thousand ids."""
    return getattr((context or {}).get("view"), "takes_long_lists", False)


def _read(stream: Any, is_long: bool) -> bytes:
    most = LONG_BODY_BYTES if is_long else MAX_BODY_BYTES
    body = stream.read(most + 1)
    if len(body) > most:
        raise too_large()
    return body


def of_request(request: Request) -> Nested:
    """All parameters of a request, from the address and from the body. Raises ApiError (400, 413).

    A GET may have a body too (`curl -X GET -d limit=3`). Stripe reads it, and a filter in it must not be passed over.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    size = int(length) if LENGTH.fullmatch(length) else 0  # `isdigit` takes `²` too, which is no number
    if size > (LONG_BODY_BYTES if _takes_long_lists(request.parser_context) else MAX_BODY_BYTES):
        raise too_large()
    parameters = decode(request.META.get("QUERY_STRING", "").encode("latin-1", errors="replace"))
    if request.method == "POST" or size:
        body: Any = request.data  # a dict, whatever parser made it
        parameters |= dict(body.items())
    return parameters


# --- from structure to names and values ------------------------------------------------------------------------------


def flatten(nested: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """`{"a": {"b": "1"}}` → `{"a[b]": "1"}`: each value under the name that Stripe uses in its error messages.

    A JSON null counts as not given. Raises ApiError for text that cannot be stored, and for an empty value.
    """
    values: dict[str, Any] = {}
    for key, item in nested.items():
        name = f"{within}[{key}]" if within else key
        if UNSTORABLE_CHARACTER.search(name):
            raise invalid("Invalid request: a parameter's name has a character that cannot be stored.")
        if len(name) > MAX_NAME_LENGTH:
            raise invalid("Invalid request: a parameter's name is too long.")
        value: Any = {str(index): member for index, member in enumerate(item)} if isinstance(item, list) else item
        if isinstance(value, dict):
            values |= flatten(value, name) if value else {name: value}
        elif value == "":
            raise empty_parameter(name)
        elif isinstance(value, str) and UNSTORABLE_CHARACTER.search(value):
            raise invalid("Invalid string: it has a character that cannot be stored.", name)
        elif value is not None:
            values[name] = value
    return values


def refuse_unknown(values: Mapping[str, Any], known: Iterable[str], integers: Collection[str] = ()) -> None:
    """Raises ApiError with the names of all parameters that are not known. Of one that is known, but has a hash or an
    array where one value belongs, or one value where a hash belongs, it says that. `integers`: which are whole numbers.
    """
    accepted = set(known)
    unknown = [name for name in values if name not in accepted]
    hashes = {name.partition("[")[0] for name in accepted if "[" in name}
    for name in unknown:
        for single in accepted - hashes:
            if name.startswith(f"{single}["):
                refuse_nested(values, single, "integer" if single in integers else "string")
        if name in hashes:
            raise invalid("Invalid object", name)
    if unknown:
        raise unknown_parameters(unknown)
    for name, value in values.items():
        if value == {}:  # of a JSON body; a filter would be passed over
            raise _not_one("integer" if name in integers else "string", name, {})


def refuse_nested(values: Mapping[str, Any], name: str, word: str) -> None:
    """Raises ApiError where a hash or an array stands in place of one value. `word`: string or integer."""
    given: Nested = {}
    for inner, value in values.items():
        if inner.startswith(f"{name}["):
            _place(given, f"it{inner.removeprefix(name)}", value)
    if given:
        raise _not_one(word, name, given["it"])


def _not_one(word: str, name: str, given: Any) -> ApiError:
    code = "parameter_invalid_integer" if word == "integer" else None
    return invalid(f"Invalid {word}: {_as_stripe_shows(given)[:200]}", name, code)


def _as_stripe_shows(value: Any) -> str:
    """A value in an error message, as Ruby writes it: `{:a=>"b"}`."""
    if isinstance(value, dict) and value and all(key.isascii() and key.isdigit() for key in value):
        return f"[{', '.join(map(_as_stripe_shows, value.values()))}]"
    if isinstance(value, dict):
        names = (f":{key}" if key.isidentifier() else f":{json.dumps(key, ensure_ascii=False)}" for key in value)
        pairs = zip(names, map(_as_stripe_shows, value.values()), strict=True)
        return f"{{{', '.join(f'{key}=>{inner}' for key, inner in pairs)}}}"
    return json.dumps(value, ensure_ascii=False)


def take_array(nested: Nested, name: str) -> list[str]:
    """Removes an array of text from the parameters and returns it. Raises ApiError.

    It may be written as `a[]=…`, as `a[0]=…`, or as a JSON list.
    """
    value = nested.pop(name, None)
    if value is None or value in ([], {}):  # a JSON list may be empty; a form cannot say so
        return []
    if isinstance(value, dict) and all(key.isascii() and key.isdigit() for key in value):
        value = list(value.values())
    if not isinstance(value, list):
        raise invalid("Invalid array", name)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise invalid(f"Invalid string: {str(item)[:50]}", f"{name}[{index}]")
    return list(flatten({name: value}).values())


def take_seconds(request: Request, nested: Nested, name: str, header: str, *, default: int, most: int) -> int:
    """How long the caller would wait: `?name=` in the address, or a header. It is no parameter of what is asked for, so
    in a body it stays where it is, and is unknown there. Raises ApiError."""
    asked = decode(request.META.get("QUERY_STRING", "").encode("latin-1", errors="replace")).get(name)
    if asked is not None and nested.get(name) == asked:
        del nested[name]
    if asked is None:
        asked = request.headers.get(header, default)
    seconds = integer(asked, name)
    if not 0 <= seconds <= most:
        raise invalid(f"Invalid {name}: it is a whole number of seconds, from 0 to {most}.", name)
    return seconds


def header_text(request: Request, name: str, most: int) -> str:
    """A text that people write, in a header: UTF-8, or Latin-1 where it is none. Empty without it. Raises ApiError."""
    text = request.headers.get(name, "")
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()  # WSGI hands over each byte as a character
    text = text.strip()
    if len(text) > most or not text.isprintable():
        raise invalid(f"Invalid {name}: at most {most} printable characters.", name)
    return text


def integer(value: Any, name: str) -> int:
    """A whole number that fits a bigint column. Raises ApiError."""
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -BIGINT_LIMIT <= value < BIGINT_LIMIT:
        raise invalid(f"Invalid integer: {str(value)[:50]}", name, "parameter_invalid_integer")
    return value


def one_of(choices: Iterable[str]) -> str:
    """`a or b`; `a, b, or c`: the way in which Stripe lists what it accepts."""
    *first, last = choices
    if len(first) > 1:
        return f"{', '.join(first)}, or {last}"
    return " or ".join([*first, last])
