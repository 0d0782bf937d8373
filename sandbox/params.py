"""Form-encoded parameters with brackets: from text to typed values, refusing what Stripe refuses."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_plus

from sandbox import refusals

Value = Any
Check = Callable[[Value, str], Value]
Spec = dict[str, Check]

LARGEST = 99_999_999_999
DEEPEST = 12
INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse(text: str) -> dict[str, Value]:
    """`a[b][]=1&a[b][]=2` → `{"a": {"b": {"0": "1", "1": "2"}}}`; what is a list, its check decides."""
    root: dict[str, Value] = {}
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            place(root, unquote_plus(name), unquote_plus(value, errors="replace"))
    return root


def place(root: dict[str, Value], name: str, value: str) -> None:
    match = KEY.fullmatch(name)
    if match is None:
        root[name] = value
        return
    parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    if len(parts) > DEEPEST:
        raise refusals.invalid(f"Invalid parameter: {name[:100]} is nested too deeply", name[:100])
    here = root
    for part, following in pairwise(parts):
        here = here.setdefault(next_place(here, part, following), {})
        if not isinstance(here, dict):
            raise refusals.invalid("Invalid object", parts[0])
    here[str(len(here)) if parts[-1] == "" else parts[-1]] = value


def next_place(here: dict[str, Value], part: str, following: str) -> str:
    """`lines[][amount]=1&lines[][description]=x` goes on with the last one until a member comes again."""
    if part != "":
        return part
    last = str(len(here) - 1)
    if isinstance(here.get(last), dict) and following not in here[last]:
        return last
    return str(len(here))


def check(spec: Spec, given: dict[str, Value], within: str = "") -> dict[str, Value]:
    """Only what was given; a name that the spec does not know is refused with its full path."""
    checked = {}
    for name, value in given.items():
        path = f"{within}[{name}]" if within else name
        if name not in spec:
            raise refusals.unknown_parameter(path)
        checked[name] = spec[name](value, path)
    return checked


def quoted(value: Value) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 50 else text[:20] + "..." + text[-20:]


def text(value: Value, path: str, longest: int = 5000) -> str:
    if not isinstance(value, str):
        raise refusals.invalid(f"Invalid string: {quoted(value)}", path)
    if len(value) > longest:
        raise refusals.invalid(f"Invalid string: {quoted(value)}; must be at most {longest} characters", path)
    return value


def filled(value: Value, path: str) -> str:
    value = text(value, path)
    if not value:
        raise refusals.invalid(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            path,
            "parameter_invalid_empty",
        )
    return value


def integer(value: Value, path: str) -> int:
    number = int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else None
    if number is None or abs(number) > LARGEST:
        raise refusals.invalid(f"Invalid integer: {quoted(value)}", path, "parameter_invalid_integer")
    return number


def natural(value: Value, path: str) -> int:
    number = integer(value, path)
    if number < 0:
        raise refusals.invalid("This value must be greater than or equal to 0.", path, "parameter_invalid_integer")
    return number


def counted(value: Value, path: str) -> int:
    number = natural(value, path)
    if not 1 <= number <= 1000:
        raise refusals.invalid("This value must be from 1 to 1000.", path, "parameter_invalid_integer")
    return number


def decimal(value: Value, path: str) -> str:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise refusals.invalid(f"Invalid decimal: {quoted(value)}", path)
    return value


def boolean(value: Value, path: str) -> bool:
    if value not in ("true", "false"):
        raise refusals.invalid(f"Invalid boolean: {quoted(value)}", path)
    return bool(value == "true")


def one_of(*choices: str) -> Check:
    listing = " or ".join(choices) if len(choices) < 3 else ", ".join(choices[:-1]) + f", or {choices[-1]}"

    def checked(value: Value, path: str) -> str:
        if value not in choices:
            raise refusals.invalid(f"Invalid {path}: must be one of {listing}", path)
        return str(value)

    return checked


def hash_of(required: tuple[str, ...] = (), /, **spec: Check) -> Check:
    def checked(value: Value, path: str) -> dict[str, Value]:
        if not isinstance(value, dict):
            raise refusals.invalid("Invalid object", path)
        for name in required:
            if name not in value:
                raise refusals.required(f"{path}[{name}]")
        return check(spec, value, path)

    return checked


def array_of(item: Check) -> Check:
    def checked(value: Value, path: str) -> list[Value]:
        if not isinstance(value, dict) or not all(name.isdigit() for name in value):
            raise refusals.invalid("Invalid array", path)
        return [item(one, f"{path}[{index}]") for index, one in enumerate(value.values())]

    return checked


def clearable(inner: Check) -> Check:
    """An empty string unsets."""
    return lambda value, path: None if value == "" else inner(value, path)


def anything(value: Value, path: str) -> Value:
    return value


def moment_or_range(value: Value, path: str) -> dict[str, int]:
    if isinstance(value, dict):
        return check({"gt": integer, "gte": integer, "lt": integer, "lte": integer}, value, path)
    return {"is": integer(value, path)}


def metadata(value: Value, path: str) -> dict[str, str] | None:
    if value == "":
        return None
    if not isinstance(value, dict):
        raise refusals.invalid("Invalid hash", path)
    for name, one in value.items():
        if not isinstance(one, str):
            raise refusals.invalid("Metadata values must be strings.", f"{path}[{name}]")
        if len(name) > 40:
            raise refusals.invalid("Metadata keys can have up to 40 characters.", f"{path}[{name}]")
        if len(one) > 500:
            raise refusals.invalid(
                f"Metadata values can have up to 500 characters, but you passed in a value that is {len(one)} "
                f"characters. Invalid value: {quoted(one)}",
                f"{path}[{name}]",
            )
    if len(value) > 50:
        raise refusals.invalid("Metadata can have up to 50 keys.", path)
    return value


def merged_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """None clears everything, an empty value drops its key."""
    if given is None:
        return {}
    both = {**old, **given}
    return {name: value for name, value in both.items() if value != ""}


EXPAND: Spec = {"expand": array_of(text)}
PAGE: Spec = {"limit": integer, "starting_after": text, "ending_before": text, **EXPAND}
ADDRESS = hash_of(**{name: clearable(text) for name in ("city", "country", "line1", "line2", "postal_code", "state")})
