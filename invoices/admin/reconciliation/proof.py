"""The proof of equality: the newest one, and both sides of one for its page. `ReconciliationRun.report` is its
result."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest

from invoices import money
from invoices.admin.paging import paging
from invoices.models import ReconciliationRun

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
EQUAL_DAYS_PER_PAGE = 31  # days that differ are shown all


def latest() -> ReconciliationRun | None:
    """The newest proof of equality that has finished."""
    finished = ReconciliationRun.objects.filter(kind=Kind.VERIFY, state=State.FINISHED)
    return finished.order_by("-started_at").defer("report", "progress").first()


def context(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    """What the page of a proof shows: all days that differ, and the equal days page by page, the newest first."""
    report: Any = run.report if isinstance(run.report, dict) else {}
    days = [day for day in report.get("days", []) if isinstance(day, dict)]
    equal = [day for day in days if day.get("equal")]
    pages = paging(request, EQUAL_DAYS_PER_PAGE, len(equal))
    return {
        "report": report,
        "equal": report.get("equal"),
        "differing": [_day(day) for day in days if not day.get("equal")],
        "equal_days": len(equal),
        "days": [_day(day) for day in reversed(equal)][pages.begin : pages.begin + EQUAL_DAYS_PER_PAGE],
        "pages": pages,
    }


def _day(day: dict[str, Any]) -> dict[str, Any]:
    """The invoices created on one day (UTC): for each currency and status our number and sums, and Stripe's.
    `content_only`: numbers and sums are equal, but some other field of an invoice differs."""
    ours, theirs = (_groups(day.get(side)) for side in ("ours", "theirs"))
    rows = [
        {
            "currency": group.partition(" ")[0].upper(),
            "status": group.partition(" ")[2],
            "ours": _sums(group, ours.get(group)),
            "theirs": _sums(group, theirs.get(group)),
            "differs": ours.get(group) != theirs.get(group),
        }
        for group in sorted({*ours, *theirs})
    ]
    counts = (sum(group[0] for group in side.values()) for side in (ours, theirs))
    content_only = bool(rows) and not any(row["differs"] for row in rows) and not day.get("equal")
    return {"day": day.get("day"), "rows": rows, "counts": tuple(counts), "content_only": content_only}


def _groups(side: Any) -> dict[str, list[int]]:
    """`usd paid` → [number of invoices, total, paid, remaining], amounts in minor units."""
    return side.get("groups", {}) if isinstance(side, dict) else {}


def _sums(group: str, values: Iterable[int] | None) -> dict[str, str]:
    if values is None:
        return {"number": "none", "total": "–", "paid": "–", "remaining": "–"}
    number, *sums = values
    currency = group.partition(" ")[0]
    written = (money.text(amount, currency) for amount in sums)
    return {"number": f"{number:,}", **dict(zip(("total", "paid", "remaining"), written, strict=False))}
