"""The one timeline of an invoice's page: what Stripe told, every attempt, what people asked for and decided, notes,
promises, drift, refunds and credit notes, newest first.

Each source reads its newest rows before a moment, by an index, and only where the reader may see them. A page of the
timeline joins them. So an invoice with many thousand events costs as much as one with fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money, notes, recorded
from invoices.admin import access, days
from invoices.admin.events import wording as event_wording
from invoices.admin.formatting import words
from invoices.admin.invoices import payment_methods, work
from invoices.admin.links import url_of
from invoices.admin.operations import wording as operation_wording
from invoices.admin.payments import wording as payment_wording
from invoices.admin.reconciliation import wording as reconciliation_wording
from invoices.models import Charge, CreditNote, Drift, Event, Note, Operation, Refund
from invoices.models.reading import expandable_id
from invoices.operations import label_of
from invoices.operations.payment_method import PaymentMethodFacts

if TYPE_CHECKING:
    from invoices.admin.invoices.page import InvoicePage

ENTRIES_PER_PAGE = 40
ROWS_READ = 2 * ENTRIES_PER_PAGE + 1  # by each source: what happened in one second is never split
# An attempt tells these itself, with card and reason. They are shown among Stripe's events alone.
TOLD_BY_ATTEMPTS = ("charge.succeeded", "charge.failed", "charge.pending")
CHARGE_STATUS = {
    "succeeded": (gettext_noop("Charged: {amount}, {card}"), "green"),
    "failed": (gettext_noop("Declined: {amount}, {card}"), "red"),
    "pending": (gettext_noop("At the bank: {amount}, {card}"), "violet"),
}


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. `who`: the person or service; empty where it is Stripe or the desk. `lines`: more, each
    a sentence. `quote`: what somebody wrote."""

    when: datetime
    kind: str
    title: str
    who: str = ""
    lines: tuple[str, ...] = ()
    quote: str = ""
    link: str = ""
    tone: str = ""


Source = Callable[["Timeline"], Iterable[Entry]]


class Timeline:
    """A page of the timeline, by what the address asks for: `kind` of entries, and `before` which moment."""

    def __init__(self, page: InvoicePage) -> None:
        self.page, self.invoice, self.request = page, page.invoice, page.request
        wanted = self.request.GET.get("kind", "")
        self.kind = wanted if wanted in SOURCES else ""
        self.before = _moment(self.request.GET.get("before", ""))

    @cached_property
    def _found(self) -> list[Entry]:
        """What the sources have before the moment, newest first: at least a page, if there is so much."""
        chosen = [SOURCES[self.kind]] if self.kind else SOURCES.values()
        found = [entry for label, source in chosen for entry in source(self)]
        before = [entry for entry in found if self.is_before(entry.when)]
        return sorted(before, key=lambda each: each.when, reverse=True)

    @property
    def entries(self) -> list[Entry]:
        """A page of them. What happened in the same second as the last one is on the same page."""
        found = self._found
        if len(found) <= ENTRIES_PER_PAGE:
            return found
        last = found[ENTRIES_PER_PAGE - 1].when
        return [entry for entry in found if entry.when >= last]

    @property
    def earlier(self) -> str:
        """The address of the next page; empty where this one is the last."""
        shown = self.entries
        return self._address(self.kind, shown[-1].when) if len(shown) < len(self._found) else ""

    @property
    def newest(self) -> str:
        """The address of the first page; empty on it."""
        return self._address(self.kind) if self.before else ""

    @property
    def kinds(self) -> list[tuple[str, str, bool]]:
        """Label, address, and whether it is chosen, of each kind of entries."""
        every = [("", _("Everything")), *((name, _(label)) for name, (label, source) in SOURCES.items())]
        return [(label, self._address(name), name == self.kind) for name, label in every]

    def _address(self, kind: str, before: datetime | None = None) -> str:
        given = {"kind": kind, "before": before.isoformat() if before else ""}
        return f"?{urlencode({name: value for name, value in given.items() if value})}#timeline"

    def is_before(self, when: datetime | None) -> bool:
        return when is not None and (self.before is None or when < self.before)

    def may(self, permission: str) -> bool:
        return self.request.user.has_perm(f"invoices.{permission}")

    def card(self, method: str) -> str:
        """What was charged by this payment method of the customer, as the mirror has it; else words for it."""
        charges = self._charges if self.may("view_charge") else []
        known = (charge for charge in charges if expandable_id(charge.data, "payment_method") == method)
        charge = next(known, None)
        return payment_wording.charged_to(charge.data) if charge else _("a saved payment method")

    @cached_property
    def _charges(self) -> list[Charge]:
        """The newest of the invoice's payments."""
        intents = [payment.row.payment_intent for payment in self.page.payments if payment.row.payment_intent]
        return list(Charge.objects.filter(payment_intent__in=intents).order_by("-created", "-pk")[:ROWS_READ])

    def newest_rows(self, rows: Any, column: str) -> list[Any]:
        """Of these rows the newest before the moment, more than a page has."""
        if self.before is not None:
            rows = rows.filter(**{f"{column}__lt": self.before})
        return list(rows.order_by(f"-{column}", "-pk")[:ROWS_READ])


