"""What a proof of equality covered and found, in sentences: for its page, the command and the e-mail to finance.

A page is made in its reader's language. Where no page is made, such as by a command or a worker, it is English.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from invoices.models import ReconciliationRun

PLURALS = {  # Stripe's `object` → what several of them are called
    "customer": gettext_noop("customers"),
    "invoice": gettext_noop("invoices"),
    "invoice_payment": gettext_noop("invoice payments"),
    "payment_intent": gettext_noop("payment intents"),
    "charge": gettext_noop("charges"),
    "credit_note": gettext_noop("credit notes"),
    "refund": gettext_noop("refunds"),
}


def plural(object: str) -> str:
    """What several objects of this kind are called; `object` is Stripe's value."""
    return _(PLURALS[object]) if object in PLURALS else object.replace("_", " ")


def covered(object: str, kind: dict[str, Any], day: Callable[[str], str] = str) -> Iterator[str]:
    """How one kind was compared, and what was left out of it. `kind`: a ReportKind. `day`: how an ISO date is shown."""
    found = kind.get("found", {})
    if kind.get("oldest"):
        first, last = day(kind["oldest"][:10]), day(kind["newest"][:10])
        yield _("created from {first} to {last}.").format(first=first, last=last)
    if number := kind.get("long_invoices"):
        requests = kind["line_requests"]
        read_whole = ngettext(
            "{number} has more than ten lines, read whole with {requests}.",
            "{number} have more than ten lines, read whole with {requests}.",
            number,
        )
        with_requests = ngettext("{count} request", "{count} requests", requests).format(count=_number(requests))
        yield read_whole.format(number=_number(number), requests=with_requests)
    if number := found.get("in_flight"):
        yield ngettext(
            "{number} is in flight: an event or a refetch is under way. They are in neither side's sums; prove again "
            "when the mirror has caught up.",
            "{number} are in flight: an event or a refetch is under way. They are in neither side's sums; prove again "
            "when the mirror has caught up.",
            number,
        ).format(number=_number(number))
    if number := found.get("next_sweep"):
        yield ngettext(
            "{number} comes with the next sweep: not paid, newer than the last one, and Stripe sends no event of it.",
            "{number} come with the next sweep: not paid, newer than the last one, and Stripe sends no event of it.",
            number,
        ).format(number=_number(number))
    if number := found.get("not_imported"):
        yield ngettext(
            "{number} is at Stripe and not imported yet, because this kind is newer than the last full run. "
            "`reconcile --full` imports them, and so do 28 nights; then prove again.",
            "{number} are at Stripe and not imported yet, because this kind is newer than the last full run. "
            "`reconcile --full` imports them, and so do 28 nights; then prove again.",
            number,
        ).format(number=_number(number))
    if number := found.get("unlisted"):
        yield ngettext(
            "{number} is not in Stripe's list; retrieved singly, equal.",
            "{number} are not in Stripe's list; retrieved singly, equal.",
            number,
        ).format(number=_number(number))
    if number := kind.get("looked_up"):
        yield ngettext(
            "{number} was retrieved singly, because the sides seemed to differ.",
            "{number} were retrieved singly, because the sides seemed to differ.",
            number,
        ).format(number=_number(number))
    if number := kind.get("by_list"):
        yield ngettext(
            "{number} was judged by Stripe's list alone, because so many differed.",
            "{number} were judged by Stripe's list alone, because so many differed.",
            number,
        ).format(number=_number(number))
    if number := kind.get("unwritten"):
        yield ngettext(
            "{number} differs and is counted, and not written down singly.",
            "{number} differ and are counted, and not written down singly.",
            number,
        ).format(number=_number(number))


def difference_count(run: ReconciliationRun) -> str:
    """`3 objects differ`, and how many could not be compared, because their kind is not imported yet."""
    differ = ngettext("{number} object differs", "{number} objects differ", run.failed).format(
        number=_number(run.failed)
    )
    awaited = sum(kind.get("found", {}).get("not_imported", 0) for kind in run.report.get("kinds", {}).values())
    if not awaited:
        return differ
    return _("{differ}, {number} not imported yet").format(differ=differ, number=_number(awaited))


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)
