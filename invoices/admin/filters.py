"""The filters of our lists: what may be typed or chosen, what is wrong with it, and what it says in words.

A filter that cannot be read selects nothing, and says why beside its field (`Filter.problems`): a list that ignored it
would show everything. No filter counts rows, and none reads a table through.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Self

from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from invoices import money
from invoices.admin import days
from invoices.admin.locale import locale_of

MAX_VALUE_LENGTH = 200  # characters of one value in the address
CURRENCY = "currency"  # the parameter of the currency in every list
Choices = list[tuple[str, str]]  # value and label


@dataclass
class Input:
    """One field of the panel of filters."""

    name: str
    label: str
    kind: str  # of the HTML element: `date`, `text`, `select`, `hidden`
    value: str = ""  # as it was typed
    choices: Choices = field(default_factory=list)
    problem: str = ""
    hint: str = ""

    @property
    def type(self) -> str:
        """The type of the HTML element. A date that the browser could not show stays as it was typed."""
        return "text" if self.kind == "date" and self.problem else self.kind


class Filter(admin.ListFilter):
    """Base class. A subclass names its parameters of the address, reads them (`read`), narrows the rows (`queryset`),
    and says what it does (`words`) and what its fields are (`inputs`)."""

    template = "admin/shared/parts/filter.html"
    parameters: tuple[str, ...] = ()
    column = ""  # by which the rows are best ordered while this filter is active; empty: by any

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.request, self.model_admin = request, model_admin
        self.problems: dict[str, str] = {}  # parameter → why it cannot be read
        self.values: dict[str, str] = {}  # parameter → what was typed, without blanks around it
        for name in self.parameters:
            given = params.pop(name, [""])[-1].strip()
            self.values[name] = given[:MAX_VALUE_LENGTH]
            if "\x00" in given or len(given) > MAX_VALUE_LENGTH:
                self.problems[name] = _("This cannot be read. Please write it anew.")
                self.values[name] = self.values[name].replace("\x00", "")
        if not self.problems:
            self.read()

    def read(self) -> None:
        """Reads `values`, and writes into `problems` what cannot be read."""

    def words(self) -> str:
        """What the filter selects, without its title: `1 to 21 Nov 2026`. Empty where it is not used."""
        raise NotImplementedError

    def inputs(self) -> list[Input]:
        """Its fields in the panel, with what was typed and what is wrong with it."""
        raise NotImplementedError

    @property
    def is_active(self) -> bool:
        return any(self.values.values()) or self.is_wrong

    @property
    def is_wrong(self) -> bool:
        return bool(self.problems)

    @property
    def label(self) -> str:
        """The title, as a heading of its fields and of its words."""
        title = _(str(self.title))
        return f"{title[:1].upper()}{title[1:]}"

    def in_words(self) -> str:
        """`Created: 1 to 21 Nov 2026`. Empty where it is not used."""
        return f"{self.label}: {self.words()}" if self.is_active and not self.is_wrong else ""

    # What Django asks of a filter.

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[Mapping[str, object]]:
        return iter(())

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        raise NotImplementedError


class ChoiceFilter(Filter):
    """One of several values. A subclass says which (`lookups`) and what each selects (`queryset`, by `value()`)."""

    parameter_name = ""

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        self.parameters = (self.parameter_name,)
        self.lookup_choices: Choices = list(self.lookups(request, model_admin))
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        """The values that can be chosen, with their labels."""
        raise NotImplementedError

    def read(self) -> None:
        given = self.values[self.parameter_name]
        if given and given not in dict(self.lookup_choices):
            offered = ", ".join(label for _, label in self.lookup_choices)
            instead = _("“{given}” cannot be chosen here. Choose one of: {offered}.").format(
                given=given[:40], offered=offered
            )
            self.problems[self.parameter_name] = instead if offered else _("You may not choose anything here.")

    def value(self) -> str | None:
        """What is chosen. None: nothing, or what cannot be chosen."""
        return (self.values[self.parameter_name] or None) if not self.problems else None

    def words(self) -> str:
        return dict(self.lookup_choices).get(self.value() or "", "")

    def inputs(self) -> list[Input]:
        name = self.parameter_name
        problem = self.problems.get(name, "")
        return [Input(name, self.label, "select", self.values[name], [("", _("All")), *self.lookup_choices], problem)]

    def choices(self, changelist: Any) -> Iterator[Mapping[str, object]]:
        """The links of a row of tabs."""
        for value, label in [("", _("All")), *self.lookup_choices]:
            yield {
                "value": value,
                "selected": value == self.values[self.parameter_name],
                "query_string": changelist.get_query_string({self.parameter_name: value or None}),
                "display": label,
            }


class ColumnFilter(ChoiceFilter):
    """One of several values of a column."""

    field_name = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{self.field_name or self.parameter_name: self.value()}) if self.value() else queryset


class TabFilter(ChoiceFilter):
    """A filter that is shown as a row of tabs above the list (shared/above_list.html). In the panel of filters it is a
    hidden field, so that applying other filters keeps the tab."""

    template = "admin/shared/tab_filter.html"

    def inputs(self) -> list[Input]:
        return [Input(self.parameter_name, self.label, "hidden", self.values[self.parameter_name])]


class RangeFilter(Filter):
    """From one value of a column to another, both included. `on` makes the filter of a column."""

    field_name = ""
    prefix = ""  # of the parameters: `created` for `created_from` and `created_to`

    @classmethod
    def on(cls, field_name: str, title: str, prefix: str = "") -> type[Self]:
        """The filter of this column."""
        prefix = prefix or field_name
        members = {
            "title": title,
            "field_name": field_name,
            "prefix": prefix,
            "column": field_name,
            "parameters": (f"{prefix}_from", f"{prefix}_to"),
            "__doc__": cls.__doc__,
        }
        return type(cls.__name__, (cls,), members)

    @property
    def ends(self) -> tuple[str, str]:
        """The two parameters."""
        first, last = self.parameters
        return first, last


class DayRangeFilter(RangeFilter):
    """From one day to another, both included, in the reader's time zone."""

    first: date | None = None
    last: date | None = None

    def read(self) -> None:
        found: list[date | None] = []
        for name in self.ends:
            try:
                found.append(days.parse(self.values[name]) if self.values[name] else None)
            except days.BadDay as error:
                self.problems[name] = str(error)
        if self.problems:
            return
        self.first, self.last = found
        if self.first and self.last and self.first > self.last:
            self.problems[self.ends[1]] = _("The last day, {last}, is before the first, {first}.").format(
                last=days.in_words(self.last), first=days.in_words(self.first)
            )

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.problems:
            return queryset.none()
        if self.first:
            queryset = queryset.filter(**{f"{self.field_name}__gte": days.begin(self.first)})
        if self.last:
            queryset = queryset.filter(**{f"{self.field_name}__lt": days.begin(self.last + timedelta(days=1))})
        return queryset

    def words(self) -> str:
        return days.range_in_words(self.first, self.last)

    def inputs(self) -> list[Input]:
        found = []
        for name, label in zip(self.ends, range_labels(self.label), strict=True):
            try:
                value = days.parse(self.values[name]).isoformat() if self.values[name] else ""
            except days.BadDay:
                value = self.values[name]
            found.append(Input(name, label, "date", value, problem=self.problems.get(name, "")))
        return found


