"""After an operation: whether the mirror still has the invoice as it was before. Then nothing on the page is copied.

Stripe has done it, but what the mirror holds may be older: an answer whose order is not certain is not stored, and a
read that settles the order follows within seconds. Until then the page shows the old amounts, and says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from invoices import clock, scheduled_refetches
from invoices.admin.base import RecordAdmin
from invoices.models import Invoice, Operation
from invoices.thresholds import NEWEST_STATE_LATE

State = Operation.State
COMPARED = ("status", "amount_due", "amount_paid", "amount_remaining")  # of the journal's facts


@dataclass(frozen=True)
class Waiting:
    """What the page shows of the invoice is older than this operation. `is_late`: for so long that the page asks no
    more by itself."""

    operation: Operation
    is_late: bool


def for_newer_state(invoice: Invoice, operations: Iterable[Operation]) -> Waiting | None:
    """Whether a newer state of the invoice is to come, after the last of its operations that took effect. None where
    the mirror has what Stripe showed then, or what it showed later."""
    done = [each for each in operations if each.state == State.SUCCEEDED and each.calls and each.finished_at]
    last = max(done, key=lambda each: each.finished_at, default=None)  # type: ignore[arg-type, return-value]
    if last is None or last.finished_at is None or invoice.stored_at is None:
        return None
    if last.after and all(getattr(invoice, name) == last.after.get(name) for name in COMPARED):
        return None
    is_read = not scheduled_refetches.look("invoice", invoice.pk)  # what was to be read has been
    is_late = clock.now() - last.finished_at > NEWEST_STATE_LATE
    # Written after the operation, the row is newer than what Stripe showed then; unless a read is still to say so.
    if invoice.stored_at > last.finished_at and (is_read or is_late):
        return None
    if not last.after and is_read and is_late:  # nobody knows what it was to become
        return None
    return Waiting(last, is_late)


def newest(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """GET, by the open page every two seconds: the sentence that it waits; once the newer state is there, that the page
    can be shown anew. The browser does that by itself unless something was typed."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    invoice = admin.record(object_id)
    if invoice is None:
        return HttpResponse(status=404)
    operations = Operation.objects.filter(invoice=invoice.pk, state=State.SUCCEEDED).order_by("-finished_at")[:1]
    waiting = for_newer_state(invoice, operations)
    headers = {} if waiting else {"HX-Trigger": "newest-state-is-in"}
    context = {"waiting": waiting, "invoice": invoice, "came": waiting is None}
    return TemplateResponse(request, "admin/invoices/parts/waiting.html", context, headers=headers)
