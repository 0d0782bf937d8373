"""How JSON is read: by a faster parser, and to the same value as by Python's own."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoices import gateway
from invoices.models.reading import json_of, text_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)


def same(one: Any, other: Any) -> bool:
    """Also the type, the order of members and the sign of zero."""
    return repr(one) == repr(other)


@given(value=VALUES, ascii=st.booleans(), indent=st.sampled_from([None, 2]))
def test_any_value_is_what_python_reads(value: Any, ascii: bool, indent: int | None) -> None:
    written = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert same(json_of(written), json.loads(written))
    assert same(json_of(written.encode()), json.loads(written))


ODD = [
    "-0",
    "-0.0",
    "1E400",
    "-1e400",
    "1e16",
    "1.0",
    "0.1e1",
    "123456789012345678901234567890",
    "18446744073709551616",
    "9223372036854775808",
    "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072011e-308",
    '{"a": 1, "a": 2}',
    '"\\ud83d"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\/"',
    " \n[1 , 2 ]\t",
    "[" * 500 + "]" * 500,
]


@pytest.mark.parametrize("written", ODD, ids=lambda text: text[:30])
def test_what_parsers_differ_in(written: str) -> None:
    assert same(json_of(written), json.loads(written))
    assert same(json_of(written.encode()), json.loads(written))


@pytest.mark.parametrize("written", ["NaN", "Infinity", "[-Infinity]"])
def test_numbers_that_are_none(written: str) -> None:
    assert not math.isfinite(json_of(written)[0] if written.startswith("[") else json_of(written))
    with pytest.raises(ValueError):
        json_of(written, strict=True)


@pytest.mark.parametrize("written", ["", "{", "[1,]", "'a'", "01", "+1", ".5", "1.", '"\t"', "nul", "1 2", "\ufeff1"])
def test_what_is_no_json(written: str) -> None:
    for each in (written, written.encode()):
        try:
            expected = json.loads(each)
        except ValueError:
            with pytest.raises(ValueError):
                json_of(each)
        else:  # Python's parser takes bytes with a byte order mark
            assert same(json_of(each), expected)


def test_what_is_too_deep_or_too_long() -> None:
    with pytest.raises(RecursionError):
        json_of("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError):
        json_of("9" * 5000)


@given(value=VALUES.filter(lambda value: "inf" not in repr(value)), ascii=st.booleans())
def test_any_value_is_written_as_python_reads_it(value: Any, ascii: bool) -> None:
    read = json_of(json.dumps(value, ensure_ascii=ascii))
    assert same(json.loads(text_of(read)), value)


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999", "-1E999"])
@pytest.mark.parametrize("around", ["%s", '{"a": [null, %s]}', '{"a": "\\ud800", "b": %s}'])
def test_a_number_that_is_not_finite_is_never_written_as_null(written: str, around: str) -> None:
    with pytest.raises(ValueError):
        text_of(json_of(around % written))


@pytest.mark.parametrize("written", ["1" * 5000, "1e999", "[" * 20_000 + "]" * 20_000])
def test_what_could_be_read_in_part_alone_is_never_written(written: str) -> None:
    page = f'{{"data": [{{"id": "in_1", "total": 5, "more": {written}}}], "long": {"1" * 5000}}}'
    found = gateway.parsed(page.encode())
    assert found["data"][0]["total"] == 5
    with pytest.raises(ValueError):
        text_of(found["data"][0])
