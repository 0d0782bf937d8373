"""The form of a report: the days, the time zone, the currency. Read from the address, so that a page can be linked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from invoices import reports
from invoices.admin import days
from invoices.admin.filters import Input, currencies_in_use, range_labels
from invoices.reports import Asked, BadRequest, Report

PAGE, FILE, PREPARE, INDEX = "desk_report", "desk_report_file", "desk_report_prepare", "desk_reports"
MAX_LENGTH = 300  # characters of a value


@dataclass
class Form:
    """What the address asks for. `asked` is None where it cannot be read: then `inputs` say why."""

    report: Report
    asked: Asked | None
    inputs: list[Input] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Report, request: HttpRequest) -> Form:
        typed = {name: _typed(request, name) for name in ("from", "to", "as_of", "tz", "currency", "group")}
        form = cls(report, None)
        first = form._day("from", typed["from"])
        last = form._day("as_of" if report.is_as_of else "to", typed["as_of" if report.is_as_of else "to"])
        if not form.problems:
            try:
                zone = reports.zone_of(typed["tz"])
                group, currency = typed["group"], typed["currency"].lower()
                form.asked = reports.asked(report, zone, first, last, currency=currency, group=group)
            except BadRequest as error:
                form.problems["as_of" if report.is_as_of and error.parameter == "to" else error.parameter] = str(error)
        form.inputs = form._inputs(typed)
        return form

    def _day(self, name: str, written: str) -> date | None:
        try:
            return days.parse(written) if written else None
        except days.BadDay as error:
            self.problems[name] = str(error)
            return None

    def _inputs(self, typed: dict[str, str]) -> list[Input]:
        asked = self.asked
        zone = asked.zone.key if asked else typed["tz"] or settings.REPORTS_TIME_ZONE
        from_, to = range_labels(_("Days"))
        if self.report.is_as_of:
            found = [self._input("as_of", _("At the end of"), "date", asked.last.isoformat() if asked else "", typed)]
        else:
            found = [
                self._input("from", from_, "date", asked.first.isoformat() if asked else "", typed),
                self._input("to", to, "date", asked.last.isoformat() if asked else "", typed),
            ]
        found.append(self._input("tz", _("Time zone of the days"), "text", zone, typed))
        codes = [(code, code.upper()) for code in currencies_in_use()]
        if typed["currency"].lower() not in ("", *dict(codes)):
            codes.append((typed["currency"].lower(), typed["currency"].upper()[:40]))
        currency = self._input("currency", _("Currency"), "select", typed["currency"].lower(), typed)
        currency.choices = [("", _("All")), *codes]
        return [*found, currency]

    def _input(self, name: str, label: str, kind: str, value: str, typed: dict[str, str]) -> Input:
        return Input(name, label, kind, value or typed[name], problem=self.problems.get(name, ""))


def _typed(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").strip()[:MAX_LENGTH].replace("\x00", "")


def parameters(report: Report, asked: Asked, **changes: Any) -> dict[str, str]:
    """What an address says to ask for this."""
    found = {"as_of": asked.last.isoformat()} if report.is_as_of else {"from": asked.first.isoformat()}
    if not report.is_as_of:
        found["to"] = asked.last.isoformat()
    found |= {"tz": asked.zone.key, "currency": asked.currency, "group": asked.group, **changes}
    return {name: value for name, value in found.items() if value}


def address(report: Report, asked: Asked, name: str = PAGE, *more: str, **changes: Any) -> str:
    """Of a page of this report, or of one of its files."""
    return f"{reverse(name, args=[report.name, *more])}?{urlencode(parameters(report, asked, **changes))}"


def shortcuts(report: Report, asked: Asked | None) -> list[tuple[str, str]]:
    """Days that are often wanted: label and address."""
    zone = asked.zone if asked else reports.zone_of("")
    today, (first, last) = reports.today(zone), reports.last_month(zone)
    this_month = today.replace(day=1)

    def link(**days: date) -> str:
        given = {"tz": zone.key, **{name.removesuffix("_"): day.isoformat() for name, day in days.items()}}
        return f"{reverse(PAGE, args=[report.name])}?{urlencode(given)}"

    if report.is_as_of:
        return [(_("End of last month"), link(as_of=last)), (_("Today"), link(as_of=today))]
    return [
        (_("Last month"), link(from_=first, to=last)),
        (_("This month"), link(from_=this_month, to=today)),
        (_("Last 7 days"), link(from_=today - timedelta(days=6), to=today)),
    ]


def zones() -> list[str]:
    """Time zones that are offered: the desk's, the reader's, and UTC. Any other can be written."""
    return list(dict.fromkeys([settings.REPORTS_TIME_ZONE, timezone.get_current_timezone_name(), "UTC"]))
