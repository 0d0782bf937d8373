"""The end of a month: whether it can be closed, closing it, and what changed in it afterwards.

A month is that of a stated time zone: from its first midnight there to that of the next month.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import changes, clock, journal, reports, written
from invoices.models import (
    BankStatement,
    BankTransaction,
    Batch,
    Change,
    Code,
    Contradiction,
    CreditNote,
    Drift,
    Event,
    Invoice,
    InvoicePayment,
    MonthClose,
    Operation,
    PendingEvent,
    ReconciliationRun,
    Refund,
    ScheduledRefetch,
)
from invoices.operations import Invalid, Refusal
from invoices.operations.contradictions import unresolved
from invoices.operations.request import RANDOM
from invoices.reconcile import explaining
from invoices.reports.asked import FIRST_YEAR, LAST_YEAR

CLOSE, VIEW = "invoices.close_month", "invoices.view_monthclose"
MOST_COUNTED = 1_000  # rows of a check
MOST_CHANGES = 50_000  # of the mirror, that one look goes through
CHANGES_AT_ONCE = 2_000
MAX_REASON_LENGTH = 2_000  # characters


class BadMonth(ValueError):
    """What was given is no month, or no time zone. The message says what to write."""


@dataclass(frozen=True)
class Month:
    """A month in a time zone."""

    first: date
    zone: ZoneInfo

    @classmethod
    def read(cls, written: str, zone: str) -> Month:
        """`2026-10` in a time zone such as `Europe/Berlin`. Raises BadMonth."""
        try:
            first = date.fromisoformat(f"{written.strip()}-01")
            if not FIRST_YEAR <= first.year < LAST_YEAR:
                raise ValueError
        except ValueError:
            raise BadMonth(_("“{given}” is no month. Write it as 2026-10.").format(given=written[:40])) from None
        try:
            return cls(first, ZoneInfo(zone.strip() or "UTC"))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = _("“{given}” is no time zone. Write it as Europe/Berlin or UTC.")
            raise BadMonth(message.format(given=zone[:64])) from None

    @classmethod
    def last(cls, zone: str) -> Month:
        """The month before this one. Raises BadMonth."""
        this = cls.read(clock.now().astimezone(cls.read("2000-01", zone).zone).strftime("%Y-%m"), zone)
        return this.before

    @property
    def before(self) -> Month:
        return Month((self.first - timedelta(days=1)).replace(day=1), self.zone)

    @property
    def after(self) -> Month:
        return Month((self.first + timedelta(days=32)).replace(day=1), self.zone)

    @property
    def last_day(self) -> date:
        return self.after.first - timedelta(days=1)

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def end(self) -> datetime:
        """The first moment that is not in it."""
        return self.after.begin

    @property
    def is_over(self) -> bool:
        return self.end <= clock.now()

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"

    def holds(self, column: str) -> Q:
        """The rows of which this column lies in the month."""
        return Q(**{f"{column}__gte": self.begin, f"{column}__lt": self.end})


# --- checks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One question before a month is closed. `rows`: which list has exactly these; `values` fill `said`."""

    name: str
    title: str  # English: whoever shows it asks the catalog
    met: bool
    count: int = 0  # never above MOST_COUNTED + 1
    said: str = ""  # what to do, or what it rests on; English, with {values}
    values: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)  # model and the list's parameters
    blocks: bool = True  # False: it is told, and stands in nobody's way

    def in_words(self) -> str:
        return _(self.said).format(**self.values) if self.said else ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def checks(month: Month) -> list[Check]:
    """What is to be seen before this month is closed, as it is now."""
    return [
        _over(month),
        _count(
            "events",
            gettext_noop("Events of Stripe's that wait"),
            PendingEvent.objects.filter(received_at__lt=month.end),
            gettext_noop("They are taken within seconds; if not, tell the operator."),
            {"model": "event", "state": "pending"},
        ),
        _count(
            "failed_events",
            gettext_noop("Events that could not be taken"),
            Event.objects.filter(state=Event.State.FAILED),
            gettext_noop("The operator looks at them, and replays them."),
            {"model": "event", "state": "failed"},
        ),
        _count(
            "unread",
            gettext_noop("Objects that could not be read from Stripe"),
            ScheduledRefetch.objects.filter(given_up_at__isnull=False),
            gettext_noop("The operator tries them again."),
            {"model": "scheduledrefetch", "state": "given_up"},
        ),
        _count(
            "unknown",
            gettext_noop("Outcomes that are not known"),
            Operation.objects.filter(state__in=Operation.UNFINISHED, created_at__lt=month.end),
            gettext_noop("They are settled by themselves; after an hour a manager decides."),
            {"model": "operation", "state": "unfinished"},
        ),
        _count(
            "approvals",
            gettext_noop("Requests that wait for a second person"),
            Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL, created_at__lt=month.end),
            gettext_noop("Approve or reject them."),
            {"model": "operation", "state": "awaiting_approval"},
        ),
        _count(
            "batches",
            gettext_noop("Batches that wait or go on"),
            Batch.objects.filter(finished_at=None, created_at__lt=month.end),
            gettext_noop("Approve, reject or cancel them."),
            {"model": "batch"},
        ),
        _count(
            "contradictions",
            gettext_noop("Contradictions with Stripe"),
            Contradiction.objects.filter(unresolved()),
            gettext_noop("Look at each at Stripe, then write what you did."),
            {"model": "operation", "state": "contradicted"},
        ),
        _count(
            "drift",
            gettext_noop("Differences that no run healed and nobody explained"),
            Drift.objects.filter(explaining.left(clock.now())),
            gettext_noop("Run a full reconciliation. What it leaves, look at, and write why it is so."),
            {"model": "drift", "left": "week"},
        ),
        _count(
            "explained",
            gettext_noop("Differences that somebody explained"),
            Drift.objects.filter(explaining.explained(clock.now())),
            gettext_noop("They stay at Stripe or here as they are; read why."),
            {"model": "drift", "left": "explained"},
            blocks=False,
        ),
        _proof(month),
        _count(
            "credits",
            gettext_noop("Bank credits that nobody has matched"),
            BankTransaction.objects.filter(state=BankTransaction.State.OPEN, booked_on__lte=month.last_day),
            gettext_noop("Match them, or set them aside."),
            {"model": "banktransaction", "state": "open", "booked_on_to": month.last_day.isoformat()},
        ),
        _count(
            "recording",
            gettext_noop("Bank credits that are being recorded"),
            BankTransaction.objects.filter(state=BankTransaction.State.RECORDING, booked_on__lte=month.last_day),
            gettext_noop("Wait until they are recorded, or until a second person has agreed."),
            {"model": "banktransaction", "state": "recording", "booked_on_to": month.last_day.isoformat()},
        ),
        _statements(month),
        _count(
            "debits",
            gettext_noop("Bank debits under way"),
            Operation.objects.filter(state=Operation.State.PROCESSING, created_at__lt=month.end),
            gettext_noop("They may be paid by the old month’s debit: that stands in no one’s way."),
            {"model": "operation", "state": "processing"},
            blocks=False,
        ),
    ]


