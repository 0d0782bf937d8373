"""The home page: the search, what needs attention, and what this person did last.

Each of its queries reads a limited number of rows.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.text import Truncator

from invoices import clock, emails, reconcile, sign_ins, thresholds
from invoices.admin.formatting import age_text
from invoices.admin.invoices import under_way
from invoices.admin.invoices import wording as invoice_wording
from invoices.admin.links import url_of
from invoices.admin.reconciliation import proof
from invoices.admin.reconciliation import wording as reconciliation_wording
from invoices.models import (
    Batch,
    Contradiction,
    Event,
    Heartbeat,
    Invoice,
    Operation,
    PendingEvent,
    ReconciliationRun,
    ScheduledRefetch,
)
from invoices.operations import contradictions, manual_resolution, money_under_way

MAX_COUNTED = 100  # of more rows a card shows `100+`
MAX_WORDS = 120  # characters of an error on a card; its link leads to the whole
OPERATIONS_SHOWN = 8  # in each of the two lists


@dataclass
class Card:
    """One thing that may need attention. Its `tone` is green when it needs none."""

    title: str
    value: str
    words: str
    tone: str
    link: str


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the home page (admin/index.html); the theme calls it, see settings.UNFOLD."""
    may = request.user.has_perm
    cards = []
    if may("invoices.view_operation"):
        cards += [_contradictions(), _unknown_outcomes(), _money_under_way(), _awaiting_approval()]
        cards += _batches_awaiting_approval() if may("invoices.view_batch") else []
        cards += [_manual_resolution()] if may(manual_resolution.PERMISSION) else []
    if may("invoices.view_event"):
        cards += [_failed_events(), _oldest_waiting_event()]
    if may("invoices.view_scheduledrefetch"):
        cards += [_given_up_refetches()]
    if may("invoices.view_email"):
        cards += _emails_not_sent()
    if may("invoices.view_reconciliationrun"):
        found = reconcile.last_successes()
        cards += [_last_reconciliation(found), _everything(found), _last_catch_up(found), _last_proof()]
    return {
        **context,
        "title": "Home",
        "cards": cards,
        "last_sign_in": sign_ins.last_sign_in(request.user, before_this=True),
        "may_search": may("invoices.view_invoice"),
        "own_operations": _own_operations(request) if may("invoices.view_operation") else [],
        "contradictions": _unresolved_contradictions() if may("invoices.view_operation") else [],
        "under_way": _under_way_longest() if may("invoices.view_operation") else [],
        "unfinished_operations": _unfinished_operations() if may("invoices.view_operation") else [],
    }


def _count(queryset: Any) -> tuple[int, str]:
    """The number of rows, and its text. Reads at most one row more than `MAX_COUNTED`, because counting a large table
    is slow."""
    number = len(queryset.order_by().values_list("pk", flat=True)[: MAX_COUNTED + 1])
    return number, f"{MAX_COUNTED}+" if number > MAX_COUNTED else str(number)


def _unfinished_operations() -> list[dict[str, Any]]:
    """The operations that have not ended, oldest first. Those of a batch are on the page of the batch; here they are
    shown only if their outcome is unknown."""
    shown_here = Q(batch=None) | Q(state=Operation.State.UNKNOWN)
    found = Operation.objects.filter(shown_here, state__in=Operation.UNFINISHED).select_related("actor")
    return _with_invoice_numbers(list(found.order_by("created_at")[:OPERATIONS_SHOWN]))


def _unresolved_contradictions() -> list[dict[str, Any]]:
    """What Stripe says otherwise than the journal, the oldest first."""
    found = Contradiction.objects.filter(contradictions.unresolved()).select_related("operation__actor")
    rows = list(found.order_by("found_at")[:OPERATIONS_SHOWN])
    named = _with_invoice_numbers([row.operation for row in rows])
    return [{**each, "contradiction": row} for row, each in zip(rows, named, strict=True)]


def _under_way_longest() -> list[dict[str, Any]]:
    """The money that banks take longest with, so the overdue first."""
    found = Operation.objects.filter(state=Operation.State.PROCESSING).select_related("actor")
    rows = _with_invoice_numbers(list(found.order_by("last_call_first_sent_at")[:OPERATIONS_SHOWN]))
    return [{**row, "amount": under_way.amount_of(row["operation"])} for row in rows]


