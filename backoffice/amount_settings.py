"""Settings that give an amount of money for each currency, such as APPROVAL_THRESHOLDS: read and checked at start."""

import json
from decimal import Decimal
from typing import Any

from babel.numbers import list_currencies
from django.core.exceptions import ImproperlyConfigured

from invoices import money

DEFAULT = "default"  # for every currency that is not named
DEFAULT_DECIMALS = 2
MAX_MAJOR_UNITS = 10**12


def amounts(variable: str, written: str) -> dict[str, Decimal]:
    """Reads `{"default": 1000, "JPY": 150000}`: currency → amount in major units. The keys become lower case.

    `variable` is the name of the environment variable, for the messages. Raises ImproperlyConfigured, which names the
    key that is wrong and says what to write.
    """
    try:
        # Decimals are kept as they are written, and keys that stand twice. NaN and Infinity become text: no numbers.
        pairs = json.loads(written, object_pairs_hook=_Pairs, parse_float=Decimal, parse_constant=str)
    except ValueError as error:
        raise ImproperlyConfigured(f"{variable} is not JSON ({error}). {_example(variable)}") from error
    if not isinstance(pairs, _Pairs):
        raise ImproperlyConfigured(f"{variable} must be a JSON object. {_example(variable)}")
    known = {code.lower() for code in list_currencies()} | {DEFAULT}
    found: dict[str, Decimal] = {}
    for key, value in pairs:
        currency = key.lower()
        if currency not in known:
            raise ImproperlyConfigured(
                f"{variable}: “{key}” is not a currency. Write a code of three letters such as USD, or “{DEFAULT}”."
            )
        if currency in found:
            raise ImproperlyConfigured(f"{variable}: “{key}” stands there twice. Write each currency once.")
        found[currency] = _amount(f"{variable}: “{key}”", value, currency)
    if DEFAULT not in found:
        raise ImproperlyConfigured(
            f"{variable} has no “{DEFAULT}”, the amount for currencies that are not named. {_example(variable)}"
        )
    return found


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, with keys that stand twice."""


def _amount(name: str, value: Any, currency: str) -> Decimal:
    """The amount, checked. `name` says for the messages whose amount it is."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ImproperlyConfigured(f"{name} must be a number in major units, such as 1000, without quotation marks.")
    if not 0 <= value < MAX_MAJOR_UNITS:
        raise ImproperlyConfigured(f"{name} must be at least 0 and below {MAX_MAJOR_UNITS:,}; it is {value}.")
    amount = Decimal(value)
    places = DEFAULT_DECIMALS if currency == DEFAULT else money.exponent(currency)
    if amount != round(amount, places):
        raise ImproperlyConfigured(f"{name} is {value}; write it with at most {places} decimals.")
    return amount


def _example(variable: str) -> str:
    return f"""Write for example {variable}='{{"{DEFAULT}": 1000, "JPY": 150000}}'."""
