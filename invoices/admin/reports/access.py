"""Who may see a report: whoever has the permission for reports, and those of what the report shows."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from invoices.reports import PERMISSION, REPORTS, Report


def may_see(request: HttpRequest, report: Report) -> bool:
    return request.user.has_perms(needed(report))


def needed(report: Report) -> list[str]:
    """The permissions without which nobody may have this report."""
    return sorted({PERMISSION, *report.permissions})


def report_for(request: HttpRequest, name: str) -> Report:
    """Raises Http404, PermissionDenied."""
    if name not in REPORTS:
        raise Http404
    if not may_see(request, REPORTS[name]):
        raise PermissionDenied
    return REPORTS[name]
