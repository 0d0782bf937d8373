"""Reports: what finance asks at the end of a month, each answered from the mirror and the journal in one pass.

asked.py     which days, in which time zone; report.py what a report consists of; totals.py what it adds up to
reading.py   one pass over a report, as a page, a table or JSON
history.py   what of an invoice remained at an earlier moment; deeds.py who at the desk did it, and who agreed

Each report is a file of its own.
"""

from invoices.reports.asked import KNOWN, NO_CURRENCY, NOT_KNOWN, Asked, BadRequest, last_month, today, zone_of
from invoices.reports.attempts import Attempts
from invoices.reports.differences import Differences
from invoices.reports.issued import Issued
from invoices.reports.payments import Payments
from invoices.reports.people import Operations
from invoices.reports.reading import Pass, asked, json_pieces, snapshot
from invoices.reports.receivables import Receivables
from invoices.reports.report import Entry, Report
from invoices.reports.totals import Total, Totals
from invoices.reports.write_offs import WriteOffs

PERMISSION = "invoices.view_reports"  # and those of what a report shows

REPORTS: dict[str, Report] = {
    report.name: report
    for report in (Payments(), Receivables(), Issued(), WriteOffs(), Attempts(), Operations(), Differences())
}

__all__ = [
    "KNOWN",
    "NOT_KNOWN",
    "NO_CURRENCY",
    "PERMISSION",
    "REPORTS",
    "Asked",
    "BadRequest",
    "Entry",
    "Pass",
    "Report",
    "Total",
    "Totals",
    "asked",
    "json_pieces",
    "last_month",
    "snapshot",
    "today",
    "zone_of",
]