def _contradictions() -> Card:
    number, shown = _count(Contradiction.objects.filter(contradictions.unresolved()))
    words = "Stripe says otherwise than the journal." if number else "Stripe and the journal say the same."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=contradicted"
    return Card("Contradictions", shown, words, "red" if number else "green", link)


def _money_under_way() -> Card:
    number, shown = _count(Operation.objects.filter(state=Operation.State.PROCESSING))
    overdue, overdue_shown = _count(Operation.objects.filter(money_under_way.overdue())) if number else (0, "0")
    days = thresholds.BANK_OVERDUE.days
    words = f"Banks are processing it, for up to {days} days." if number else "No bank is processing a payment."
    if overdue:
        words = f"{overdue_shown} for longer than {days} days: ask Stripe."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=processing"
    return Card("Money under way", shown, words, "amber" if overdue else "violet" if number else "green", link)


def _unknown_outcomes() -> Card:
    number, shown = _count(Operation.objects.filter(state__in=Operation.UNFINISHED, state=Operation.State.UNKNOWN))
    words = "Being checked with Stripe; nothing is done twice." if number else "Every action has a clear outcome."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=unknown"
    return Card("Unknown outcomes", shown, words, "violet" if number else "green", link)


def _manual_resolution() -> Card:
    number, shown = _count(manual_resolution.queue())
    words = "Look at Stripe, and say what came of it." if number else "Everything was settled by itself."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=undecided"
    return Card("For you to decide", shown, words, "amber" if number else "green", link)


def _awaiting_approval() -> Card:
    number, shown = _count(Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL))
    words = "A second person decides on each." if number else "No request waits for a second person."
    link = f"{reverse('admin:invoices_operation_changelist')}?state=awaiting_approval"
    return Card("Awaiting approval", shown, words, "amber" if number else "green", link)


def _batches_awaiting_approval() -> list[Card]:
    """One request each, whatever the number of invoices. No card where none waits."""
    waiting = Batch.objects.filter(awaiting_approval=True, finished_at=None)
    number, shown = _count(waiting)
    if not number:
        return []
    link = reverse("admin:invoices_batch_changelist")
    if number == 1:
        link = url_of("batch", waiting.values_list("pk", flat=True).first())
    return [Card("Batches awaiting approval", shown, "A second person decides on the whole.", "amber", link)]


def _failed_events() -> Card:
    number, shown = _count(Event.objects.filter(state=Event.State.FAILED))
    words = "They could not be read into the mirror." if number else "All that Stripe told us was understood."
    link = f"{reverse('admin:invoices_event_changelist')}?state=failed"
    return Card("Failed events", shown, words, "red" if number else "green", link)


def _given_up_refetches() -> Card:
    number, shown = _count(ScheduledRefetch.objects.filter(given_up_at__isnull=False))
    words = "Reading them failed for a day." if number else "All that was to be read from Stripe could be."
    link = f"{reverse('admin:invoices_scheduledrefetch_changelist')}?state=given_up"
    return Card("Objects not read", shown, words, "red" if number else "green", link)


def _emails_not_sent() -> list[Card]:
    """No card where every e-mail was sent at the first attempt, or just waits for it."""
    found = emails.counts()
    if not found["given_up"] and not found["failing"]:
        return []
    given_up = f"{found['given_up']} given up. " if found["given_up"] else ""
    words = f"{given_up}{found['failing']} failing, tried again by itself. Is the mail server right?"
    link = f"{reverse('admin:invoices_email_changelist')}?state={'given_up' if found['given_up'] else 'failing'}"
    number = str(found["given_up"] + found["failing"])
    return [Card("E-mails not sent", number, words, "red" if found["given_up"] else "amber", link)]


def _oldest_waiting_event() -> Card:
    """How long the oldest event waits, and when a worker was last seen."""
    oldest = PendingEvent.objects.order_by("next_attempt_at").values_list("received_at", flat=True).first()
    link = f"{reverse('admin:invoices_event_changelist')}?state=pending"
    seen = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    worker = f"Worker seen {age_text(seen)}." if seen else "No worker was ever seen."
    now = clock.now()
    silent = seen is None or now - seen > thresholds.WORKER_SILENT
    if oldest is None:
        return Card("Oldest waiting event", "none", worker, "amber" if silent else "green", link)
    late = now - oldest > thresholds.EVENT_LATE
    return Card("Oldest waiting event", age_text(oldest), worker, "amber" if late or silent else "green", link)