def _over(month: Month) -> Check:
    return Check(
        "over",
        gettext_noop("The month is over"),
        month.is_over,
        said="" if month.is_over else gettext_noop("It ends on {day} in the time zone {zone}."),
        values={"day": month.last_day.isoformat(), "zone": str(month.zone)},
    )


def _count(
    name: str, title: str, rows: QuerySet[Any], said: str, shown: Mapping[str, str], *, blocks: bool = True
) -> Check:
    """Met where there is none."""
    count = rows.order_by().values("pk")[: MOST_COUNTED + 1].count()
    return Check(name, title, not count, count, said if count else "", {}, shown, blocks)


def _proof(month: Month) -> Check:
    """The last proof of equality that began after the month."""
    title = gettext_noop("Proved equal to Stripe since the month ended")
    proofs = ReconciliationRun.objects.filter(
        kind=ReconciliationRun.Kind.VERIFY, state=ReconciliationRun.State.FINISHED, started_at__gte=month.end
    )
    run = proofs.order_by("-started_at", "-pk").first()
    if run is None:
        said = gettext_noop("Start one under Reconciliations, and wait for its end.")
        return Check("proof", title, False, said=said, rows={"model": "reconciliationrun"})
    report = run.report or {}
    covered = ", ".join(sorted(report.get("kinds", {}))) or "–"
    met, said = True, gettext_noop("Proof {number} of {moment} covered {kinds}.")
    if not report.get("equal"):
        met = explaining.explains_all(run)
        said = gettext_noop("Proof {number} of {moment} was not equal. Reconcile in full, then prove again.")
        if met:
            said = gettext_noop(
                "Proof {number} of {moment} covered {kinds}. Somebody explained each of its differences."
            )
    return Check(
        "proof",
        title,
        met,
        said=said,
        values={"number": str(run.pk), "moment": run.started_at.isoformat(timespec="minutes"), "kinds": covered},
        rows={"model": "reconciliationrun", "pk": str(run.pk)},
    )


