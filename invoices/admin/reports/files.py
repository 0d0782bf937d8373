"""The files of a report: sent at once while it is read, or prepared in the background."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET, require_POST

from invoices import exports, reports
from invoices.admin.exports import MAY_PREPARE, send
from invoices.admin.links import url_of
from invoices.admin.reports.access import needed, report_for
from invoices.admin.reports.form import PAGE, Form, parameters
from invoices.exports.kinds import FORMATS, CannotPrepare, Made
from invoices.reports import REPORTS, Asked, BadRequest, Pass, Report

log = logging.getLogger(__name__)

JSON = "json"  # beside FORMATS


@require_GET
def download(request: HttpRequest, name: str, format: str) -> HttpResponseBase:
    """The file, sent while it is read. Recorded in the journal of people before its first byte."""
    report = report_for(request, name)
    if format not in (*FORMATS, JSON):
        raise Http404
    form = Form.of(report, request)
    if form.asked is None:
        return redirect(f"{reverse(PAGE, args=[name])}?{request.GET.urlencode()}")
    reading = Pass(report, form.asked)
    made = FORMATS.get(format) or ("application/json", lambda table: reports.json_pieces(reading, table.rows))
    name = file_name(report, form.asked, format)
    return send(request, reading.table(), made, name, needed(report), narrowed(report, form.asked))


def narrowed(report: Report, asked: Asked) -> str:
    """What was asked for, in English, for what is kept."""
    days = f"as of {asked.last}" if report.is_as_of else f"{asked.first} to {asked.last}"
    total = [asked.currency.upper(), report.english(asked.group) if asked.group else ""]
    return " · ".join(filter(None, [f"{days} ({asked.zone.key})", *total]))


def file_name(report: Report, asked: Asked, format: str) -> str:
    """`payments-2026-10-01-2026-10-31-europe-berlin-usd.csv`"""
    days = [asked.last.isoformat()] if report.is_as_of else [asked.first.isoformat(), asked.last.isoformat()]
    zone = asked.zone.key.lower().replace("/", "-").replace("_", "-")
    part = ["part"] if asked.group else []
    return f"{'-'.join(filter(None, [report.name.replace('_', '-'), *days, zone, asked.currency, *part]))}.{format}"


@require_POST
def prepare(request: HttpRequest, name: str) -> HttpResponse:
    """Has the file prepared in the background, and leads to it."""
    report = report_for(request, name)
    if not request.user.has_perm(MAY_PREPARE):
        raise PermissionDenied
    form, format = Form.of(report, request), request.POST.get("format", "csv")
    if form.asked is None or format not in FORMATS:
        return redirect(f"{reverse(PAGE, args=[name])}?{request.GET.urlencode()}")
    try:
        export = exports.ask(
            request.user,  # type: ignore[arg-type]
            _kind(report),
            parameters(report, form.asked),
            format=format,
            title=report.title,
            detail=narrowed(report, form.asked),
            file_name=file_name(report, form.asked, format),
            id=_uuid(request.POST.get("id", "")),
        )
    except exports.TooMany as refused:
        messages.warning(request, str(refused))
        return redirect(reverse("admin:invoices_export_changelist"))
    return redirect(url_of("export", export.pk))


def _make(report: Report, person: User, given: Mapping[str, Any]) -> Made:
    """The table for a worker. Raises CannotPrepare."""
    if not person.is_active or not person.has_perms(needed(report)):
        raise CannotPrepare(gettext_noop("You may not see this report any more."))
    try:
        zone = reports.zone_of(str(given.get("tz", "")))
        first, last = (_date(given.get(key)) for key in ("from", "as_of" if report.is_as_of else "to"))
        currency, group = str(given.get("currency", "")), str(given.get("group", ""))
        asked = reports.asked(report, zone, first, last, currency=currency, group=group)
    except (BadRequest, ValueError) as error:
        raise CannotPrepare(str(error)) from None
    return Made(Pass(report, asked).table(), needed(report))


def _date(written: Any) -> date | None:
    return date.fromisoformat(str(written)) if written else None


def _kind(report: Report) -> str:
    return f"report.{report.name}"


def _uuid(value: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


for _each in REPORTS.values():
    exports.register(_kind(_each), partial(_make, _each))
