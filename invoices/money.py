"""Amounts of money: minor units ↔ text, by currency. Everywhere else amounts are integers, in minor units."""

import re
from decimal import Decimal
from typing import NamedTuple

from babel import Locale
from babel.numbers import format_currency
from django.utils.translation import get_language
from django.utils.translation import gettext as _


def gettext_noop(message: str) -> str:
    """Marks a message for the catalog. Django's own asks the settings, which read this module while they are made: they
    would then be half made, and count as whole where what follows refuses to start."""
    return message


# From Stripe's documentation of currencies ("Zero-decimal currencies", "Three-decimal currencies", "Special cases").
# Babel's own table is not used: it gives ISK and UGX no decimals, but Stripe takes both in hundredths that are always
# zero. HUF and TWD stand in no table: charged amounts have two decimals, only payouts have none, and the desk makes no
# payouts.
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
WHOLE_ONLY = frozenset("isk ugx".split())
MAX_MINOR_UNITS = 10**12  # an amount must be below it

PLAIN = "en"  # how the journal and /v1 write amounts, and how they are typed on the command line
MAX_LENGTH = 40  # characters of what is typed
TOO_LARGE = gettext_noop("The amount is larger than Stripe accepts.")


class BadAmount(ValueError):
    """The text or the number is not an amount that Stripe takes. The message tells a person what to write instead."""


class Marks(NamedTuple):
    """The marks with which a locale writes amounts."""

    decimal: str
    group: str


POINT_AND_COMMA = Marks(".", ",")
# Only the point and the comma are decimal mark to one reader and grouping mark to another.
CONFUSABLE = (POINT_AND_COMMA, Marks(",", "."))
# Characters that look alike become one, so that a copied text and a typed one are the same.
_ALIKE = str.maketrans({"\u202f": "\u00a0", "'": "’"})
_DECIMAL_RULES = {".": gettext_noop("a point for decimals"), ",": gettext_noop("a comma for decimals")}
# Of the marks that a keyboard has.
_GROUP_RULES = {
    ".": gettext_noop("points only between groups of three digits"),
    ",": gettext_noop("commas only between groups of three digits"),
    "’": gettext_noop("apostrophes only between groups of three digits"),
}
# The signs that people write before and behind amounts. Those that many currencies have stand for none.
_SIGNS = {"€": "EUR", "£": "GBP", "$": "", "¥": ""}


def exponent(currency: str) -> int:
    """How many decimals Stripe's minor unit of this currency has: 0, 2 or 3."""
    code = currency.lower()
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def check(amount: int, currency: str) -> None:
    """Raises BadAmount for an amount, in minor units, that Stripe takes in no request. ISK and UGX have hundredths that
    are always zero, three-decimal currencies a third decimal that is always zero."""
    code = currency.upper()
    if amount <= 0:
        raise BadAmount(_("The amount must be more than zero."))
    if amount >= MAX_MINOR_UNITS:
        raise BadAmount(_(TOO_LARGE))
    if currency.lower() in WHOLE_ONLY and amount % 100:
        whole = _("Stripe takes only whole amounts of {currency} (in minor units: multiples of 100).")
        raise BadAmount(whole.format(currency=code))
    if currency.lower() in THREE_DECIMAL and amount % 10:
        steps = _(
            "Stripe takes {currency} in steps of 0.010; the third decimal must be 0 (in minor units: multiples of 10)."
        )
        raise BadAmount(steps.format(currency=code))


# --- written ----------------------------------------------------------------------------------------------------------


def major(amount: int, currency: str) -> Decimal:
    """Minor units as a Decimal in major units: 1050 usd → 10.50."""
    return Decimal(amount).scaleb(-exponent(currency))


def text(amount: int | None, currency: str | None) -> str:
    """An amount with its currency, for people, as the language of the page writes it: `USD 1,234.50`, or
    `1.234,50 USD`. Where no page is being made it is as `plain`. An absent amount is a dash."""
    return in_language(amount, currency, get_language() or PLAIN)


