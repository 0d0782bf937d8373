"""The words of reports: the headings of columns, and values of the desk's own that a cell shows."""

from __future__ import annotations

from typing import Any

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.admin.formatting import DASH, moment, words
from invoices.admin.links import url_of
from invoices.reports import Asked, Entry
from invoices.reports.deeds import NOT_BY_DESK
from invoices.tables import Column, Kind

# What a column of a file is called on a page; moments are there in the reader's time zone.
HEADINGS = {
    "Invoice": gettext_noop("Invoice"),
    "Customer": gettext_noop("Customer"),
    "Received": gettext_noop("Received"),
    "Received on": gettext_noop("Received on"),
    "Reference": gettext_noop("Reference"),
    "Asked by": gettext_noop("Asked by"),
    "Approved by": gettext_noop("Approved by"),
    "Decided by": gettext_noop("Decided by"),
    "Reason": gettext_noop("Reason"),
    "Remaining": gettext_noop("Remaining"),
    "Total": gettext_noop("Total"),
    "Amount": gettext_noop("Amount"),
    "Given up": gettext_noop("Given up"),
    "Due date (UTC)": gettext_noop("Due date"),
    "Healed (UTC)": gettext_noop("Healed"),
    "Explanation": gettext_noop("Explanation"),
    "Status now": gettext_noop("Status now"),
    "Action": gettext_noop("Action"),
    "State": gettext_noop("State"),
    "Failure code": gettext_noop("Failure code"),
    "Paid with": gettext_noop("Paid with"),
    "Card or bank": gettext_noop("Card or bank"),
    "Last four digits": gettext_noop("Last four digits"),
    "Object": gettext_noop("Object"),
    "Object id": gettext_noop("Object id"),
    "Field": gettext_noop("Field"),
    "Here": gettext_noop("Here"),
    "At Stripe": gettext_noop("At Stripe"),
}
LONG = 30  # characters
# Columns whose values are codes and labels that the catalog knows.
CODES = {"Status now", "State", "Failure code", "Paid with", "Action", "Object"}
NOT_BY_DESK_WORDS = gettext_noop("not by the desk")


def look(column: Column, said: Any = "") -> str:
    """The class of a cell: numbers stand to the right, and a long text is broken into lines."""
    if column.kind in (Kind.AMOUNT, Kind.NUMBER, Kind.MINOR):
        return "num"
    return "long" if column.kind is Kind.TEXT and column.label != "Invoice" and len(str(said)) > LONG else ""


def cell(column: Column, value: Any, minor: Any, entry: Entry) -> Any:
    """A value as a page shows it. `minor`: of an amount, the same in minor units."""
    if column.label == "Invoice" and entry.invoice:
        return format_html('<a href="{}">{}</a>', url_of("invoice", entry.invoice), value or entry.invoice)
    if value is None or value == "":
        return DASH
    if column.kind is Kind.AMOUNT:
        return money.text(minor, entry.currency)
    if column.kind is Kind.MOMENT:
        return moment(value)
    if column.kind is Kind.DAY:
        return date_format(value, "SHORT_DATE_FORMAT")
    if value == NOT_BY_DESK:
        return _(NOT_BY_DESK_WORDS)
    if column.label == "Card or bank":
        return value[:1].upper() + value[1:]
    return words(value) if column.label in CODES else value


def days(asked: Asked, is_as_of: bool) -> str:
    """`1 to 31 October 2026`, or `at the end of 31 October 2026`."""
    if is_as_of:
        return _("At the end of {day}").format(day=date_format(asked.last, "SHORT_DATE_FORMAT"))
    return _("{first} to {last}").format(
        first=date_format(asked.first, "SHORT_DATE_FORMAT"), last=date_format(asked.last, "SHORT_DATE_FORMAT")
    )