def _moment(written: str) -> datetime | None:
    """A moment as `_address` writes it; None for anything else."""
    try:
        found = datetime.fromisoformat(written[:40])
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


# --- the sources ------------------------------------------------------------------------------------------------------


def _events(timeline: Timeline) -> Iterable[Entry]:
    payments = timeline.page.payments
    ids = [timeline.invoice.pk, *(id for payment in payments for id in (payment.row.pk, *payment.ids))]
    rows = Event.objects.filter(object_id__in=ids, created__isnull=False).defer("body")
    if timeline.kind != "events" and timeline.may("view_charge"):
        rows = rows.exclude(type__in=TOLD_BY_ATTEMPTS)
    for event in timeline.newest_rows(rows, "created"):
        lines = () if event.state == Event.State.DONE else (_("It is {state}.").format(state=words(event.state)),)
        link = url_of("event", event.pk) if timeline.may("view_event") else ""
        yield Entry(event.created, "events", event_wording.title(event.type), lines=lines, link=link)


def _attempts(timeline: Timeline) -> Iterable[Entry]:
    intents = [payment.row.payment_intent for payment in timeline.page.payments if payment.row.payment_intent]
    if not intents or not timeline.may("view_charge"):
        return
    for charge in timeline.newest_rows(Charge.objects.filter(payment_intent__in=intents), "created"):
        said, tone = CHARGE_STATUS.get(charge.status or "", (gettext_noop("Tried to charge: {amount}, {card}"), ""))
        amount = money.text(charge.amount, charge.currency)
        lines = (payment_wording.charge_failure(charge.data),) if charge.status == "failed" else ()
        title = _(said).format(amount=amount, card=payment_wording.charged_to(charge.data))
        yield Entry(charge.created, "attempts", title, lines=lines, link=url_of("charge", charge.pk), tone=tone)


def _operations(timeline: Timeline) -> Iterable[Entry]:
    rows = timeline.page.operations
    if timeline.before is not None:
        found = Operation.objects.filter(invoice=timeline.invoice.pk).select_related("actor", "approver")
        rows = timeline.newest_rows(found, "created_at")
    for row in rows:
        if not access.may_see(timeline.request, row):
            continue
        label, link = _(label_of(row.action)), url_of("operation", row.pk) if timeline.may("view_operation") else ""
        by, ticket = operation_wording.requested_by(row), f" ({row.ticket})" if row.ticket else ""
        asked = tuple(f"{name}: {_in_words(timeline, row, value)}" for name, value in operation_wording.parameters(row))
        yield Entry(
            row.created_at,
            "operations",
            _("{action}: asked for").format(action=label),
            by,
            asked,
            f"{recorded.shown(row.reason)}{ticket}",
            link,
        )
        if row.decided_at:
            word = _("{action}: rejected") if row.state == Operation.State.CANCELLED else _("{action}: decided")
            said = recorded.shown(row.decision_reason)
            yield Entry(
                row.decided_at, "operations", word.format(action=label), str(row.approver or ""), (), said, link
            )
        if row.state != Operation.State.AWAITING_APPROVAL:
            when, title = row.finished_at or row.created_at, operation_wording.headline(row)
            lines = (operation_wording.outcome(row),)
            yield Entry(when, "operations", title, lines=lines, link=link, tone=operation_wording.tone(row))


