"""Amounts of money as people write them: one reading for each text, and the special cases of Stripe's currencies."""

from __future__ import annotations

import itertools

import pytest
from babel.localedata import locale_identifiers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invoices import money
from invoices.money import BadAmount

ALL_LOCALES = sorted(locale_identifiers())
ONE_OF_EACH_KIND = sorted({money.marks_of(locale): locale for locale in ALL_LOCALES}.values())  # by their marks
CURRENCIES = sorted(money.ZERO_DECIMAL | money.THREE_DECIMAL | money.WHOLE_ONLY | {"usd", "eur", "huf", "twd", "afn"})

amounts = st.one_of(st.integers(1, 100_000), st.integers(1, money.MAX_MINOR_UNITS - 1))
currencies = st.sampled_from(CURRENCIES)
number_like = st.from_regex(r"\A[0-9]{1,4}([.,’' \u00a0\u202f][0-9]{1,4}){0,3}\Z")


def charged(amount: int, currency: str) -> int:
    """The nearest amount that Stripe takes in this currency."""
    step = 100 if currency in money.WHOLE_ONLY else 10 if currency in money.THREE_DECIMAL else 1
    return max(step, amount - amount % step)


def written(amount: int, currency: str, marks: tuple[str, str]) -> set[str]:
    """All the ways in which people with these marks write an amount."""
    places = money.exponent(currency)
    whole, fraction = divmod(amount, 10**places)
    decimal, group = marks
    wholes = {str(whole), f"{whole:,}".replace(",", group)}
    digits = f"{fraction:0{places}}" if places else ""
    shorter = {digits[:length] for length in range(places + 1) if not digits[length:].strip("0")}
    return {w + (decimal + d if d else "") for w, d in itertools.product(wholes, shorter)}


@settings(deadline=None)
@given(amounts, currencies, st.sampled_from(ALL_LOCALES))
@example(1_230, "kwd", "de")
@example(950, "usd", "de")
def test_what_the_desk_writes_is_read_back(amount: int, currency: str, locale: str) -> None:
    amount = charged(amount, currency)
    assert money.parse(money.text(amount, currency), currency, locale) == amount
    assert money.parse(money.typed(amount, currency, locale), currency, locale) == amount


def test_every_currency_in_every_kind_of_locale() -> None:
    for currency, locale in itertools.product(CURRENCIES, ONE_OF_EACH_KIND):
        for amount in (1_000, 1_230_00, 1_234_500):
            assert money.parse(money.typed(amount, currency, locale), currency, locale) == amount
        assert money.grammar(currency, locale).startswith("Write it like 1234")


@settings(deadline=None)
@given(number_like, currencies)
@example("1.230", "kwd")
@example("9,50", "usd")
def test_no_two_locales_read_one_text_differently(text: str, currency: str) -> None:
    for text_with_code in (text, f"{currency.upper()} {text}", f"{text} {currency}"):
        readings = set()
        for locale in ONE_OF_EACH_KIND:
            try:
                readings.add(money.parse(text_with_code, currency, locale))
            except BadAmount:
                continue
        assert len(readings) <= 1, readings


@settings(deadline=None)
@given(amounts, currencies, st.sampled_from(ONE_OF_EACH_KIND), st.sampled_from([".,", ",.", ".’", ",\u00a0"]))
@example(1_230, "kwd", "en", ".,")
@example(1_230_000, "kwd", "en", ",.")
@example(123_400, "usd", "en", ",.")
def test_nobody_can_have_meant_another_amount(amount: int, currency: str, locale: str, marks: str) -> None:
    """Whatever somebody writes for an amount, in the marks of any country: it is read as that amount or refused."""
    amount = charged(amount, currency)
    for text in written(amount, currency, (marks[0], marks[1])):
        try:
            assert money.parse(text, currency, locale) == amount, text
        except BadAmount:
            continue


@pytest.mark.parametrize(
    ("written", "currency", "amount"),
    [
        ("9.50", "usd", 950),
        ("9.5", "usd", 950),
        ("1,234", "usd", 123_400),  # USD has no three decimals: one reading
        ("1,234.50", "usd", 123_450),
        (" 1234.50\u00a0", "usd", 123_450),
        ("USD 9.50", "usd", 950),
        ("9.50 usd", "USD", 950),
        ("9.50USD", "usd", 950),
        ("0.50", "usd", 50),
        ("1,234", "jpy", 1_234),
        ("1,234", "isk", 123_400),
        ("9.50", "huf", 950),
        ("9.50", "twd", 950),
        ("1.23", "kwd", 1_230),
        ("0.500", "kwd", 500),
        ("1,234.500", "kwd", 1_234_500),
        ("1,234,000", "kwd", 1_234_000_000),
        ("KWD 1.230", "kwd", 1_230),  # as the desk shows it
    ],
)
def test_one_reading(written: str, currency: str, amount: int) -> None:
    assert money.parse(written, currency) == amount


@pytest.mark.parametrize(
    ("written", "locale", "amount"),
    [
        ("9,50", "de", 950),
        ("1.234,50", "de", 123_450),
        ("1.234", "de", 123_400),
        ("1\u202f234,50", "fr", 123_450),
        ("1\u00a0234,50", "fr", 123_450),
        ("1'234.50", "de_CH", 123_450),
        ("1’234.50", "de_CH", 123_450),
        ("1,234.50", "hi", 123_450),  # groups of three there too
        ("USD 9.50", "de", 950),  # as the desk shows it
    ],
)
def test_the_locale_s_own_marks(written: str, locale: str, amount: int) -> None:
    assert money.parse(written, "usd", locale) == amount


