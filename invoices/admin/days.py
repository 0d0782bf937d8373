"""Days as people type them in filters: written → date, and a range of days in words."""

import re
from datetime import date, datetime, time

from django.utils import timezone

FIRST_YEAR, LAST_YEAR = 2000, 2100  # Stripe has nothing older; a year beyond is a slip of the hand
MAX_LENGTH = 40  # characters of what is typed
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
EXAMPLES = "Write it like 2026-11-21, 21.11.2026 or 21 Nov 2026."


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
        raise BadDay(f"This is not a date. {EXAMPLES}")
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", text):
        return _day(text, int(found[1]), int(found[2]), int(found[3]))
    if found := re.fullmatch(r"([0-9]{1,2})\. ?([0-9]{1,2})\. ?([0-9]{4})", text):
        return _day(text, int(found[3]), int(found[2]), int(found[1]))
    if found := re.fullmatch(r"([0-9]{1,2})([/-])([0-9]{1,2})\2([0-9]{4})", text):
        return _one_reading(text, int(found[1]), int(found[3]), int(found[4]))
    if found := re.fullmatch(r"([0-9]{1,2})\.? ([A-Za-z]{3,9})\.?,? ([0-9]{4})", text):
        return _day(text, int(found[3]), _month(text, found[2]), int(found[1]))
    if found := re.fullmatch(r"([A-Za-z]{3,9})\.? ([0-9]{1,2}),? ([0-9]{4})", text):
        return _day(text, int(found[3]), _month(text, found[1]), int(found[2]))
    raise BadDay(f"“{text}” is not a date. {EXAMPLES}")


def _one_reading(text: str, first: int, second: int, year: int) -> date:
    """A date with slashes, which has one reading only where one of the numbers can be no month."""
    if first != second and first <= 12 and second <= 12:
        readings = [_day(text, year, second, first), _day(text, year, first, second)]
        meant = " or ".join(in_words(day) for day in readings)
        raise BadDay(f"“{text}” could mean {meant}. Write {' or '.join(day.isoformat() for day in readings)}.")
    day, month = (first, second) if second <= 12 else (second, first)
    return _day(text, year, month, day)


def _month(text: str, name: str) -> int:
    """The number of a month's English name, or of its first three letters."""
    month = name[:3].lower()
    if month not in MONTHS:
        raise BadDay(f"“{text}” is not a date. {EXAMPLES}")
    return MONTHS.index(month) + 1


def _day(text: str, year: int, month: int, day: int) -> date:
    try:
        found = date(year, month, day)
    except ValueError:
        raise BadDay(f"There is no day “{text}” in the calendar. {EXAMPLES}") from None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadDay(f"“{text}”: the year must be from {FIRST_YEAR} to {LAST_YEAR}.")
    return found


def begin(day: date) -> datetime:
    """The moment at which this day begins in the reader's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def in_words(day: date) -> str:
    """`21 Nov 2026`"""
    return f"{day.day} {day:%b %Y}"


def range_in_words(first: date | None, last: date | None) -> str:
    """`1 to 21 Nov 2026`, `from 1 Nov 2026`, `until 21 Nov 2026`, `21 Nov 2026`. Both days are included."""
    if first and last:
        if first == last:
            return in_words(first)
        if (first.year, first.month) == (last.year, last.month):
            return f"{first.day} to {in_words(last)}"
        return (
            f"{first.day} {first:%b} to {in_words(last)}"
            if first.year == last.year
            else (f"{in_words(first)} to {in_words(last)}")
        )
    return f"from {in_words(first)}" if first else f"until {in_words(last)}" if last else ""
