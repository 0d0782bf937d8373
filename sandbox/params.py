"""Request parameters: from form-encoded text to typed values, with Stripe's refusals.

`parse` reads the brackets. Then each parameter's check converts its text or raises a Refusal: a check takes the value
and the full name of the parameter, such as `lines[0][amount]`, which the error names.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_plus

from sandbox import refusals

Value = Any
Check = Callable[[Value, str], Value]
Parameters = dict[str, Check]  # name → check: the parameters that an address or a nested hash takes

MAX_INTEGER = 99_999_999_999  # the greatest amount, in minor units
MAX_NESTING = 12  # parts in a name: `a[b][c]` has three
INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse(text: str) -> dict[str, Value]:
    """`a[b][]=1&a[b][]=2` → `{"a": {"b": {"0": "1", "1": "2"}}}`. A list stays a dict here; `array_of` converts it."""
    root: dict[str, Value] = {}
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            insert_value(root, unquote_plus(name), unquote_plus(value, errors="replace"))
    return root


def insert_value(root: dict[str, Value], name: str, value: str) -> None:
    match = NAME.fullmatch(name)
    if match is None:
        root[name] = value
        return
    parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    if len(parts) > MAX_NESTING:
        raise refusals.invalid_parameter(f"Invalid parameter: {name[:100]} is nested too deeply", name[:100])
    here = root
    for part, following in pairwise(parts):
        here = here.setdefault(key_at(here, part, following), {})
        if not isinstance(here, dict):
            raise refusals.invalid_parameter("Invalid object", parts[0])
    here[str(len(here)) if parts[-1] == "" else parts[-1]] = value


def key_at(here: dict[str, Value], part: str, following: str) -> str:
    """The key of one pair of brackets. An empty pair means the last index, or a new one where the member repeats:

    `lines[][amount]=1&lines[][description]=x&lines[][amount]=2` has two lines.
    """
    if part != "":
        return part
    last = str(len(here) - 1)
    if isinstance(here.get(last), dict) and following not in here[last]:
        return last
    return str(len(here))


def check_parameters(known: Parameters, given: dict[str, Value], within: str = "") -> dict[str, Value]:
    """The given parameters, converted. An unknown name is refused with its full path. `within` is the name so far."""
    checked = {}
    for name, value in given.items():
        path = f"{within}[{name}]" if within else name
        if name not in known:
            raise refusals.parameter_unknown(path)
        checked[name] = known[name](value, path)
    return checked


def quoted(value: Value) -> str:
    """The value as error messages show it, shortened in the middle."""
    text = value if isinstance(value, str) else inspected(value)
    return text if len(text) <= 50 else text[:20] + "..." + text[-20:]


def inspected(value: Value) -> str:
    """A hash or an array as Ruby shows it: `{:a=>"b"}`, `["b"]`."""
    if not isinstance(value, dict):
        return f'"{value}"'
    if value and all(key.isdecimal() for key in value):
        return "[" + ", ".join(inspected(one) for one in value.values()) + "]"
    return "{" + ", ".join(f":{key}=>{inspected(one)}" for key, one in value.items()) + "}"


def text(value: Value, path: str, max_characters: int = 5000) -> str:
    if not isinstance(value, str):
        raise refusals.invalid_parameter(f"Invalid string: {quoted(value)}", path)
    if len(value) > max_characters:
        raise refusals.invalid_parameter(
            f"Invalid string: {quoted(value)}; must be at most {max_characters} characters", path
        )
    return value


def not_empty(value: Value, path: str) -> str:
    value = text(value, path)
    if not value:
        raise refusals.invalid_parameter(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            path,
            "parameter_invalid_empty",
        )
    return value


def integer(value: Value, path: str) -> int:
    number = int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else None
    if number is None or abs(number) > MAX_INTEGER:
        raise refusals.invalid_parameter(f"Invalid integer: {quoted(value)}", path, "parameter_invalid_integer")
    return number


def not_negative(value: Value, path: str) -> int:
    number = integer(value, path)
    if number < 0:
        raise refusals.invalid_parameter(
            "This value must be greater than or equal to 0.", path, "parameter_invalid_integer"
        )
    return number


def one_to_thousand(value: Value, path: str) -> int:
    number = not_negative(value, path)
    if not 1 <= number <= 1000:
        raise refusals.invalid_parameter("This value must be from 1 to 1000.", path, "parameter_invalid_integer")
    return number


def decimal(value: Value, path: str) -> str:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise refusals.invalid_parameter(f"Invalid decimal: {quoted(value)}", path)
    return value


def boolean(value: Value, path: str) -> bool:
    """In any case: stripe-python before 12.0.1 sends `True`."""
    lower = value.lower() if isinstance(value, str) else ""
    if lower not in ("true", "false"):
        raise refusals.invalid_parameter(f"Invalid boolean: {quoted(value)}", path)
    return bool(lower == "true")


def one_of(*choices: str) -> Check:
    listing = " or ".join(choices) if len(choices) < 3 else ", ".join(choices[:-1]) + f", or {choices[-1]}"

    def checked(value: Value, path: str) -> str:
        if value not in choices:
            raise refusals.invalid_parameter(f"Invalid {path}: must be one of {listing}", path)
        return str(value)

    return checked


def hash_of(required: tuple[str, ...] = (), /, **members: Check) -> Check:
    def checked(value: Value, path: str) -> dict[str, Value]:
        if not isinstance(value, dict):
            raise refusals.invalid_parameter("Invalid object", path)
        for name in required:
            if name not in value:
                raise refusals.parameter_missing(f"{path}[{name}]")
        return check_parameters(members, value, path)

    return checked


def array_of(item: Check) -> Check:
    def checked(value: Value, path: str) -> list[Value]:
        if not isinstance(value, dict) or not all(name.isdigit() for name in value):
            raise refusals.invalid_parameter("Invalid array", path)
        return [item(one, f"{path}[{index}]") for index, one in enumerate(value.values())]

    return checked


def clearable(inner: Check) -> Check:
    """An optional parameter that an empty string unsets."""
    return lambda value, path: None if value == "" else inner(value, path)


def anything(value: Value, path: str) -> Value:
    return value


def time_or_range(value: Value, path: str) -> dict[str, int]:
    """`created=5` → `{"is": 5}`; `created[gte]=5` → `{"gte": 5}`. Unix seconds."""
    if isinstance(value, dict):
        return check_parameters({"gt": integer, "gte": integer, "lt": integer, "lte": integer}, value, path)
    return {"is": integer(value, path)}


def metadata(value: Value, path: str) -> dict[str, str] | None:
    if value == "":
        return None
    if not isinstance(value, dict):
        raise refusals.invalid_parameter("Invalid hash", path)
    for name, one in value.items():
        if not isinstance(one, str):
            raise refusals.invalid_parameter("Metadata values must be strings.", f"{path}[{name}]")
        if len(name) > 40:
            raise refusals.invalid_parameter("Metadata keys can have up to 40 characters.", f"{path}[{name}]")
        if len(one) > 500:
            raise refusals.invalid_parameter(
                f"Metadata values can have up to 500 characters, but you passed in a value that is {len(one)} "
                f"characters. Invalid value: {quoted(one)}",
                f"{path}[{name}]",
            )
    if len(value) > 50:
        raise refusals.invalid_parameter("Metadata can have up to 50 keys.", path)
    return value


def merged_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """None clears all keys; an empty value removes its key (Stripe docs: Metadata)."""
    if given is None:
        return {}
    both = {**old, **given}
    return {name: value for name, value in both.items() if value != ""}


EXPAND: Parameters = {"expand": array_of(text)}
PAGE: Parameters = {"limit": integer, "starting_after": text, "ending_before": text, **EXPAND}
ADDRESS = hash_of(**{name: clearable(text) for name in ("city", "country", "line1", "line2", "postal_code", "state")})