class EarlierFilter(Filter):
    """What was before a moment, which only links give: by them a number leads to exactly what it counts."""

    parameters = ("earlier_than",)
    field_name = ""
    moment: datetime | None = None

    @classmethod
    def on(cls, field_name: str, title: str) -> type[Self]:
        """The filter of this column."""
        return type(cls.__name__, (cls,), {"title": title, "field_name": field_name, "__doc__": cls.__doc__})

    def read(self) -> None:
        (name,) = self.parameters
        if not self.values[name]:
            return
        try:
            found = datetime.fromisoformat(self.values[name])
            if found.tzinfo is None or not days.FIRST_YEAR <= found.year <= days.LAST_YEAR:
                raise ValueError
            self.moment = found
        except ValueError:
            self.problems[name] = _("This cannot be read. Please write it anew.")

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.problems:
            return queryset.none()
        return queryset.filter(**{f"{self.field_name}__lt": self.moment}) if self.moment else queryset

    def words(self) -> str:
        return date_format(timezone.localtime(self.moment), "SHORT_DATETIME_FORMAT") if self.moment else ""

    def inputs(self) -> list[Input]:
        (name,) = self.parameters
        return [Input(name, self.label, "hidden", self.values[name], problem=self.problems.get(name, ""))]


def range_labels(label: str) -> tuple[str, str]:
    """Of the two fields of a range."""
    return _("{label} from").format(label=label), pgettext("from … to", "to")


