"""Settings with an amount for each currency are checked at start; a wrong one is named, and never ignored."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from backoffice.amount_settings import amounts

HOUSE = Path(__file__).parent.parent


def test_upper_and_lower_case_are_one() -> None:
    found = amounts("APPROVAL_THRESHOLDS", '{"default": 1000, "USD": 2500.10, "jpy": 150000, "Kwd": 0.005, "eur": 0}')
    assert found == {
        "default": Decimal(1000),
        "usd": Decimal("2500.10"),
        "jpy": Decimal(150_000),
        "kwd": Decimal("0.005"),
        "eur": Decimal(0),
    }
    assert Decimal(str(found["usd"])) == Decimal("2500.1")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "APPROVAL_THRESHOLDS is not JSON"),
        ("1000", "must be a JSON object"),
        ('[["default", 1000]]', "must be a JSON object"),
        ("{}", "has no “default”"),
        ('{"usd": 1000}', "has no “default”"),
        ('{"default": 1000, "USB": 5}', "“USB” is not a currency"),
        ('{"default": 1000, "us dollars": 5}', "“us dollars” is not a currency"),
        ('{"default": 1000, "usd ": 5}', "“usd ” is not a currency"),
        ('{"default": 1000, "": 5}', "“” is not a currency"),
        ('{"default": 1000, "USD": 5, "usd": 6}', "“usd” stands there twice"),
        ('{"default": 1000, "usd": 5, "usd": 6}', "“usd” stands there twice"),
        ('{"default": 1000, "DEFAULT": 6}', "“DEFAULT” stands there twice"),
        ('{"default": "1000"}', "“default” must be a number"),
        ('{"default": true}', "“default” must be a number"),
        ('{"default": null}', "“default” must be a number"),
        ('{"default": {}}', "“default” must be a number"),
        ('{"default": NaN}', "“default” must be a number"),
        ('{"default": Infinity}', "“default” must be a number"),
        ('{"default": 1000, "eur": -1}', "“eur” must be at least 0"),
        ('{"default": 1e400}', "“default” must be at least 0 and below"),
        ('{"default": 1000, "jpy": 0.5}', "“jpy” is 0.5; write it with at most 0 decimals"),
        ('{"default": 1000, "usd": 9.505}', "“usd” is 9.505; write it with at most 2 decimals"),
        ('{"default": 9.505}', "“default” is 9.505; write it with at most 2 decimals"),
    ],
)
def test_what_is_wrong_is_named(written: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured) as wrong:
        amounts("APPROVAL_THRESHOLDS", written)
    assert said in str(wrong.value) and "APPROVAL_THRESHOLDS" in str(wrong.value)


@pytest.mark.parametrize("variable", ["APPROVAL_THRESHOLDS", "APPROVAL_DAILY_ALLOWANCES"])
def test_a_process_with_a_wrong_setting_does_not_start(variable: str) -> None:
    started = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=HOUSE,
        env={**os.environ, variable: '{"default": 1000, "USB": 5}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0 and f"{variable}: “USB” is not a currency" in started.stderr


def test_the_defaults(settings: Any) -> None:
    assert settings.APPROVAL_THRESHOLDS == {"default": 1000}
    assert settings.APPROVAL_DAILY_ALLOWANCES == {"default": 5000}
