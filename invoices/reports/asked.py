"""What is asked of a report: which days, in which time zone, and which of its totals.

A day begins at midnight of the stated time zone, also where the clocks change on it. A period has its first and its
last day, both included; in moments it is half-open: what happened exactly at `end` belongs to the next period.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from invoices import clock

FIRST_YEAR, LAST_YEAR = 2000, 2100  # Stripe has nothing older; a year beyond is a slip of the hand
MAX_GROUP_LENGTH = 300  # characters
KNOWN, NOT_KNOWN = "known", "not-known"  # the group of what is in a total of a currency, and of what is in none
NO_CURRENCY = "xxx"  # as ISO 4217 has it: only the rows that have none


class BadRequest(ValueError):
    """The report cannot be made of these parameters. The message tells a person what to write instead; `parameter` is
    the one that is wrong."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Asked:
    """The parameters of a report. Of a report as of a day, that day is `last`, and `first` means nothing."""

    first: date
    last: date
    zone: ZoneInfo
    currency: str = ""  # in small letters; empty: every currency
    group: str = ""  # only the rows of this total; empty: all, also what is not known

    def __post_init__(self) -> None:
        """Raises BadRequest."""
        for parameter, day in (("from", self.first), ("to", self.last)):
            if not FIRST_YEAR <= day.year <= LAST_YEAR:
                message = _("“{text}”: the year must be from {first} to {last}.")
                raise BadRequest(parameter, message.format(text=day.isoformat(), first=FIRST_YEAR, last=LAST_YEAR))
        if self.first > self.last:
            message = _("The last day, {last}, is before the first, {first}.")
            raise BadRequest("to", message.format(last=self.last.isoformat(), first=self.first.isoformat()))
        if self.currency and not re.fullmatch("[a-z]{3}", self.currency):
            message = _("“{given}” is no currency. Choose one, or write its three letters.")
            raise BadRequest("currency", message.format(given=self.currency[:40]))
        if len(self.group) > MAX_GROUP_LENGTH or "\x00" in self.group:
            raise BadRequest("group", _("This cannot be read. Please write it anew."))

    @property
    def begin(self) -> datetime:
        """UTC: the first moment of the period."""
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """UTC: the first moment after the period, and after the day as of which it is."""
        return _midnight(self.last + timedelta(days=1), self.zone)

    def day_of(self, moment: datetime | None) -> date | None:
        """The day of this moment in the time zone of the report."""
        return moment.astimezone(self.zone).date() if moment else None

    def chosen(self, group: str, currency: str) -> Self:
        """The same, of one total alone."""
        return replace(self, group=group, currency=currency)

    def wants(self, group: str, currency: str) -> bool:
        wanted = self.group in ("", group) or (self.group == KNOWN and group != NOT_KNOWN)
        return wanted and self.currency in ("", currency or NO_CURRENCY)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name, such as `Europe/Berlin`; without a name the desk's own. Raises BadRequest."""
    try:
        return ZoneInfo(name or settings.REPORTS_TIME_ZONE)
    except (ValueError, KeyError, OSError):  # an unknown name, or one that looks like a path
        raise BadRequest(
            "tz", _("“{name}” is no time zone. Write one like Europe/Berlin.").format(name=name[:60])
        ) from None


def today(zone: ZoneInfo) -> date:
    """The day that it is in this time zone."""
    return clock.now().astimezone(zone).date()


def last_month(zone: ZoneInfo) -> tuple[date, date]:
    """The first and the last day of the month before this one: what a report is of where nothing is said."""
    last = today(zone).replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last
