"""The proof of equality: the newest one, and what the page of one shows. `ReconciliationRun.report` is its result.

Reports of before version 2 have invoices only, and no differences written down; their pages show what they have.
"""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from invoices import money, recorded
from invoices.admin.formatting import number, words
from invoices.admin.paging import paging
from invoices.admin.reconciliation import drift, wording
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from invoices.reconcile import grand_total, proof_in_words
from invoices.reconcile.grand_total import OLD_SUMS

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
EQUAL_DAYS_PER_PAGE = 31
DIFFERING_DAYS_PER_PAGE = 10
# What may be found: member of `ReportKind.found` → heading of the table of kinds, and words around a number.
FOUND = {
    "missing_here": (gettext_noop("Missing here"), gettext_noop("{number} missing here")),
    "missing_at_stripe": (gettext_noop("Missing at Stripe"), gettext_noop("{number} missing at Stripe")),
    "differs": (gettext_noop("Differ"), gettext_noop("{number} differing")),
    "columns": (gettext_noop("Columns wrong"), gettext_noop("{number} with wrong columns")),
    "unreadable": (gettext_noop("Unreadable"), gettext_noop("{number} unreadable")),
    "in_flight": (gettext_noop("In flight"), gettext_noop("{number} in flight")),
    "not_imported": (gettext_noop("Not imported"), gettext_noop("{number} not imported yet")),
}


def latest() -> ReconciliationRun | None:
    """The newest proof of equality that has finished."""
    finished = ReconciliationRun.objects.filter(kind=Kind.VERIFY, state=State.FINISHED)
    return finished.order_by("-started_at").defer("report", "progress").first()


def context(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    """What the page of a proof shows: what was compared, the differences, the days that differ, and the equal days; of
    each list one page, the newest first."""
    report: Any = run.report if isinstance(run.report, dict) else {}
    days = [day for day in report.get("days", []) if isinstance(day, dict) and _may_see(request, day.get("object"))]
    kinds = report["kinds"] if isinstance(report.get("kinds"), dict) else {}
    sums = {object: kind.get("sums", OLD_SUMS) for object, kind in kinds.items()}
    equal, differing = ([day for day in reversed(days) if bool(day.get("equal")) is same] for same in (True, False))
    equal_pages = paging(request, EQUAL_DAYS_PER_PAGE, len(equal), name="equal")
    differing_pages = paging(request, DIFFERING_DAYS_PER_PAGE, len(differing), name="days")
    equal_page = equal[equal_pages.begin : equal_pages.begin + EQUAL_DAYS_PER_PAGE]
    differing_page = differing[differing_pages.begin : differing_pages.begin + DIFFERING_DAYS_PER_PAGE]
    return {
        "report": report,
        "equal": report.get("equal"),
        "kinds": [_kind(object, kind) for object, kind in kinds.items()],
        "found_headings": [_(heading) for heading, _words in FOUND.values()],
        "not_shown": [recorded.shown(sentence) for sentence in report.get("not_shown", [])],
        "differing_days": len(differing),
        "differing": [_day(day, sums) for day in differing_page],
        "differing_pages": differing_pages,
        "equal_days": len(equal),
        "days": [_day(day, sums) for day in equal_page],
        "equal_pages": equal_pages,
        **_grand_total(request, report),
        **(drift.context(request, run) if kinds else {}),
    }


def _may_see(request: HttpRequest, object: Any) -> bool:
    """Whether this person may see objects of this kind, and so what they add up to. How many were compared is the
    run's."""
    model = MIRRORED.get(object, Invoice) if isinstance(object, str) else Invoice
    return request.user.has_perm(f"invoices.view_{model._meta.model_name}")


def _grand_total(request: HttpRequest, report: Any) -> dict[str, Any]:
    """The table at the end: each kind and currency, and the sentence below it, which is about all kinds."""
    totals = grand_total.grand_total(report)
    seen = [total for total in totals if _may_see(request, total.object)]
    return {
        "totals": [
            {
                "kind": proof_in_words.plural(total.object),
                "currency": total.currency.upper(),
                "rows": [(_counted(name), *values) for name, *values in total.rows()],
            }
            for total in seen
        ],
        "total_result": grand_total.result(totals, bool(report.get("equal"))),
    }


def _counted(name: str) -> str:
    """What a row of the grand total counts: how many there are, or one of the amounts."""
    return pgettext("how many", "number") if name == "number" else words(name)


def _kind(object: str, kind: dict[str, Any]) -> dict[str, Any]:
    """A row of the table of what was compared, and the sentences below it."""
    found = kind.get("found", {})
    return {
        "name": proof_in_words.plural(object),
        "here": kind.get("here", 0),
        "at_stripe": kind.get("at_stripe", 0),
        "found": [(found.get(name, 0), name != "in_flight") for name in FOUND],
        "sentences": list(proof_in_words.covered(object, kind, wording.utc_day)),
    }


def _day(day: dict[str, Any], sums: dict[str, Any]) -> dict[str, Any]:
    """The objects of one kind created on one day (UTC): for each currency and status our number and sums, and Stripe's.
    `content_only`: numbers and sums are equal, but some other member of an object differs."""
    object = day.get("object", "invoice")
    names = sums.get(object, OLD_SUMS)
    ours, theirs = (_groups(day.get(side)) for side in ("ours", "theirs"))
    rows = [_group(group, ours.get(group), theirs.get(group), len(names)) for group in sorted({*ours, *theirs})]
    counts = (sum(group[0] for group in side.values()) for side in (ours, theirs))
    return {
        "day": wording.utc_day(str(day.get("day") or "")),
        "kind": proof_in_words.plural(object),
        "sums": [words(name) for name in names],
        "rows": rows,
        "counts": tuple(counts),
        "found": [
            _(FOUND[name][1]).format(number=number(count)) for name, count in _found(day).items() if name in FOUND
        ],
        "content_only": bool(rows) and not any(row["differs"] for row in rows) and not day.get("equal"),
    }


def _group(group: str, ours: list[int] | None, theirs: list[int] | None, sums: int) -> dict[str, Any]:
    """A currency and a status as the rows of a day's table: one of each side, or one of both where they are the same.
    Each is whose it is, the number of objects, and the sums."""
    currency, _space, status = group.partition(" ")
    differs = ours != theirs
    sides = {_("Ours"): ours, _("Stripe's"): theirs} if differs else {_("Both"): ours}
    return {
        "currency": currency.upper(),
        "status": words(status),
        "sides": [(whose, *_sums(group, values, sums)) for whose, values in sides.items()],
        "differs": differs,
    }


def _found(day: dict[str, Any]) -> dict[str, int]:
    found = day.get("found")
    return found if isinstance(found, dict) else {}


def _groups(side: Any) -> dict[str, list[int]]:
    """`usd paid` → [number of objects, then the sums of the kind], amounts in minor units."""
    return side.get("groups", {}) if isinstance(side, dict) else {}


def _sums(group: str, values: Iterable[int] | None, sums: int) -> tuple[str, list[str]]:
    """The number of objects, and so many sums with their currency."""
    if values is None:
        return pgettext("objects", "none"), ["–"] * sums
    count, *amounts = values
    currency = group.partition(" ")[0]
    return number(count), [money.text(amount, currency) for amount in amounts]
