"""What an action can be told: the kinds of parameters, and how each is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from invoices import clock, money
from invoices.operations.refusals import Invalid

MAX_TEXT_LENGTH = 5000  # Stripe's limit for a string parameter


@dataclass(frozen=True)
class Parameter:
    """What an action can be told. Its kind says how it is asked for and checked: flag, text, id, payment_method,
    money (minor units), date (ISO), choice."""

    name: str  # as in Stripe's API and in ours
    kind: str
    label: str
    help: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    placeholder: str = ""  # how a value begins, such as "pi_…"
    one_of: str = ""  # said beside the fields of which exactly one is needed
    future: bool = False  # whether a date may lie in the future
    suggests_whole: bool = True  # whether a form suggests all that remains as the amount

    @property
    def missing(self) -> str:
        """Said where it is required, and was not given."""
        return self.says(_("{word} is missing."))

    def says(self, sentence: str, **values: Any) -> str:
        """A sentence about its value. In it `word` stands for its label."""
        return sentence.format(word=_(self.label), **values)

    def clean(self, value: Any) -> Any:
        """The value as it will be stored and sent. Raises Invalid with this parameter's name."""
        return _CLEAN[self.kind](self, value)


def boolean(value: Any) -> bool | None:
    """A boolean of JSON, or text in any case: stripe-python before 12.0.1 sends `True`. None: it is neither."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _flag(parameter: Parameter, value: Any) -> bool:
    flag = boolean(value)
    if flag is None:
        raise Invalid(parameter.name, _("Invalid boolean: {value}").format(value=str(value)[:50]))
    return flag


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(parameter.name, parameter.says(_("{word} must be text.")))
    if len(value) > MAX_TEXT_LENGTH:
        message = _("{word} is longer than {number} characters; please shorten it.")
        raise Invalid(parameter.name, parameter.says(message, number=MAX_TEXT_LENGTH))
    if "\x00" in value:
        raise Invalid(parameter.name, parameter.says(_("{word} contains a character that cannot be stored.")))
    return value.strip()


def _money(parameter: Parameter, value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(parameter.name, _("Invalid integer: {value}").format(value=value))
    if value <= 0:
        raise Invalid(parameter.name, parameter.says(_("{word} must be more than zero, in minor units.")))
    if value >= money.MAX_MINOR_UNITS:
        raise Invalid(parameter.name, parameter.says(_("{word} is too large.")))
    return value


def _date(parameter: Parameter, value: Any) -> str:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise Invalid(parameter.name, parameter.says(_("{word} must be a date like 2026-01-31."))) from None
    if not parameter.future and day > clock.now().date():
        raise Invalid(parameter.name, parameter.says(_("{word} lies in the future.")))
    if day.year < 2000:
        raise Invalid(parameter.name, parameter.says(_("{word} lies too far in the past.")))
    return day.isoformat()


def _choice(parameter: Parameter, value: Any) -> str:
    if value not in parameter.choices:
        choices = ", ".join(_(choice) for choice in parameter.choices)
        raise Invalid(parameter.name, parameter.says(_("{word} must be one of {choices}."), choices=choices))
    return value


_CLEAN: dict[str, Callable[[Parameter, Any], Any]] = {
    "flag": _flag,
    "text": _text,
    "id": _text,
    "payment_method": _text,
    "money": _money,
    "date": _date,
    "choice": _choice,
}