def _in_words(timeline: Timeline, operation: Operation, value: str) -> str:
    """The value of a parameter: a payment method as people know it, and a day as the reader's language writes it."""
    if value == operation.params.get(payment_methods.METHOD):
        return payment_methods.facts_of(PaymentMethodFacts(value)).name or timeline.card(value)
    if value == operation.params.get("received_on"):
        return days.in_words(datetime.fromisoformat(value))
    return value


def _notes(timeline: Timeline) -> Iterable[Entry]:
    if not timeline.request.user.has_perm(notes.VIEW):
        return
    rows = Note.objects.filter(invoice=timeline.invoice.pk).select_related("author").prefetch_related("versions")
    for note in timeline.newest_rows(rows, "created_at"):
        for version in note.versions.all():
            title = (
                _("Note") if version.number == 1 else _("Note edited, version {number}").format(number=version.number)
            )
            yield Entry(version.written_at, "notes", title, str(note.author), (), version.text, f"#note-{note.pk}")


def _money_back(timeline: Timeline) -> Iterable[Entry]:
    if timeline.may("view_creditnote"):
        rows = CreditNote.objects.filter(invoice_id=timeline.invoice.pk, created__isnull=False).defer("data")
        for row in timeline.newest_rows(rows, "created"):
            said = _("Credit note {number} over {amount}: {status}")
            amount = money.text(row.amount, row.currency)
            title = said.format(number=row.number or row.pk, amount=amount, status=words(row.status))
            yield Entry(row.created, "money_back", title, link=url_of("creditnote", row.pk))
    intents = [payment.row.payment_intent for payment in timeline.page.payments if payment.row.payment_intent]
    if intents and timeline.may("view_refund"):
        refunds = Refund.objects.filter(payment_intent__in=intents, created__isnull=False).defer("data")
        for row in timeline.newest_rows(refunds, "created"):
            amount = money.text(row.amount, row.currency)
            title = _("Refund of {amount}: {status}").format(amount=amount, status=words(row.status))
            yield Entry(row.created, "money_back", title, link=url_of("refund", row.pk))


def _drift(timeline: Timeline) -> Iterable[Entry]:
    if not timeline.may("view_drift"):
        return
    for row in timeline.newest_rows(Drift.objects.filter(invoice=timeline.invoice.pk), "found_at"):
        label = reconciliation_wording.field_label(row.field) if row.field else reconciliation_wording.drift_title(row)
        currency = timeline.invoice.currency
        ours, theirs = (
            reconciliation_wording.field_value(row.field, value, currency) for value in (row.ours, row.theirs)
        )
        lines = (format_html(_("We had {}, Stripe had {}."), ours, theirs),) if row.field else ()
        link = url_of("drift", row.pk)
        yield Entry(
            row.found_at, "drift", _("Drift found: {field}").format(field=label), lines=lines, link=link, tone="amber"
        )
        if row.healed_at and row.healed_at != row.found_at:
            yield Entry(row.healed_at, "drift", _("Drift healed: {field}").format(field=label), link=link, tone="green")


def _work(timeline: Timeline) -> Iterable[Entry]:
    for when, who, what in work.work_history(timeline.request, timeline.invoice):
        title = what[:1].upper() + what[1:]
        yield Entry(when, "work", title, who)


# Kind → its label and its source. What else happens to an invoice gets its source here.
SOURCES: dict[str, tuple[str, Source]] = {
    "attempts": (gettext_noop("Attempts"), _attempts),
    "operations": (gettext_noop("Operations"), _operations),
    "notes": (gettext_noop("Notes"), _notes),
    "work": (gettext_noop("Promises and people"), _work),
    "money_back": (gettext_noop("Refunds and credit notes"), _money_back),
    "events": (gettext_noop("Stripe's events"), _events),
    "drift": (gettext_noop("Drift"), _drift),
}
