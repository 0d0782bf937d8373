"""Days as people type them in filters: written → date, and a range of days in words."""

import re
from datetime import date, datetime, time

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

FIRST_YEAR, LAST_YEAR = 2000, 2100  # Stripe has nothing older; a year beyond is a slip of the hand
MAX_LENGTH = 40  # characters of what is typed
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
GERMAN_MONTHS = {"mär": 3, "mai": 5, "okt": 10, "dez": 12}  # those that begin otherwise
EXAMPLES = gettext_noop("Write it like 2026-11-21, 21.11.2026 or 21 Nov 2026.")


class BadDay(ValueError):
    """The text is no day, or could be two. The message tells a person what to write instead."""


def parse(written: str) -> date:
    """The day that a person typed: `2026-11-21`, `21.11.2026`, `21/11/2026`, `11/21/2026`, `21 Nov 2026`.

    With points it is day, month, year in every country that writes so. With slashes some countries begin with the
    month: a text that has both readings is refused, so no two locales read one text differently.

    Raises BadDay, which names both readings where there are two.
    """
    text = " ".join(written.split())
    if len(text) > MAX_LENGTH or not text.isprintable():
        raise BadDay(_("This is not a date.") + " " + _(EXAMPLES))
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", text):
        return _day(text, int(found[1]), int(found[2]), int(found[3]))
    if found := re.fullmatch(r"([0-9]{1,2})\. ?([0-9]{1,2})\. ?([0-9]{4})", text):
        return _day(text, int(found[3]), int(found[2]), int(found[1]))
    if found := re.fullmatch(r"([0-9]{1,2})([/-])([0-9]{1,2})\2([0-9]{4})", text):
        return _one_reading(text, int(found[1]), int(found[3]), int(found[4]))
    if found := re.fullmatch(r"([0-9]{1,2})\.? ([A-Za-zä]{3,9})\.?,? ([0-9]{4})", text):
        return _day(text, int(found[3]), _month(text, found[2]), int(found[1]))
    if found := re.fullmatch(r"([A-Za-z]{3,9})\.? ([0-9]{1,2}),? ([0-9]{4})", text):
        return _day(text, int(found[3]), _month(text, found[1]), int(found[2]))
    raise _no_date(text)


def _no_date(text: str) -> BadDay:
    return BadDay(_("“{text}” is not a date.").format(text=text) + " " + _(EXAMPLES))


def _one_reading(text: str, first: int, second: int, year: int) -> date:
    """A date with slashes, which has one reading only where one of the numbers can be no month."""
    if first != second and first <= 12 and second <= 12:
        readings = [_day(text, year, second, first), _day(text, year, first, second)]
        one, other = map(in_words, readings)
        raise BadDay(
            _("“{text}” could mean {one} or {other}. Write {as_one} or {as_other}.").format(
                text=text, one=one, other=other, as_one=readings[0].isoformat(), as_other=readings[1].isoformat()
            )
        )
    day, month = (first, second) if second <= 12 else (second, first)
    return _day(text, year, month, day)


def _month(text: str, name: str) -> int:
    """The number of a month's English or German name, or of its first three letters."""
    month = name[:3].lower()
    if month in GERMAN_MONTHS:
        return GERMAN_MONTHS[month]
    if month not in MONTHS:
        raise _no_date(text)
    return MONTHS.index(month) + 1


def _day(text: str, year: int, month: int, day: int) -> date:
    try:
        found = date(year, month, day)
    except ValueError:
        raise BadDay(_("There is no day “{text}” in the calendar.").format(text=text) + " " + _(EXAMPLES)) from None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadDay(
            _("“{text}”: the year must be from {first} to {last}.").format(text=text, first=FIRST_YEAR, last=LAST_YEAR)
        )
    return found


def begin(day: date) -> datetime:
    """The moment at which this day begins in the reader's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def in_words(day: date) -> str:
    """`21 Nov 2026`"""
    return date_format(day, "SHORT_DATE_FORMAT")


def range_in_words(first: date | None, last: date | None) -> str:
    """`1 to 21 Nov 2026`, `from 1 Nov 2026`, `until 21 Nov 2026`, `21 Nov 2026`. Both days are included."""
    if first and last:
        if first == last:
            return in_words(first)
        if (first.year, first.month) == (last.year, last.month):
            begin = date_format(first, pgettext("the first of two days in one month, for Django's date filter", "j"))
        else:
            begin = date_format(first, "MONTH_DAY_FORMAT") if first.year == last.year else in_words(first)
        return _("{first} to {last}").format(first=begin, last=in_words(last))
    if first:
        return _("from {day}").format(day=in_words(first))
    return _("until {day}").format(day=in_words(last)) if last else ""