def plain(amount: int | None, currency: str | None) -> str:
    """An amount as the journal, /v1 and the command line write it: `USD 1,234.50`. An absent amount is a dash."""
    if amount is None or not currency:
        return "–"
    number = format_currency(
        major(amount, currency), currency.upper(), format=_pattern(currency), locale="en_US", currency_digits=False
    )
    return f"{currency.upper()} {number}"


def in_language(amount: int | None, currency: str | None, locale: str) -> str:
    """An amount as this language writes it: `1.234,50 EUR` in German. In English as `plain`."""
    if amount is None or not currency or locale == PLAIN:
        return plain(amount, currency)
    number = format_currency(
        major(amount, currency), currency.upper(), format=_pattern(currency), locale=locale, currency_digits=False
    )
    return f"{number} {currency.upper()}"


def in_words(amount: int, currency: str) -> str:
    """An amount with the currency's name, to read back what was typed: `1,234.50 US dollars`."""
    # The pattern is given, because Babel would round currencies that have fewer decimals in its table than at Stripe.
    return format_currency(
        major(amount, currency),
        currency.upper(),
        format=_pattern(currency),
        locale=get_language() or PLAIN,
        currency_digits=False,
        format_type="name",
    )


def typed(amount: int, currency: str, locale: str = PLAIN) -> str:
    """An amount as a person with this locale types it, without the code: `1,234.50`. `parse` reads it back.

    Groups are left out where they are separated by a blank, which no keyboard has as `parse` takes it. A third decimal
    is left out where it is zero, because `1.230` could be read as more than a thousand.
    """
    marks, places = marks_of(locale), exponent(currency)
    whole, fraction = divmod(amount, 10**places)
    written = f"{whole:,}".replace(",", marks.group if marks.group in _GROUP_RULES else "")
    if not places:
        return written
    decimals = f"{fraction:0{places}}"
    return written + marks.decimal + (decimals.removesuffix("0") if places == 3 else decimals)


def grammar(currency: str, locale: str = PLAIN) -> str:
    """What `parse` takes, for people: `Write it like 1234.50 or 1,234.50: a point for decimals, commas only …`"""
    marks = marks_of(locale)
    if currency.lower() in WHOLE_ONLY or not exponent(currency):
        decimals, rules = "", [_("{currency} has no decimals").format(currency=currency.upper())]
    else:
        decimals, rules = f"{marks.decimal}50", [_(_DECIMAL_RULES[marks.decimal])]
    if marks.group not in _GROUP_RULES:
        return _("Write it like {example}: {rules}.").format(example=f"1234{decimals}", rules=", ".join(rules))
    return _("Write it like {example} or {other}: {rules}.").format(
        example=f"1234{decimals}",
        other=f"1{marks.group}234{decimals}",
        rules=", ".join([*rules, _(_GROUP_RULES[marks.group])]),
    )


def _no_amount(written: str, currency: str, locale: str) -> str:
    said = _("“{text}” is not an amount.").format(text=written)
    return f"{said} {grammar(currency, locale)}"


def _pattern(currency: str) -> str:
    """Babel's pattern: groups of three, and as many decimals as Stripe's minor unit has."""
    return "#,##0" + (("." + "0" * exponent(currency)) if exponent(currency) else "")


# --- read -------------------------------------------------------------------------------------------------------------


def marks_of(locale: str) -> Marks:
    """The marks of a locale that Babel knows, such as `de` or `de_CH`, for amounts in Latin digits."""
    symbols = Locale.parse(locale).number_symbols["latn"]
    marks = Marks(
        symbols.get("currencyDecimal", symbols["decimal"]).translate(_ALIKE),
        symbols.get("currencyGroup", symbols["group"]).translate(_ALIKE),
    )
    return marks if marks.decimal in (".", ",") and marks.decimal != marks.group else POINT_AND_COMMA


