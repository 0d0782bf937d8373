"""The end of a month: whether it can be closed, closing it, and what changed in it afterwards.

A month is that of a stated time zone: from its first midnight there to that of the next month.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
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
from invoices.statements import coverage, returned

CLOSE, VIEW = "invoices.close_month", "invoices.view_monthclose"
MOST_COUNTED = 1_000  # rows of a check
MOST_MOMENTS = 10_000  # later changes of which it is looked up when they came
LONGEST_SILENCE = timedelta(days=62)  # between two statements of an account that is in use
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
    before = {"earlier_than": month.end.astimezone(UTC).isoformat()}
    return [
        _over(month),
        _count(
            "events",
            gettext_noop("Events of Stripe's that wait"),
            PendingEvent.objects.filter(received_at__lt=month.end),
            gettext_noop("They are taken within seconds; if not, tell the operator."),
            {"model": "event", "state": "pending", **before},
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
            {"model": "operation", "state": "unfinished", **before},
        ),
        _count(
            "approvals",
            gettext_noop("Requests that wait for a second person"),
            Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL, created_at__lt=month.end),
            gettext_noop("Approve or reject them."),
            {"model": "operation", "state": "awaiting_approval", **before},
        ),
        _count(
            "batches",
            gettext_noop("Batches that wait or go on"),
            Batch.objects.filter(finished_at=None, created_at__lt=month.end),
            gettext_noop("Approve, reject or cancel them."),
            {"model": "batch", "state": "unfinished", **before},
        ),
        _count(
            "contradictions",
            gettext_noop("Operations that Stripe contradicts"),
            Operation.objects.filter(pk__in=Contradiction.objects.filter(unresolved()).values("operation")),
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
        _count(
            "returned",
            gettext_noop("Returned transfers that are still recorded"),
            returned.still_recorded().filter(booked_on__lte=month.last_day),
            gettext_noop("Report a refund at Stripe, bill again, then say on each that it is settled."),
            {"model": "banktransaction", "returned": "recorded", "booked_on_to": month.last_day.isoformat()},
        ),
        _statements(month),
        _count(
            "debits",
            gettext_noop("Bank debits under way"),
            Operation.objects.filter(state=Operation.State.PROCESSING, created_at__lt=month.end),
            gettext_noop("They may be paid by the old month’s debit: that stands in no one’s way."),
            {"model": "operation", "state": "processing", **before},
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
    """Whether the statements of each account reach over the month without a gap. None at all: nobody uses them."""
    accounts = BankStatement.objects.order_by("account", "currency").values_list("account", "currency").distinct()
    gaps = ((account, _gap(account, currency, month)) for account, currency in accounts[:MOST_COUNTED])
    missing = [f"{account} ({gap})" for account, gap in gaps if gap]
    return Check(
        "statements",
        gettext_noop("Accounts whose statements do not cover the month"),
        not missing,
        len(missing),
        gettext_noop("Upload what is missing: {accounts}.") if missing else "",
        {"accounts": ", ".join(missing[:5])},
        {"model": "bankstatement"},
    )


def _gap(account: str, currency: str, month: Month) -> str:
    """From when on this account's statements leave days of the month out: `2026-10-16`; empty: they do not.

    Whether one follows the other says `coverage.follows`. The first statement of all may begin in the month, but not
    after it.
    """
    near = BankStatement.objects.filter(
        account=account,
        currency=currency,
        ends_on__gte=month.first - LONGEST_SILENCE,
        begins_on__lte=month.last_day + LONGEST_SILENCE,
    )
    columns = ("begins_on", "ends_on", "opening", "closing")
    rows: list[tuple[Any, ...]] = list(near.order_by("begins_on", "ends_on", "uploaded_at").values_list(*columns))
    covered: date | None = None
    closings: set[int | None] = set()  # of those that end on that day: nobody knows which of them was the last
    for begins_on, ends_on, opening, closing in rows:
        if covered is None:
            if begins_on > month.last_day:
                break
        elif not coverage.follows(closings, covered, opening, begins_on):
            break
        if covered is None or ends_on > covered:
            covered, closings = ends_on, {closing}
        elif ends_on == covered:
            closings.add(closing)
        if covered >= month.last_day:
            return ""
    return max(month.first, covered + timedelta(days=1)).isoformat() if covered else month.first.isoformat()


# --- what a month came to ---------------------------------------------------------------------------------------------

# What → the report, and which of its groups; none: all of them.
TOTALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "collected": ("payments", ()),
    "issued": ("issued", ()),
    "voided": ("write_offs", ("void",)),
    "written_off": ("write_offs", ("uncollectible",)),
    "outstanding": ("receivables", ()),
}
NOT_KNOWN = "not_known"  # of the totals: how many rows of each report are in none

# Kind → id → currency, minor units, and by which moment or day it counts, and how.
Figures = dict[str, dict[str, list[Any]]]


@dataclass
class Reading:
    """What is known of a month: its totals, which are those of the reports, and each row that counts."""

    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)


def _go_on() -> None:
    pass


def totals(month: Month, between: Callable[[], None] = _go_on) -> dict[str, dict[str, int]]:
    """What the month came to, in minor units by currency: the totals of the reports, so that both say the same. What is
    not known is in none of them, and counted under NOT_KNOWN. `between`: called between two pages of rows; what it
    raises ends the reading."""
    with reports.snapshot():
        return _of_reports(month, between, with_rows=False).totals


def read(month: Month, between: Callable[[], None] = _go_on) -> Reading:
    """All that is known of the month, as of one moment."""
    with reports.snapshot():
        found = _of_reports(month, between, with_rows=True)
        found.figures |= {
            "credit_note": _credit_notes(month),
            "refund": _refunds(month),
            "operation": _recorded(month),
            "bank_transaction": _booked(month),
        }
        return found


def _of_reports(month: Month, between: Callable[[], None], *, with_rows: bool) -> Reading:
    found = Reading({name: {} for name in (*TOTALS, NOT_KNOWN)})
    asked = reports.Asked(month.first, month.last_day, month.zone)
    for name in dict.fromkeys(report for report, _groups in TOTALS.values()):
        reading = reports.Pass(reports.REPORTS[name], asked)
        rows = found.figures.setdefault(name, {}) if with_rows else {}
        for page in reading.entries():
            between()
            if with_rows:
                rows.update((entry.pk, _figure(name, entry)) for entry in page if entry.group != reports.NOT_KNOWN)
        for what, (of, groups) in TOTALS.items():
            if of == name:
                found.totals[what] = _sums(reading, groups)
        if reading.totals.unknown:
            found.totals[NOT_KNOWN][name] = reading.totals.unknown
    return found


def _sums(reading: reports.Pass, groups: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for total in reading.totals.lines(reading.report):
        if total.amount is not None and (not groups or total.group in groups):
            found[total.currency] = found.get(total.currency, 0) + total.amount
    return dict(sorted(found.items()))


def _figure(report: str, entry: reports.Entry) -> list[Any]:
    """What counts of it in this month. What an issued invoice has become since is no change of the month, nor is the
    age of what was outstanding, which goes by the due date of today."""
    figure = [entry.currency, entry.amount, _second(entry.at)]
    return figure if report in ("issued", "receivables") else [*figure, entry.group]


def _credit_notes(month: Month) -> dict[str, list[Any]]:
    """What was credited in the month. One that is voided later stays what it was then."""
    found = CreditNote.objects.filter(month.holds("created"), deleted_at=None).order_by()
    return {pk: [currency, amount, _second(at)] for pk, currency, amount, at in found.values_list(*_AMOUNT, "created")}


def _refunds(month: Month) -> dict[str, list[Any]]:
    """Stripe does not say when a refund failed: it is no refund any more."""
    found = Refund.objects.filter(month.holds("created"), deleted_at=None).exclude(status__in=("failed", "canceled"))
    rows = found.order_by().values_list(*_AMOUNT, "created")
    return {pk: [currency, amount, _second(at)] for pk, currency, amount, at in rows}


_AMOUNT = ("pk", "currency", "amount")


def _second(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


def _recorded(month: Month) -> dict[str, list[Any]]:
    """Payments that people recorded with a day of the month, whenever they did. Nobody records one that is to come."""
    made = Operation.objects.filter(
        action="attach_out_of_band_payment",
        state=Operation.State.SUCCEEDED,
        created_at__gte=month.begin - timedelta(days=2),
    )
    days = month.first.isoformat(), month.last_day.isoformat()
    found = {}
    for each in made.only("params", "currency").order_by("created_at").iterator(chunk_size=500):
        day = str(each.params.get("received_on") or "")
        if days[0] <= day <= days[1]:
            found[str(each.pk)] = [each.currency, each.params.get("amount"), day]
    return found


def _booked(month: Month) -> dict[str, list[Any]]:
    found = BankTransaction.objects.filter(booked_on__range=(month.first, month.last_day)).order_by()
    rows = found.values_list(*_AMOUNT, "booked_on")
    return {str(pk): [currency, amount, day.isoformat()] for pk, currency, amount, day in rows}


# --- closing ----------------------------------------------------------------------------------------------------------


def standing(month: Month) -> MonthClose | None:
    """The closing that counts; None where the month was never closed."""
    closings = MonthClose.objects.filter(month=month.first).defer("figures")
    return closings.order_by("-number").select_related("closed_by").first()


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
    # Before the rows are read: of what is committed meanwhile it can then be told when it came.
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
    known = read(month)
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
                totals=known.totals,
                figures=known.figures,
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
    """Something of a closed month that is otherwise than it was when it was closed."""

    what: str  # English: whoever shows it asks the catalog
    object_type: str
    object_id: str
    belongs: datetime | date | None  # by which it belongs to the month, now, or before it was taken away
    amount: int | None = None  # minor units, now; None: it does not count any more
    before: int | None = None  # what it was; None: it was not known
    currency: str = ""
    at: datetime | None = None  # when the desk saw it; None: that is not kept


@dataclass
class Later:
    """All of them, by object. `is_known`: False of a month that was closed before its rows were kept."""

    changes: list[LaterChange]
    is_known: bool = True


_CAME = {
    "operation": gettext_noop("was recorded"),
    "bank_transaction": gettext_noop("was uploaded"),
}
_OF_REPORTS = {"payments": "invoice_payment", "issued": "invoice", "write_offs": "invoice", "receivables": "invoice"}


def later_changes(closing: MonthClose, now: Reading | None = None) -> Later:
    """What of a closed month is otherwise than it was then: each row that came, went or counts differently. `now`: what
    is known of it, where that was read already."""
    if closing.figures is None:
        return Later([], is_known=False)
    month = Month(closing.month, ZoneInfo(closing.time_zone))
    figures = (now or read(month)).figures
    found = [
        _otherwise(kind, key, old.get(key), new.get(key), month)
        for kind in sorted({*figures, *closing.figures})
        for new, old in [(figures.get(kind, {}), closing.figures.get(kind, {}))]
        for key in sorted({*new, *old})
        if new.get(key) != old.get(key)
    ]
    return Later(_with_moments(closing, found))


def _otherwise(kind: str, key: str, old: list[Any] | None, new: list[Any] | None, month: Month) -> LaterChange:
    """`kind` and `key` as figures have them."""
    object_type, id = _OF_REPORTS.get(kind, kind), key.partition(" ")[0]
    if kind == "payments" and id.startswith("in_"):  # marked as paid: it has no payment
        object_type = "invoice"
    if kind == "receivables":
        what = gettext_noop("is outstanding at the month’s end with another amount")
    elif old is None:
        what = _CAME.get(kind, gettext_noop("came"))
    else:
        what = gettext_noop("changed") if new else gettext_noop("does not count any more")
    currency, _amount, day = (new or old or ["", None, None])[:3]
    return LaterChange(
        what,
        object_type,
        id,
        date.fromisoformat(day) if isinstance(day, str) else datetime.fromtimestamp(day, month.zone) if day else None,
        new[1] if new else None,
        old[1] if old else None,
        currency,
    )


def _with_moments(closing: MonthClose, found: list[LaterChange]) -> list[LaterChange]:
    """With the last change of each object that the desk saw since. Of very many nobody reads when each came."""
    ids = {each.object_id for each in found if each.object_type not in _CAME}
    if not 0 < len(ids) <= MOST_MOMENTS:
        return found
    changes.number_all()  # what is not numbered yet would not be found
    seen = Change.objects.filter(sequence__gt=closing.change_sequence, object_id__among=ids).order_by()
    rows = seen.values_list("object_type", "object_id").annotate(last=Max("recorded_at"))
    last = {(kind, id): at for kind, id, at in rows}
    return [replace(each, at=last.get((each.object_type, each.object_id))) for each in found]