def _last_reconciliation(found: reconcile.LastSuccesses) -> Card:
    title, all_runs = "Last reconciliation", reverse("admin:invoices_reconciliationrun_changelist")
    kinds = (ReconciliationRun.Kind.SWEEP, ReconciliationRun.Kind.FULL)
    last = ReconciliationRun.objects.filter(kind__in=kinds, dry_run=False).order_by("-started_at").first()
    if last is None:
        return Card(title, "never", "Start one with “Everything”.", "amber", all_runs)
    stale = timezone.now() - last.started_at > thresholds.RECONCILIATION_LATE
    bad = last.state == ReconciliationRun.State.FAILED or last.failed
    interrupted = last.state == ReconciliationRun.State.INTERRUPTED
    tone = "red" if bad else "amber" if stale or last.healed or interrupted else "green"
    words = Truncator(reconciliation_wording.summary(last)).chars(MAX_WORDS)
    if last.state == ReconciliationRun.State.FAILED and found.sweep:
        words = f"Failed: {words} The last one finished {age_text(found.sweep.finished_at or found.sweep.started_at)}."
    return Card(
        title,
        age_text(last.started_at),
        words,
        tone,
        url_of("reconciliationrun", last.pk),
    )


def _everything(found: reconcile.LastSuccesses) -> Card:
    """Since when every object of every kind was compared: the parts of a full run do so in four weeks."""
    title, since = "Everything compared", found.everything_since
    link = reverse("admin:invoices_reconciliationrun_changelist")
    if since is None:
        return Card(title, "not yet", "Parts of it are compared every night; “Everything” does it now.", "amber", link)
    late = timezone.now() - since > thresholds.COVERAGE_LATE
    words = "Some parts were missed." if late else "A part of all kinds is compared every night."
    return Card(title, age_text(since), words, "amber" if late else "green", link)


def _last_catch_up(found: reconcile.LastSuccesses) -> Card:
    title, last = "Last catch-up", found.catch_up
    if last is None or last.finished_at is None:
        words = "It makes up for lost webhooks, every quarter of an hour."
        return Card(title, "never", words, "amber", reverse("admin:invoices_reconciliationrun_changelist"))
    link, late = url_of("reconciliationrun", last.pk), timezone.now() - last.finished_at > thresholds.CATCH_UP_LATE
    words = "What webhooks lost since then is missing." if late else "Lost webhooks were made up for."
    return Card(title, age_text(last.finished_at), words, "amber" if late else "green", link)


def _last_proof() -> Card:
    title, all_runs = "Equal to Stripe", reverse("admin:invoices_reconciliationrun_changelist")
    last = proof.latest()
    if last is None or last.finished_at is None:
        return Card(title, "not proved yet", "A proof counts, sums and digests both sides.", "grey", all_runs)
    link, when = url_of("reconciliationrun", last.pk), age_text(last.started_at)
    if last.exit_code == reconcile.CLEAN:
        late = timezone.now() - last.finished_at > thresholds.PROOF_LATE
        words = (
            f"{reconciliation_wording.proof_summary(last).capitalize()}.{' This week’s is missing.' if late else ''}"
        )
        return Card(title, f"as of {when}", words, "amber" if late else "green", link)
    return Card("Not equal to Stripe", f"as of {when}", f"{reconciliation_wording.proof_summary(last)}.", "amber", link)


def _own_operations(request: HttpRequest) -> list[dict[str, Any]]:
    """The newest operations that this person requested."""
    found = Operation.objects.filter(actor_id=request.user.pk).order_by("-created_at")
    return _with_invoice_numbers(list(found[:OPERATIONS_SHOWN]))


def _with_invoice_numbers(operations: list[Operation]) -> list[dict[str, Any]]:
    """Each operation with the number of its invoice, or the invoice's id if we do not have it."""
    invoices = Invoice.objects.filter(pk__in=[operation.invoice for operation in operations]).defer("data")
    numbers = {invoice.pk: invoice_wording.number(invoice) for invoice in invoices}
    return [
        {"operation": operation, "number": numbers.get(operation.invoice, operation.invoice)}
        for operation in operations
    ]