def parse(written: str, currency: str, locale: str = PLAIN) -> int:
    """What a person typed, in major units, as minor units: `1,234.50` usd → 123450.

    The grammar: ASCII digits; the locale's decimal mark with at least one and at most as many digits behind it as the
    currency has decimals; the locale's grouping mark either nowhere or between all groups of three. A no-break space is
    written wide or narrow, an apostrophe straight or curved. The invoice's own currency code may stand before or behind
    it. No sign, no exponent, no leading zeros.

    Besides, it must have one reading only. A text is refused if somebody who takes the point and the comma the other
    way round would read another amount that this currency can have. `1,234` is clear in USD, because USD has no three
    decimals; in KWD it could be 1.234, and `1.234` could be 1,234.000: both are refused, and nothing is lost, because
    two decimals are enough for all that Stripe takes (`1.23`). So no two locales read one text differently, and it does
    not matter when the form was shown in another language than the one in which it is read.

    One form is read the same in every locale: that which the desk shows in English (`plain`), with the code in front
    and all decimals, so that `KWD 1.230` can be copied from a page.

    Raises BadAmount, which names both readings where there are two.
    """
    written = written.strip()
    number = _without_code(written, currency, locale)
    shown = _read(number, POINT_AND_COMMA, currency)
    is_as_shown = shown is not None and written == plain(shown, currency)
    amount = shown if is_as_shown else _read(number, marks_of(locale), currency)
    others = {_read(number, marks, currency) for marks in CONFUSABLE} - {None, amount}
    if amount is None or (others and not is_as_shown):
        raise BadAmount(_why_not(written, number, currency, locale))
    check(amount, currency)
    return amount


class Meaning(NamedTuple):
    """One amount that a text may mean."""

    amount: int  # minor units
    places: int  # decimals of the currencies of which it is
    currency: str  # its code in capital letters; empty: any currency with so many decimals


def value(meaning: Meaning) -> Decimal:
    """In major units, without zeros at the end."""
    found = Decimal(meaning.amount).scaleb(-meaning.places)
    return found.to_integral_value() if found == found.to_integral_value() else found.normalize()


def meanings(written: str) -> list[Meaning]:
    """Every amount that a text may mean, for a search: `312,00`, `EUR 312`, `€312`, `1.234`. Where one reader takes a
    point for decimals and another for groups, both; without a code, of currencies with 2, 0 and 3 decimals. Empty for
    what is no amount."""
    code_or_sign = f"[A-Za-z]{{3}}|[{''.join(_SIGNS)}]"
    number = r"[0-9][0-9.,\u00a0\u202f’']*"
    parts = re.fullmatch(rf"(?:({code_or_sign})\s*)?({number})(?:\s*({code_or_sign}))?", written.strip())
    if parts is None or len(written) > MAX_LENGTH or (parts[1] and parts[3]):
        return []
    named = parts[1] or parts[3] or ""
    code, number = _SIGNS.get(named, named).upper(), parts[2].translate(_ALIKE)
    conventions = [Marks(decimal, group) for decimal in ".," for group in ".,’\u00a0" if decimal != group]
    found: dict[Meaning, None] = {}
    for like in [code] if code else ["USD", "JPY", "KWD"]:  # one of each number of decimals
        for marks in conventions:
            amount = _read(number, marks, like)
            if amount is not None and 0 < amount < MAX_MINOR_UNITS:
                found[Meaning(amount, exponent(like), code)] = None
    return list(found)