def _statements(month: Month) -> Check:
    """Whether each account that had statements has one up to the month's end. None at all: nobody uses them."""
    ends = BankStatement.objects.order_by().values("account").annotate(end=Max("ends_on"))
    late = sorted(row["account"] for row in ends[:MOST_COUNTED] if row["end"] is None or row["end"] < month.last_day)
    return Check(
        "statements",
        gettext_noop("Accounts without a statement up to the month’s end"),
        not late,
        len(late),
        gettext_noop("Upload the statements of {accounts}.") if late else "",
        {"accounts": ", ".join(late[:5])},
        {"model": "bankstatement"},
    )


# --- closing ----------------------------------------------------------------------------------------------------------


def totals(month: Month) -> dict[str, dict[str, int]]:
    """What the month came to, in minor units by currency: the totals of the reports, so that both say the same. What is
    not known is in none of them."""
    with reports.snapshot():
        return {name: _sums(month, *of) for name, of in TOTALS.items()}


# What → the report, and which of its groups; none: all of them.
TOTALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "collected": ("payments", ()),
    "issued": ("issued", ()),
    "voided": ("write_offs", ("void",)),
    "written_off": ("write_offs", ("uncollectible",)),
}


def _sums(month: Month, name: str, groups: tuple[str, ...]) -> dict[str, int]:
    reading = reports.Pass(reports.REPORTS[name], reports.Asked(month.first, month.last_day, month.zone))
    for _page in reading.entries():
        pass
    found: dict[str, int] = {}
    for total in reading.totals.lines(reading.report):
        if total.amount is not None and (not groups or total.group in groups):
            found[total.currency] = found.get(total.currency, 0) + total.amount
    return dict(sorted(found.items()))


def standing(month: Month) -> MonthClose | None:
    """The closing that counts; None where the month was never closed."""
    return MonthClose.objects.filter(month=month.first).order_by("-number").select_related("closed_by").first()


def close(
    month: Month,
    *,
    by: User,
    seen: int,
    reason: str = "",
    id: uuid.UUID | None = None,
    address: str | None = None,
    request_id: str = "",
    shell_user: str = "",
) -> MonthClose:
    """Closes a month. `seen`: how often it had been closed on the page from which this is asked, so that of two people
    at once only one does. The same `id` twice is one closing.

    Raises Invalid where a reason is needed, and Refusal: without permission, or where somebody was faster.
    """
    if not by.has_perm(CLOSE):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not close months."))
    if id is not None and id.version != RANDOM:
        raise Invalid("id", _("This page was not made by the desk. Open it again."))
    if id is not None and (made := MonthClose.objects.filter(pk=id, closed_by=by, month=month.first).first()):
        return made
    cleaned = written.clean(reason, "reason", most=MAX_REASON_LENGTH, called=_("The reason"))
    # Before anything is summed: what is committed while this goes on is then listed as a later change, and not lost.
    changes.number_all()
    last_change = changes.newest()
    found = checks(month)
    if not month.is_over:
        raise Refusal(Code.INVOICE_CHANGED, _("The month is not over yet."))
    open_ones = [check for check in found if check.blocks and not check.met]
    if (open_ones or seen) and not cleaned:
        raise Invalid("reason", _("Please say why it is closed all the same: the reason stands in the journal."))
    journal.chain()
    head = journal.head()
    try:
        with transaction.atomic():
            before = standing(month)
            if (before.number if before else 0) != seen:
                raise _faster(before)
            return MonthClose.objects.create(
                id=id or uuid.uuid4(),
                month=month.first,
                time_zone=str(month.zone),
                number=seen + 1,
                closed_by=by,
                closed_at=clock.now(),
                reason=cleaned,
                checks=[check.to_json() for check in found],
                totals=totals(month),
                head_position=head.position if head else None,
                head_hash=head.hash if head else "",
                change_sequence=last_change,
                address=address,
                request_id=request_id[:255],
                shell_user=shell_user[:255],
            )
    except IntegrityError:
        if id is not None and (made := MonthClose.objects.filter(pk=id, closed_by=by).first()):
            return made
        raise _faster(standing(month)) from None