@pytest.mark.parametrize(
    ("written", "currency", "locale", "said"),
    [
        ("9,50", "usd", "en", "“9,50” could mean USD 9.50 or USD 950.00. Write 9.50 or 950.00."),
        ("9.50", "usd", "de", "“9.50” could mean USD 9.50 or USD 950.00. Write 9,50 or 950,00."),
        ("USD 9,50", "usd", "en", "“USD 9,50” could mean USD 9.50 or USD 950.00. Write 9.50 or 950.00."),
        ("1.234", "usd", "en", "“1.234” could mean USD 1.234 or USD 1,234.00. USD has 2 decimals. Write 1,234.00."),
        ("1,234", "usd", "de", "“1,234” could mean USD 1.234 or USD 1,234.00. USD has 2 decimals. Write 1.234,00."),
        ("1.230", "kwd", "en", "“1.230” could mean KWD 1.230 or KWD 1,230.000. Write 1.23 or 1,230.00."),
        ("1,230", "kwd", "en", "“1,230” could mean KWD 1.230 or KWD 1,230.000. Write 1.23 or 1,230.00."),
        ("9,50", "jpy", "en", "“9,50” could mean JPY 9.50 or JPY 950. JPY has no decimals. Write 950."),
        ("0,50", "usd", "en", "If you mean USD 0.50, write 0.50."),
        ("1.234,50", "usd", "en", "If you mean USD 1,234.50, write 1,234.50."),
        ("1 000", "usd", "en", "If you mean USD 1,000.00, write 1,000.00."),
        ("1 234,50", "usd", "fr", "If you mean USD 1,234.50, write 1234,50."),
        ("0.505", "usd", "en", "“0.505” is not possible. USD has 2 decimals."),
        ("1.50", "jpy", "en", "“1.50” is not possible. JPY has no decimals."),
        ("EUR 9.50", "usd", "en", "names EUR, but the invoice is in USD"),
        ("9.50 eur", "usd", "en", "names EUR, but the invoice is in USD"),
        ("0", "usd", "en", "must be more than zero"),
        ("0.00", "usd", "en", "must be more than zero"),
        ("9" * 30, "usd", "en", "larger than Stripe accepts"),
        ("10,000,000,000.00", "usd", "en", "larger than Stripe accepts"),
        ("9.50", "isk", "en", "Stripe takes only whole amounts of ISK"),
        ("1234.567", "kwd", "en", "the third decimal must be 0"),
        ("ten", "usd", "en", "Write it like 1234.50 or 1,234.50: a point for decimals, commas only between groups of"),
        ("ten", "jpy", "en", "Write it like 1234 or 1,234: JPY has no decimals, commas only between groups of three"),
        ("ten", "ugx", "en", "Write it like 1234 or 1,234: UGX has no decimals"),
        ("ten", "usd", "de", "Write it like 1234,50 or 1.234,50: a comma for decimals, points only between groups of"),
        ("ten", "usd", "fr", "Write it like 1234,50: a comma for decimals."),
    ],
)
def test_a_refusal_says_what_to_write(written: str, currency: str, locale: str, said: str) -> None:
    with pytest.raises(BadAmount) as refused:
        money.parse(written, currency, locale)
    assert said in str(refused.value)


HOSTILE = (
    "1e3|1E3|0x10|1_000|+5|-5|−5|(5)|NaN|nan|inf|Infinity|sNaN|٣|９５|1٫5|५|½|²|5.|.5|,5|5,|1,234,|.|,|1.2.3|1,2,3|"
    "1,23,456|1234,567|1,,234|1..5|1,234.5.6|1.5,234|1,0000|007|00.50|00|0,123,456|$9.50|9.50€|9.50 US|US 9.50|"
    "USD USD 9.50|USD 9.50 USD|9.50 USD 1|9.50\n9.50|9.50\x00|9.\u200b50|1\t000|1 000|1  000|1\u2009000|9.50;|9.50%|"
    "USD|9.50USDX||" + "9" * 5000 + "|1." + "0" * 5000
).split("|")


@pytest.mark.parametrize("locale", ONE_OF_EACH_KIND)
def test_what_is_no_amount_anywhere(locale: str) -> None:
    taken = {}
    for written in HOSTILE:
        try:
            taken[written] = money.parse(written, "usd", locale)
        except BadAmount as refused:
            assert len(str(refused)) < 250
    assert taken == {}


@pytest.mark.parametrize(
    ("amount", "currency", "fine"),
    [
        (900, "isk", True),
        (950, "isk", False),
        (950, "ugx", False),
        (950, "ISK", False),
        (5_120, "kwd", True),
        (5_124, "kwd", False),
        (5_124, "bhd", False),
        (950, "huf", True),  # only payouts have no decimals
        (950, "twd", True),
        (1, "jpy", True),
        (0, "usd", False),
        (-1, "usd", False),
        (money.MAX_MINOR_UNITS, "usd", False),
    ],
)
def test_amounts_in_minor_units(amount: int, currency: str, fine: bool) -> None:
    if fine:
        money.check(amount, currency)
    else:
        with pytest.raises(BadAmount):
            money.check(amount, currency)


def test_read_back_in_words() -> None:
    assert money.in_words(950, "usd") == "9.50 US dollars"
    assert money.in_words(95_000, "usd") == "950.00 US dollars"
    assert money.in_words(123_400, "jpy") == "123,400 Japanese yen"
    assert money.in_words(1_230, "kwd") == "1.230 Kuwaiti dinars"
    assert money.in_words(950, "afn").startswith("9.50 ")  # Babel's table has no decimals for it, Stripe has