def _without_code(written: str, currency: str, locale: str) -> str:
    """What was typed without the currency's code. Raises BadAmount for another code, or for what is not a number."""
    code = currency.upper()
    parts = re.fullmatch(r"([A-Za-z]{3}(?=[\s0-9]))?(.*?)((?<=[\s0-9])[A-Za-z]{3})?", written, re.DOTALL)
    before, number, behind = parts.groups("") if parts and len(written) <= MAX_LENGTH else ("", "", "")
    number = number.strip()
    if not re.fullmatch(r"[0-9][^A-Za-z]*", number) or (before and behind):
        raise BadAmount(_no_amount(written[:MAX_LENGTH], currency, locale))
    given = (before or behind).upper()
    if given not in ("", code):
        names = _("“{text}” names {given}, but the invoice is in {currency}. Write the amount in {currency}.")
        raise BadAmount(names.format(text=written, given=given, currency=code))
    if len(re.findall("[0-9]", number)) > len(str(MAX_MINOR_UNITS)) + 3:
        raise BadAmount(_(TOO_LARGE))
    return number.translate(_ALIKE)


def _read(number: str, marks: Marks, currency: str) -> int | None:
    """The number read with these marks, in minor units; None where it is not written so."""
    places, group = exponent(currency), re.escape(marks.group)
    decimals = rf"(?:{re.escape(marks.decimal)}([0-9]{{1,{places}}}))?" if places else "()"
    found = re.fullmatch(rf"(0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+){decimals}", number)
    if found is None:
        return None
    return int(found[1].replace(marks.group, "") + (found[2] or "").ljust(places, "0"))


def _why_not(written: str, number: str, currency: str, locale: str) -> str:
    """Why the number is refused: it has two readings, or one that is written in another way here, or none."""
    readings = _readings(number, currency, locale)
    possible, objections = [], []
    for __, amount in readings:
        try:
            if amount is None:
                raise BadAmount(_how_many_decimals(currency))
            check(amount, currency)
            possible.append(typed(amount, currency, locale))
        except BadAmount as objection:
            objections.append(str(objection))
    if len(readings) == 2:
        unclear = _("“{text}” could mean {one} or {other}.")
        instead = {0: "", 1: _("Write {one}."), 2: _("Write {one} or {other}.")}[len(possible)]
        one, other = (*possible, "", "")[:2]
        said = [unclear.format(text=written, one=readings[0][0], other=readings[1][0]), *objections]
        return " ".join([*said, *filter(None, [instead.format(one=one, other=other)])])
    if possible:
        other_way = _("“{text}” is not written as it must be here. If you mean {amount}, write {example}.")
        return other_way.format(text=written, amount=readings[0][0], example=possible[0])
    if objections:
        return " ".join([_("“{text}” is not possible.").format(text=written), objections[0]])
    return _no_amount(written, currency, locale)


def _how_many_decimals(currency: str) -> str:
    code, places = currency.upper(), exponent(currency)
    if not places:
        return _("{currency} has no decimals.").format(currency=code)
    return _("{currency} has {number} decimals.").format(currency=code, number=places)


def _readings(number: str, currency: str, locale: str) -> list[tuple[str, int | None]]:
    """What a person could mean by a number that the grammar refuses: for people, and in minor units. None where it has
    more decimals than the currency."""
    code, places = currency.upper(), exponent(currency)
    one_mark = re.fullmatch(r"(0|[1-9][0-9]*)([.,])([0-9]+)", number)
    if one_mark is None:  # marks of another country, or a blank as keyboards have it
        blanks = number.replace(" ", "\u00a0")
        conventions = {Marks(decimal, group) for decimal in ".," for group in ".,’\u00a0" if decimal != group}
        amounts = {_read(blanks, marks, currency) for marks in conventions} - {None}
        return [(text(amount, currency), amount) for amount in amounts]
    before, mark, behind = one_mark.groups()
    with_decimals = int(before + behind.ljust(places, "0")) if len(behind) <= places else None
    readings = [
        (f"{code} {int(before):,}.{behind}" if with_decimals is None else text(with_decimals, currency), with_decimals)
    ]
    in_threes = len(before) <= 3 and len(behind) == 3
    if before != "0" and (in_threes or mark != marks_of(locale).decimal):
        whole = int(before + behind) * 10**places
        readings.append((text(whole, currency), whole))
    return readings