def _faster(made: MonthClose | None) -> Refusal:
    person = str(made.closed_by) if made else "–"
    message = _("{person} has closed this month meanwhile. Look at the page once more.")
    return Refusal(Code.INVOICE_CHANGED, message.format(person=person))


# --- what changed afterwards ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LaterChange:
    """Something of a closed month that became otherwise after it was closed."""

    what: str  # English: whoever shows it asks the catalog
    object_type: str
    object_id: str
    at: datetime  # when the desk saw it
    belongs: datetime | date | None  # by which it belongs to the month
    amount: int | None = None
    currency: str = ""


@dataclass
class Later:
    """All of them, oldest first. `is_cut`: there are more changes than one look goes through."""

    changes: list[LaterChange]
    is_cut: bool = False


# Of each kind: its model, by which columns it belongs to a month, and its amount.
_KINDS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "invoice": (Invoice, ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at"), "total"),
    "invoice_payment": (InvoicePayment, ("paid_at",), "amount_paid"),
    "credit_note": (CreditNote, ("created",), "amount"),
    "refund": (Refund, ("created",), "amount"),
}


def later_changes(closing: MonthClose) -> Later:
    """What changed in a closed month since. Of the mirror: that an object changed, and as what it is shown now; what it
    was before is not kept. And what the desk itself recorded with a day of that month."""
    month = Month(closing.month, ZoneInfo(closing.time_zone))
    seen: dict[tuple[str, str], LaterChange] = {}
    position, looked_at = closing.change_sequence, 0
    changes.number_all()  # what is not numbered yet would not be found
    while looked_at < MOST_CHANGES:
        page = list(Change.objects.filter(sequence__gt=position).order_by("sequence")[:CHANGES_AT_ONCE])
        for change in _of_month(page, month):
            seen[change.object_type, change.object_id] = change
        looked_at += len(page)
        if len(page) < CHANGES_AT_ONCE:
            break
        position = page[-1].sequence
    found = [*seen.values(), *_recorded(closing, month), *_booked(closing, month)]
    return Later(sorted(found, key=lambda each: (each.at, each.object_id)), is_cut=looked_at >= MOST_CHANGES)


def _of_month(page: list[Change], month: Month) -> Iterator[LaterChange]:
    for kind, (model, columns, amount) in _KINDS.items():
        last = {change.object_id: change for change in page if change.object_type == kind}
        belongs = Q()
        for column in columns:
            belongs |= month.holds(column)
        wanted = ("pk", "currency", amount, *columns)
        for row in model.objects.filter(belongs, pk__in=list(last)).values(*wanted):
            change = last[row["pk"]]
            days = [row[column] for column in columns if row[column] and month.begin <= row[column] < month.end]
            yield LaterChange(
                _WORDS[change.what],
                kind,
                row["pk"],
                change.recorded_at,
                min(days, default=None),
                row[amount],
                row["currency"] or "",
            )


_WORDS = {
    Change.What.CREATED.value: gettext_noop("came"),
    Change.What.UPDATED.value: gettext_noop("changed"),
    Change.What.DELETED.value: gettext_noop("was deleted"),
}


def _recorded(closing: MonthClose, month: Month) -> Iterator[LaterChange]:
    """Payments that people recorded since, with a day of the month."""
    made = Operation.objects.filter(
        action="attach_out_of_band_payment", state=Operation.State.SUCCEEDED, created_at__gt=closing.closed_at
    )
    for each in made.order_by("created_at").iterator(chunk_size=500):
        day = str(each.params.get("received_on") or "")
        if month.first.isoformat() <= day <= month.last_day.isoformat():
            yield LaterChange(
                gettext_noop("was recorded"),
                "operation",
                str(each.pk),
                each.finished_at or each.created_at,
                date.fromisoformat(day),
                each.params.get("amount"),
                each.currency,
            )


def _booked(closing: MonthClose, month: Month) -> Iterator[LaterChange]:
    """Bank transactions of the month that were uploaded since."""
    found = BankTransaction.objects.filter(
        booked_on__range=(month.first, month.last_day), statement__uploaded_at__gt=closing.closed_at
    )
    for each in found.select_related("statement").order_by("statement__uploaded_at", "pk")[: MOST_COUNTED + 1]:
        yield LaterChange(
            gettext_noop("was uploaded"),
            "bank_transaction",
            str(each.pk),
            each.statement.uploaded_at,
            each.booked_on,
            each.amount,
            each.currency,
        )
