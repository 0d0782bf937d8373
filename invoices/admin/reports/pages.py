"""The pages of reports: what there is, and one report with its totals and its rows, a hundred a page.

A page reads its report once, in one snapshot of the database: the totals are counted while the rows go by. A report
that takes longer than a page may is not shown in part: it is downloaded, or prepared in the background.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from invoices import clock, money, reports, thresholds
from invoices.admin.exports import MAY_PREPARE
from invoices.admin.formatting import number
from invoices.admin.reports import charts, files, wording
from invoices.admin.reports.access import may_see, report_for
from invoices.admin.reports.form import FILE, INDEX, PAGE, PREPARE, Form, address, shortcuts, zones
from invoices.exports.kinds import FORMATS
from invoices.reports import NO_CURRENCY, NOT_KNOWN, PERMISSION, REPORTS, Asked, Entry, Pass, Report, Total
from invoices.search.time_limit import TakesTooLong, time_limit

PAGE_OF_ROWS, ROWS_SHOWN = "page", 100


@dataclass
class Line:
    """A total as the page shows it."""

    label: str
    currency: str
    count: str
    amount: str
    link: str
    is_chosen: bool = False


@dataclass
class Read:
    """What one pass has found for a page: the rows that it shows, how many there are, and what they add up to."""

    reading: Pass
    page: int  # of the rows, from 1
    entries: list[Entry]  # those of the page
    rows: list[list[Any]]

    @property
    def chosen(self) -> list[Total]:
        wants = self.reading.asked.wants
        return [total for total in self.lines if wants(total.group, total.currency)]

    @property
    def count(self) -> int:
        return sum(total.count for total in self.chosen)

    @property
    def last_page(self) -> int:
        return max(1, -(-self.count // ROWS_SHOWN))

    @property
    def lines(self) -> list[Total]:
        return self.reading.totals.lines(self.reading.report)


def urls() -> list[URLPattern]:
    """The addresses, below /admin/reports/. Each view needs a signed-in member of the staff."""
    view = admin.site.admin_view
    return [
        path("", view(index), name=INDEX),
        path("<slug:name>/", view(page), name=PAGE),
        path("<slug:name>/prepare/", view(files.prepare), name=PREPARE),
        path("<slug:name>/download.<slug:format>", view(files.download), name=FILE),
    ]


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    found = [
        {
            "title": _(report.title),
            "answers": _(report.answers),
            "link": reverse(PAGE, args=[report.name]),
            "shortcuts": shortcuts(report, None),
        }
        for report in REPORTS.values()
        if may_see(request, report)
    ]
    return _show(request, "admin/reports/index.html", {"title": _("Reports"), "reports": found})


@require_GET
def page(request: HttpRequest, name: str) -> HttpResponse:
    report = report_for(request, name)
    form = Form.of(report, request)
    context: dict[str, Any] = {
        "title": _(report.title),
        "report": report,
        "answers": _(report.answers),
        "form": form,
        "zones": zones(),
        "shortcuts": shortcuts(report, form.asked),
        "limits": [_(each) for each in report.limits],
    }
    if form.asked is not None:
        context |= _of_asked(request, report, form.asked)
        read = _read(report, form.asked, _page_of(request))
        context |= {"is_long": True} if read is None else _of_read(read)
    return _show(request, "admin/reports/page.html", context)


def _page_of(request: HttpRequest) -> int:
    written = request.GET.get(PAGE_OF_ROWS, "")
    return int(written) if written.isascii() and written.isdecimal() and len(written) < 10 and int(written) else 1


def _read(report: Report, asked: Asked, page: int) -> Read | None:
    """One pass over all groups and currencies, with this page of the rows that are asked for; the last page where there
    are not so many. None: it takes too long."""
    reading, found, before = Pass(report, asked.chosen("", "")), list[Entry](), (page - 1) * ROWS_SHOWN
    try:
        with reports.snapshot(), time_limit(thresholds.REPORT_LOOK) as limit:
            for entries in reading.entries():
                limit.check()
                if len(found) < ROWS_SHOWN:
                    wanted = [entry for entry in entries if asked.wants(entry.group, entry.currency)]
                    found += wanted[before : before + ROWS_SHOWN - len(found)]
                    before = max(0, before - len(wanted))
            reading.asked = asked
            read = Read(reading, page, found, list(report.values(found, asked)))
    except TakesTooLong:
        return None
    return read if page <= read.last_page else _read(report, asked, read.last_page)


def _of_asked(request: HttpRequest, report: Report, asked: Asked) -> dict[str, Any]:
    """What the page says of what is asked, whatever it finds."""
    return {
        "days": wording.days(asked, report.is_as_of),
        "zone": asked.zone.key,
        "cut_off": f"{asked.end:%Y-%m-%d %H:%M}",
        "made_at": clock.now(),
        "downloads": [(each.upper(), address(report, asked, FILE, each)) for each in (*FORMATS, files.JSON)],
        "prepare": address(report, asked, PREPARE) if request.user.has_perm(MAY_PREPARE) else "",
        "formats": list(FORMATS),
        "id": uuid.uuid4(),
    }


def _of_read(read: Read) -> dict[str, Any]:
    report, asked, totals = read.reading.report, read.reading.asked, read.reading.totals
    chosen, count, page = read.chosen, read.count, read.page
    before = (page - 1) * ROWS_SHOWN
    return {
        "lines": [_line(report, asked, total) for total in read.lines],
        "by_currency": [_line(report, asked, total) for total in totals.by_currency(report)] if report.adds_up else [],
        "charts": charts.charts(report, asked, totals),
        "unknown": totals.unknown,
        "unknown_number": number(totals.unknown),
        "unknown_link": address(report, asked, group=NOT_KNOWN, currency=""),
        "heading": _heading(report, asked),
        "count": count,
        "count_words": number(count),
        "sums": _sums(chosen),
        "all_link": address(report, asked, group="", currency="") if asked.group or asked.currency else "",
        "from_number": number(before + 1) if count > len(read.rows) else "",
        "to_number": number(before + len(read.rows)),
        "pages": _pages(report, asked, page, read.last_page),
        **_table(report, asked, read),
    }


def _pages(report: Report, asked: Asked, page: int, last: int) -> dict[str, Any]:
    """The links to the other pages of the rows."""

    def link(to: int) -> str:
        return address(report, asked, page=to) + "#rows"

    back = {"first": link(1), "before": link(page - 1)} if page > 1 else {}
    on = {"after": link(page + 1), "last": link(last)} if page < last else {}
    return {**back, "number": number(page), **on}


def _line(report: Report, asked: Asked, total: Total) -> Line:
    currency = total.currency or (NO_CURRENCY if report.sums else "")
    return Line(
        report.label(total.group),
        total.currency.upper(),
        number(total.count),
        money.text(total.amount, total.currency) if total.amount is not None else "–",
        address(report, asked, group=total.group, currency=currency) + "#rows",
        (asked.group, asked.currency) == (total.group, currency),
    )


def _heading(report: Report, asked: Asked) -> str:
    parts = [report.label(asked.group) if asked.group else "", asked.currency.upper()]
    return " · ".join(filter(None, parts)) or _(report.counts)


def _sums(chosen: Sequence[Total]) -> list[str]:
    """Per currency, of the rows that are chosen."""
    found: dict[str, int] = {}
    for total in chosen:
        if total.amount is not None:
            found[total.currency] = found.get(total.currency, 0) + total.amount
    return [money.text(found[currency], currency) for currency in sorted(found)]


def _table(report: Report, asked: Asked, read: Read) -> dict[str, Any]:
    """The columns and rows that the page shows: the day, the group, those of the report, and what is not known."""
    columns = [each.column for each in report.fields(asked)]
    places = {column.label: place for place, column in enumerate(columns)}
    shown = [places[label] for label in report.shown]
    headings = [] if report.is_as_of else [(_("Day"), "")]
    headings.append((_(report.groups_are), ""))
    headings += [(_(wording.HEADINGS[columns[place].label]), wording.look(columns[place])) for place in shown]
    rows = []
    for entry, values in zip(read.entries, read.rows, strict=True):
        cells = [] if report.is_as_of else [(wording.cell(columns[0], values[0], None, entry), "")]
        why = _(entry.unknown) if entry.unknown else ""
        cells.append((why or report.label(entry.group), "long" if why else ""))
        for place in shown:
            minor = values[place + 1] if place + 1 < len(values) else None
            said = wording.cell(columns[place], values[place], minor, entry)
            cells.append((said, wording.look(columns[place], said)))
        rows.append(cells)
    return {"headings": headings, "rows": rows}


def _show(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    request.current_app = admin.site.name
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
