"""How the desk itself does: one line for the home page, and a page with a card for each thing that may need a look.

Each of its queries reads a limited number of rows.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from invoices import clock, emails, reconcile, tallies, thresholds
from invoices.admin.formatting import age_text, number
from invoices.admin.links import url_of
from invoices.admin.reconciliation import proof
from invoices.admin.reconciliation import wording as reconciliation_wording
from invoices.models import (
    Contradiction,
    Event,
    Heartbeat,
    Operation,
    PendingEvent,
    ReconciliationRun,
    ScheduledRefetch,
)
from invoices.operations import contradictions, manual_resolution, money_under_way

MAX_COUNTED = 100  # of more rows a card shows `100+`
MAX_WORDS = 120  # characters of an error on a card; its link leads to the whole
PAGE, LINE = "desk_health", "desk_health_line"  # the names of the addresses


@dataclass
class Card:
    """One thing that may need attention. Its `tone` is green when it needs none."""

    title: str
    value: str
    words: str
    tone: str
    link: str


@dataclass
class Line:
    """Health in one line: its tone, a sentence, and the cards that are not green."""

    tone: str
    words: str
    cards: list[Card]


def line(cards: list[Card]) -> Line | None:
    """Red only if something is wrong that does not mend itself; None for somebody who may see nothing of it."""
    if not cards:
        return None
    red = [card for card in cards if card.tone == "red"]
    amber = [card for card in cards if card.tone == "amber"]
    if red:
        return Line("red", _("Something is wrong with the desk:"), red)
    if amber:
        return Line("amber", _("The desk works. Worth a look:"), amber)
    return Line("green", _("The desk works, and is up to date with Stripe."), [])


def line_view(request: HttpRequest) -> HttpResponse:
    """The line, which the open home page asks for when it is shown: reading it takes longer than all the queues."""
    return TemplateResponse(request, "admin/parts/health_line.html", {"health": line(cards(request))})


def page(request: HttpRequest) -> HttpResponse:
    """All cards that this person may see."""
    found = [*cards(request), *_of_operations(request)]
    context = {**admin.site.each_context(request), "title": _("Health"), "cards": found}
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/health.html", context)


def cards(request: HttpRequest) -> list[Card]:
    """What the line is made of."""
    may = request.user.has_perm
    found = []
    if may("invoices.view_event"):
        found += [_failed_events(), _oldest_waiting_event()]
    if may("invoices.view_scheduledrefetch"):
        found += [_given_up_refetches()]
    if may("invoices.view_email"):
        found += _emails_not_sent()
    if may("invoices.view_reconciliationrun"):
        successes = reconcile.last_successes()
        found += [_last_reconciliation(successes), _everything(successes), _last_catch_up(successes), _last_proof()]
    if may("invoices.view_invoice"):
        found += [_counts()]
    return found


def _of_operations(request: HttpRequest) -> list[Card]:
    """What the home page has queues for."""
    if not request.user.has_perm("invoices.view_operation"):
        return []
    found = [_contradictions(), _unknown_outcomes(), _money_under_way(), _awaiting_approval()]
    return [*found, _manual_resolution()] if request.user.has_perm(manual_resolution.PERMISSION) else found


def _counts() -> Card:
    """How old the numbers of the home page are, and what their proof found."""
    title, link, found = _("Numbers of the home page"), reverse("admin:index"), tallies.state()
    if found.counted_at is None or not found.is_filled:
        return Card(
            title, _("not counted yet"), _("A worker counts everything once, then what changes."), "amber", link
        )
    words = (
        _("Proved {age}.").format(age=age_text(found.proved_at))
        if found.proved_at
        else _("They are proved every night.")
    )
    if found.wrong:
        words = _("The last proof found {number} wrong and put them right. The log says which.").format(
            number=number(found.wrong)
        )
    late = clock.now() - found.counted_at > thresholds.TALLIES_LATE
    return Card(title, age_text(found.counted_at), words, "amber" if late or found.wrong else "green", link)


def _count(queryset: Any) -> tuple[int, str]:
    """The number of rows, and its text. Reads at most one row more than `MAX_COUNTED`, because counting a large table
    is slow."""
    count = len(queryset.order_by().values_list("pk", flat=True)[: MAX_COUNTED + 1])
    return count, f"{MAX_COUNTED}+" if count > MAX_COUNTED else str(count)


def _contradictions() -> Card:
    count, shown = _count(Contradiction.objects.filter(contradictions.unresolved()))
    words = _("Stripe says otherwise than the journal.") if count else _("Stripe and the journal say the same.")
    link = f"{reverse('admin:invoices_operation_changelist')}?state=contradicted"
    return Card(_("Contradictions"), shown, words, "red" if count else "green", link)


def _money_under_way() -> Card:
    count, shown = _count(Operation.objects.filter(state=Operation.State.PROCESSING))
    overdue, overdue_shown = _count(Operation.objects.filter(money_under_way.overdue())) if count else (0, "0")
    days = thresholds.BANK_OVERDUE.days
    words = _("No bank is processing a payment.")
    if overdue:
        words = _("{number} for longer than {days} days: ask Stripe.").format(number=overdue_shown, days=days)
    elif count:
        words = _("Banks are processing it, for up to {days} days.").format(days=days)
    link = f"{reverse('admin:invoices_operation_changelist')}?state=processing"
    return Card(_("Money under way"), shown, words, "amber" if overdue else "violet" if count else "green", link)


def _unknown_outcomes() -> Card:
    count, shown = _count(Operation.objects.filter(state__in=Operation.UNFINISHED, state=Operation.State.UNKNOWN))
    words = _("Being checked with Stripe; nothing is done twice.") if count else _("Every action has a clear outcome.")
    link = f"{reverse('admin:invoices_operation_changelist')}?state=unknown"
    return Card(_("Unknown outcomes"), shown, words, "violet" if count else "green", link)


def _manual_resolution() -> Card:
    count, shown = _count(manual_resolution.queue())
    words = _("Look at Stripe, and say what came of it.") if count else _("Everything was settled by itself.")
    link = f"{reverse('admin:invoices_operation_changelist')}?state=undecided"
    return Card(_("For you to decide"), shown, words, "amber" if count else "green", link)


def _awaiting_approval() -> Card:
    count, shown = _count(Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL))
    words = _("A second person decides on each.") if count else _("No request waits for a second person.")
    link = f"{reverse('admin:invoices_operation_changelist')}?state=awaiting_approval"
    return Card(_("Awaiting approval"), shown, words, "amber" if count else "green", link)


def _failed_events() -> Card:
    count, shown = _count(Event.objects.filter(state=Event.State.FAILED))
    words = _("They could not be read into the mirror.") if count else _("All that Stripe told us was understood.")
    link = f"{reverse('admin:invoices_event_changelist')}?state=failed"
    return Card(_("Failed events"), shown, words, "red" if count else "green", link)


def _given_up_refetches() -> Card:
    count, shown = _count(ScheduledRefetch.objects.filter(given_up_at__isnull=False))
    words = _("Reading them failed for a day.") if count else _("All that was to be read from Stripe could be.")
    link = f"{reverse('admin:invoices_scheduledrefetch_changelist')}?state=given_up"
    return Card(_("Objects not read"), shown, words, "red" if count else "green", link)


def _emails_not_sent() -> list[Card]:
    """No card where every e-mail was sent at the first attempt, or just waits for it."""
    found = emails.counts()
    if not found["given_up"] and not found["failing"]:
        return []
    words = _("{failing} failing, tried again by itself. Is the mail server right?")
    if found["given_up"]:
        words = _("{given_up} given up. {failing} failing, tried again by itself. Is the mail server right?")
    words = words.format(given_up=found["given_up"], failing=found["failing"])
    link = f"{reverse('admin:invoices_email_changelist')}?state={'given_up' if found['given_up'] else 'failing'}"
    count = number(found["given_up"] + found["failing"])
    return [Card(_("E-mails not sent"), count, words, "red" if found["given_up"] else "amber", link)]


def _oldest_waiting_event() -> Card:
    """How long the oldest event waits, and when a worker was last seen."""
    oldest = PendingEvent.objects.order_by("next_attempt_at").values_list("received_at", flat=True).first()
    link = f"{reverse('admin:invoices_event_changelist')}?state=pending"
    seen = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    worker = _("Worker seen {age}.").format(age=age_text(seen)) if seen else _("No worker was ever seen.")
    now = clock.now()
    silent = seen is None or now - seen > thresholds.WORKER_SILENT
    if oldest is None:
        return Card(_("Oldest waiting event"), pgettext("event", "none"), worker, "amber" if silent else "green", link)
    late = now - oldest > thresholds.EVENT_LATE
    return Card(_("Oldest waiting event"), age_text(oldest), worker, "amber" if late or silent else "green", link)


def _last_reconciliation(found: reconcile.LastSuccesses) -> Card:
    title, all_runs = _("Last reconciliation"), reverse("admin:invoices_reconciliationrun_changelist")
    kinds = (ReconciliationRun.Kind.SWEEP, ReconciliationRun.Kind.FULL)
    last = ReconciliationRun.objects.filter(kind__in=kinds, dry_run=False).order_by("-started_at").first()
    if last is None:
        return Card(title, _("never"), _("Start one with “Everything”."), "amber", all_runs)
    stale = timezone.now() - last.started_at > thresholds.RECONCILIATION_LATE
    bad = last.state == ReconciliationRun.State.FAILED or last.failed
    interrupted = last.state == ReconciliationRun.State.INTERRUPTED
    tone = "red" if bad else "amber" if stale or last.healed or interrupted else "green"
    words = Truncator(reconciliation_wording.summary(last)).chars(MAX_WORDS)
    if last.state == ReconciliationRun.State.FAILED and found.sweep:
        age = age_text(found.sweep.finished_at or found.sweep.started_at)
        words = _("Failed: {error} The last one finished {age}.").format(error=words, age=age)
    return Card(
        title,
        age_text(last.started_at),
        words,
        tone,
        url_of("reconciliationrun", last.pk),
    )


def _everything(found: reconcile.LastSuccesses) -> Card:
    """Since when every object of every kind was compared: the parts of a full run do so in four weeks."""
    title, since = _("Everything compared"), found.everything_since
    link = reverse("admin:invoices_reconciliationrun_changelist")
    if since is None:
        return Card(
            title, _("not yet"), _("Parts of it are compared every night; “Everything” does it now."), "amber", link
        )
    late = timezone.now() - since > thresholds.COVERAGE_LATE
    words = _("Some parts were missed.") if late else _("A part of all kinds is compared every night.")
    return Card(title, age_text(since), words, "amber" if late else "green", link)


def _last_catch_up(found: reconcile.LastSuccesses) -> Card:
    title, last = _("Last catch-up"), found.catch_up
    if last is None or last.finished_at is None:
        words = _("It makes up for lost webhooks, every quarter of an hour.")
        return Card(title, _("never"), words, "amber", reverse("admin:invoices_reconciliationrun_changelist"))
    link, late = url_of("reconciliationrun", last.pk), timezone.now() - last.finished_at > thresholds.CATCH_UP_LATE
    words = _("What webhooks lost since then is missing.") if late else _("Lost webhooks were made up for.")
    return Card(title, age_text(last.finished_at), words, "amber" if late else "green", link)


def _last_proof() -> Card:
    title, all_runs = _("Equal to Stripe"), reverse("admin:invoices_reconciliationrun_changelist")
    last = proof.latest()
    if last is None or last.finished_at is None:
        return Card(title, _("not proved yet"), _("A proof counts, sums and digests both sides."), "grey", all_runs)
    link, when = url_of("reconciliationrun", last.pk), age_text(last.started_at)
    if last.exit_code == reconcile.CLEAN:
        late = timezone.now() - last.finished_at > thresholds.PROOF_LATE
        words = f"{capfirst(reconciliation_wording.proof_summary(last))}."
        if late:
            words = f"{words} {_('This week’s is missing.')}"
        return Card(title, _("as of {age}").format(age=when), words, "amber" if late else "green", link)
    words = f"{reconciliation_wording.proof_summary(last)}."
    return Card(_("Not equal to Stripe"), _("as of {age}").format(age=when), words, "amber", link)
