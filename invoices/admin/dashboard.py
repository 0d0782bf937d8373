"""The front page: the search, what needs a look, what I did last. Bounded reads only."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from invoices.admin import wording
from invoices.admin.base import LATE, url_of
from invoices.admin.formatting import age_text
from invoices.admin.reconciliation import latest_proof
from invoices.models import Event, Heartbeat, Invoice, Operation, ReconciliationRun
from invoices.operations import person

MOST = 100
SILENT = timedelta(minutes=2)
NIGHTLY = timedelta(hours=26)  # a reconciliation every night, and two hours to finish


@dataclass
class Card:
    """One thing that may need a look: green when it does not."""

    title: str
    value: str
    words: str
    tone: str
    link: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold asks for before it renders the front page."""
    may = request.user.has_perm
    cards = []
    if may("invoices.view_operation"):
        cards += [_unknown(), _waiting()]
        cards += [_undecided()] if may(person.PERMISSION) else []
    if may("invoices.view_event"):
        cards += [_failed_events(), _pending_events()]
    if may("invoices.view_reconciliationrun"):
        cards += [_reconciliation(), _equality()]
    return {
        **context,
        "title": "Home",
        "cards": cards,
        "may_search": may("invoices.view_invoice"),
        "mine": _mine(request) if may("invoices.view_operation") else [],
        "unknown": _unsettled() if may("invoices.view_operation") else [],
    }


def bounded(queryset: Any) -> tuple[int, str]:
    """How many, but never counting beyond a hundred."""
    number = len(queryset.order_by().values_list("pk", flat=True)[: MOST + 1])
    return number, f"{MOST}+" if number > MOST else str(number)


def _unsettled() -> list[dict[str, Any]]:
    """What goes on, oldest first. What a batch has under way stands on its page, unless nobody knows its outcome."""
    alone = Q(batch=None) | Q(state=Operation.State.UNKNOWN)
    found = Operation.objects.filter(alone, state__in=Operation.UNFINISHED).select_related("actor")
    return _numbered(list(found.order_by("created_at")[:8]))


def _unknown() -> Card:
    number, shown = bounded(Operation.objects.filter(state__in=Operation.UNFINISHED, state=Operation.State.UNKNOWN))
    words = "Being checked with Stripe; nothing is sent twice." if number else "Every action has a clear outcome."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=unknown"
    return Card("Unknown outcomes", shown, words, "violet" if number else "green", link)


def _undecided() -> Card:
    number, shown = bounded(person.queue().filter(state__in=Operation.UNFINISHED))
    words = "Look at Stripe, and say what came of it." if number else "Everything was settled by itself."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=undecided"
    return Card("For you to decide", shown, words, "amber" if number else "green", link)


def _waiting() -> Card:
    number, shown = bounded(Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL))
    words = "A second person decides on each." if number else "Nothing waits for a second person."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=awaiting_approval"
    return Card("Awaiting approval", shown, words, "amber" if number else "green", link)


def _failed_events() -> Card:
    number, shown = bounded(Event.objects.filter(state=Event.State.FAILED))
    words = "They could not be read into the mirror." if number else "All that Stripe told us was understood."
    link = f"{reverse('admin:invoices_event_changelist')}?state=failed"
    return Card("Failed events", shown, words, "red" if number else "green", link)


def _pending_events() -> Card:
    pending = Event.objects.filter(state=Event.State.PENDING)
    oldest = pending.order_by("next_attempt_at").values_list("received_at", flat=True).first()
    link = f"{reverse('admin:invoices_event_changelist')}?state=pending"
    seen = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    worker = f"Worker seen {age_text(seen)}." if seen else "No worker was ever seen."
    silent = seen is None or timezone.now() - seen > SILENT
    if oldest is None:
        return Card("Oldest waiting event", "none", worker, "amber" if silent else "green", link)
    late = timezone.now() - oldest > LATE
    return Card("Oldest waiting event", age_text(oldest), worker, "amber" if late or silent else "green", link)


def _reconciliation() -> Card:
    title, everything = "Last reconciliation", reverse("admin:invoices_reconciliationrun_changelist")
    kinds = (ReconciliationRun.Kind.SWEEP, ReconciliationRun.Kind.FULL)
    last = ReconciliationRun.objects.filter(kind__in=kinds, dry_run=False).order_by("-started_at").first()
    if last is None:
        return Card(title, "never", "Start one with “Everything”.", "amber", everything)
    stale = timezone.now() - last.started_at > NIGHTLY
    bad = last.state == ReconciliationRun.State.FAILED or last.failed
    tone = "red" if bad else "amber" if stale or last.healed else "green"
    return Card(title, age_text(last.started_at), wording.run(last), tone, url_of("reconciliationrun", last.pk))


def _equality() -> Card:
    title, everything = "Equal to Stripe", reverse("admin:invoices_reconciliationrun_changelist")
    last = latest_proof()
    if last is None or last.finished_at is None:
        return Card(title, "not proved yet", "A proof counts, sums and digests both sides.", "grey", everything)
    link, when = url_of("reconciliationrun", last.pk), age_text(last.started_at)
    if last.exit_code == 0:
        return Card(title, f"as of {when}", wording.proof(last).capitalize() + ".", "green", link)
    return Card("Not equal to Stripe", f"as of {when}", f"{wording.proof(last)}.", "amber", link)


def _mine(request: HttpRequest) -> list[dict[str, Any]]:
    """What this person did last, so that she can go on where she was."""
    return _numbered(list(Operation.objects.filter(actor_id=request.user.pk).order_by("-created_at")[:8]))


def _numbered(operations: list[Operation]) -> list[dict[str, Any]]:
    """Each with its invoice's number."""
    invoices = Invoice.objects.filter(pk__in=[operation.invoice for operation in operations]).defer("data")
    numbers = {invoice.pk: wording.number(invoice) for invoice in invoices}
    return [
        {"operation": operation, "number": numbers.get(operation.invoice, operation.invoice)}
        for operation in operations
    ]