class CurrencyFilter(ChoiceFilter):
    """The currency. Those of the invoices that are here are offered; any other code is taken from the address."""

    title, parameter_name = gettext_noop("currency"), CURRENCY

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(code, code.upper()) for code in currencies_in_use()]

    def read(self) -> None:
        given = self.values[CURRENCY] = self.values[CURRENCY].lower()
        if given and not is_currency(given):
            self.problems[CURRENCY] = _("“{given}” is no currency. Choose one, or write its three letters.").format(
                given=given[:40]
            )
        elif given and given not in dict(self.lookup_choices):
            self.lookup_choices.append((given, given.upper()))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(currency=self.value()) if self.value() else queryset


_CURRENCIES_IN_USE = """
WITH RECURSIVE found(currency) AS (
    SELECT min(currency) FROM invoices_invoice
    UNION ALL
    SELECT (SELECT min(currency) FROM invoices_invoice WHERE invoices_invoice.currency > found.currency)
    FROM found WHERE found.currency IS NOT NULL
)
SELECT currency FROM found WHERE currency IS NOT NULL"""


def currencies_in_use() -> list[str]:
    """The currencies of the invoices, in small letters. Reads one entry of an index for each of them."""
    with connection.cursor() as cursor:
        cursor.execute(_CURRENCIES_IN_USE)
        return [code for (code,) in cursor.fetchall() if is_currency(code)]


def is_currency(text: str) -> bool:
    """Whether this can be a currency's code."""
    return len(text) == 3 and text.isascii() and text.isalpha()


class AmountRangeFilter(RangeFilter):
    """From one amount to another, both included. Minor units of different currencies do not compare, so it needs a
    currency."""

    least: int | None = None  # minor units
    most: int | None = None
    currency = ""

    def read(self) -> None:
        if not self.is_active:
            return
        self.currency = self.request.GET.get(CURRENCY, "").strip().lower()
        if not is_currency(self.currency):
            used = next(name for name in self.ends if self.values[name])
            self.problems[used] = _("Choose a currency too: amounts of different currencies do not compare.")
            return
        found: list[int | None] = []
        for name in self.ends:
            try:
                found.append(self._amount(self.values[name]) if self.values[name] else None)
            except money.BadAmount as error:
                self.problems[name] = str(error)
        if self.problems:
            return
        self.least, self.most = found
        if self.least is not None and self.most is not None and self.least > self.most:
            self.problems[self.ends[1]] = _("The second amount is smaller than the first.")

    def _amount(self, written: str) -> int:
        """Minor units. Zero, which no payment may be, is a limit like others."""
        return money.parse(written, self.currency, locale_of(self.request)) if written.strip("0") else 0

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.problems:
            return queryset.none()
        if self.is_active:
            queryset = queryset.filter(currency=self.currency)
        if self.least is not None:
            queryset = queryset.filter(**{f"{self.field_name}__gte": self.least})
        if self.most is not None:
            queryset = queryset.filter(**{f"{self.field_name}__lte": self.most})
        return queryset

    def words(self) -> str:
        least, most = (
            "" if amount is None else money.text(amount, self.currency) for amount in (self.least, self.most)
        )
        if least and most:
            return least if least == most else _("{least} to {most}").format(least=least, most=most)
        return _("at least {least}").format(least=least) if least else _("at most {most}").format(most=most)

    def inputs(self) -> list[Input]:
        labels = range_labels(self.label)
        return [
            Input(
                name,
                label,
                "text",
                self.values[name],
                problem=self.problems.get(name, ""),
                hint=f"1234{money.marks_of(locale_of(self.request)).decimal}50",
            )
            for name, label in zip(self.ends, labels, strict=True)
        ]
