"""The work queues of the home page: how many wait, what they add up to, since when, and the list behind each.

An entry is one `Queue` in `QUEUES`. Who may not see what it counts does not get it. The numbers of invoices come from
the tallies, those of operations from a limited number of rows. The list that an entry links to shows exactly the rows
that it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from invoices import assignments, clock, mentions, money, month_end, promises, tallies
from invoices.admin import formatting
from invoices.admin.bank.returned_filter import ReturnedFilter
from invoices.admin.formatting import number
from invoices.admin.invoices import work_filters
from invoices.admin.invoices.queue_filters import AgeFilter
from invoices.admin.invoices.work_filters import PromiseFilter
from invoices.admin.links import page_url
from invoices.admin.operations.turn_filter import TurnFilter
from invoices.admin.payments.attempt_filter import ATTEMPT_DAYS
from invoices.admin.reconciliation.left_filter import LeftFilter
from invoices.models import BankTransaction, Contradiction, Drift, Invoice, MonthClose, Operation, Promise
from invoices.operations import ACTIONS, contradictions, manual_resolution, money_under_way, my_turn
from invoices.operations.requesters import PERMISSION as APPROVE
from invoices.reconcile import explaining
from invoices.statements import returned
from invoices.tallies import Amounts

MAX_COUNTED = 100  # of more rows than this a queue of operations shows `100+`
REASONS_SHOWN = 4  # of the failed payments; the list has the others
MENTIONS = ("invoices.view_mention", "invoices.view_note", "invoices.view_invoice")  # all of them
SUMS_SHOWN = 3  # currencies of one queue; the list has the others
OVERSEE = ("invoices.run_reconciliation", "invoices.view_signinrecord")  # one of them: managers, and auditors


@dataclass
class Part:
    """One band of a queue, with a link of its own."""

    title: str
    count: str
    sums: list[str]
    link: str


@dataclass
class Entry:
    """A queue as one person sees it. `count` "0": nothing waits. `tone`: of the number, if something does."""

    title: str
    words: str
    count: str
    sums: list[str]
    oldest: datetime | None
    link: str
    tone: str = "amber"
    more_sums: int = 0  # currencies that are not shown
    parts: list[Part] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return self.count == "0"


class Reading:
    """What several queues ask, read once for a page."""

    def __init__(self, user: Any) -> None:
        self.user = user

    def may(self, *permissions: str) -> bool:
        """Whether the person has one of these permissions."""
        return any(self.user.has_perm(permission) for permission in permissions)

    @cached_property
    def now(self) -> datetime:
        """By the database's clock."""
        return clock.now()

    @property
    def today(self) -> date:
        """The day, UTC."""
        return self.now.date()

    @cached_property
    def by_reason(self) -> dict[str, dict[str, Amounts]]:
        """What waits for a payment, and the charges of the last days: queue → reason → how many."""
        return tallies.by_reason(self.today - timedelta(days=ATTEMPT_DAYS - 1))

    def waiting(self, queue: str) -> Amounts:
        """What stands in a queue of open invoices."""
        return Amounts.together(self.by_reason.get(queue, {}).values())

    @cached_property
    def contradictions(self) -> list[Contradiction]:
        """What Stripe says otherwise than the journal, the oldest first; at most MAX_COUNTED + 1."""
        found = Contradiction.objects.filter(contradictions.unresolved()).select_related("operation__actor")
        return list(found.order_by("found_at")[: MAX_COUNTED + 1])

    @cached_property
    def not_promised_by_band(self) -> dict[str, Amounts]:
        """The open invoices by age, without those for which a promise to pay stands, for who may see promises.

        The database adds the promised ones up: all of them, for the list leaves out all. People record each by hand."""
        if not self.may(promises.VIEW):
            return self.by_band
        standing = Promise.objects.filter(state=Promise.State.OPEN, ends_at__gt=self.now).values("invoice")
        rows = Invoice.objects.filter(pk__in=standing, status="open", deleted_at=None, due_date__isnull=False)
        days = rows.annotate(due=TruncDate("due_date", tzinfo=UTC)).order_by().values_list("due", "currency")
        without: dict[tuple[date, str], tuple[int, int]] = {
            (due, currency or ""): (number, amount or 0)
            for due, currency, number, amount in days.annotate(Count("pk"), Sum("amount_remaining"))
        }
        return tallies.by_band(self.today, without) if without else self.by_band

    @cached_property
    def by_band(self) -> dict[str, Amounts]:
        """The open invoices by age."""
        return tallies.by_band(self.today)


@dataclass(frozen=True)
class Queue:
    """`may`: whether the person sees it at all. `read`: the entry; None where the page leaves it out."""

    name: str
    may: Callable[[Reading], bool]
    read: Callable[[Reading], Entry | None]


def entries(reading: Reading) -> list[Entry]:
    """The queues that this person may see, in their order."""
    found = (queue.read(reading) for queue in QUEUES if queue.may(reading))
    return [entry for entry in found if entry is not None]


# --- what an entry is made of -----------------------------------------------------------------------------------------


def list_of(model: str, **filters: str) -> str:
    """The address of a list with these filters."""
    address = reverse(f"admin:invoices_{model}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def sums_of(amounts: Amounts) -> list[str]:
    """Each currency's sum, those of the most objects first."""
    order = sorted(amounts.sums, key=lambda currency: (-amounts.counts[currency], currency))
    return [money.text(amounts.sums[currency], currency) for currency in order if currency]


def reason_in_words(reason: str) -> str:
    """`insufficient_funds` → `Insufficient funds`."""
    return capfirst(formatting.words(reason)) if reason != tallies.UNKNOWN_REASON else _("Reason not known")


def entry(title: str, words: str, amounts: Amounts, link: str, tone: str = "amber") -> Entry:
    """An entry of what is counted exactly."""
    sums = sums_of(amounts)
    oldest = datetime.combine(amounts.oldest, time.min, UTC) if amounts.oldest else None
    more = max(0, len(sums) - SUMS_SHOWN)
    return Entry(title, words, number(amounts.count), sums[:SUMS_SHOWN], oldest, link, tone, more)


def entry_of_operations(
    title: str, words: str, operations: Iterable[Operation], link: str, tone: str = "amber"
) -> Entry:
    """An entry of operations, the oldest first; at most MAX_COUNTED are counted, and then it says so."""
    rows = list(operations)
    amounts = Amounts()
    for operation in rows[:MAX_COUNTED]:
        amount, currency = at_stake(operation)
        amounts.add(currency, 1, amount)
    found = entry(title, words, amounts, link, tone)
    found.oldest = rows[0].created_at if rows else None
    if len(rows) > MAX_COUNTED:
        found.count, found.sums = f"{MAX_COUNTED}+", [_("over {sum}").format(sum=sum) for sum in found.sums]
    return found


def at_stake(operation: Operation) -> tuple[int, str]:
    """What an operation is about: minor units and currency. What a second person would agree to; else the part that is
    charged; else what remained to pay."""
    amount = operation.approval_amount
    if amount is None:
        amount = money_under_way.part_of(operation)
    if amount is None:
        seen = operation.before.get("amount_remaining", operation.expected.get("amount_remaining"))
        amount = seen if isinstance(seen, int) else 0
    return amount, operation.currency or str(operation.before.get("currency") or "")


def _few(operations: QuerySet[Operation]) -> list[Operation]:
    columns = ("created_at", "approval_amount", "currency", "before", "expected", "params")
    return list(operations.order_by("created_at").only(*columns)[: MAX_COUNTED + 1])


# --- invoices ---------------------------------------------------------------------------------------------------------


def _overdue(reading: Reading) -> Entry:
    bands = [(band, reading.not_promised_by_band[band.name]) for band in tallies.OVERDUE_BANDS]
    # An invoice leaves the queue while a promise to pay it stands.
    only = {PromiseFilter.parameter_name: PromiseFilter.NONE} if reading.may(promises.VIEW) else {}
    total = Amounts.together(amounts for _band, amounts in bands)
    words = _("Ask the customer, or charge what can be charged.") if total.count else _("No invoice is overdue.")
    found = entry(_("Overdue"), words, total, list_of("invoice", age=AgeFilter.OVERDUE, **only), "red")
    found.parts = [
        Part(_(band.title), number(amounts.count), sums_of(amounts), list_of("invoice", age=band.name, **only))
        for band, amounts in bands
    ]
    return found


def _payment_failed(reading: Reading) -> Entry:
    amounts = reading.waiting(tallies.PAYMENT_FAILED)
    words = _("The last attempt failed: the reason says what to do.") if amounts.count else _("No payment has failed.")
    found = entry(_("Payment failed"), words, amounts, list_of("invoice", queue=tallies.PAYMENT_FAILED), "red")
    found.parts = [
        Part(
            reason_in_words(reason),
            number(of_reason.count),
            sums_of(of_reason),
            list_of("invoice", queue=f"{tallies.PAYMENT_FAILED}.{reason}"),
        )
        for reason, of_reason in list(reading.by_reason.get(tallies.PAYMENT_FAILED, {}).items())[:REASONS_SHOWN]
    ]
    return found


def _needs_customer(reading: Reading) -> Entry:
    amounts = reading.waiting(tallies.NEEDS_CUSTOMER)
    words = (
        _("The bank asks the customer to confirm: send the link.") if amounts.count else _("No bank asks a customer.")
    )
    return entry(_("Needs the customer"), words, amounts, list_of("invoice", queue=tallies.NEEDS_CUSTOMER))


def _debits(reading: Reading) -> Entry:
    amounts = reading.waiting(tallies.DEBIT_UNDER_WAY)
    words = _("Do not charge again: banks take days.") if amounts.count else _("No bank is processing a payment.")
    return entry(
        _("Bank debits under way"), words, amounts, list_of("invoice", queue=tallies.DEBIT_UNDER_WAY), "violet"
    )


def _few_invoices(rows: QuerySet[Invoice]) -> list[Invoice]:
    columns = ("created", "currency", "amount_remaining", "status")
    return list(rows.order_by("created").only(*columns)[: MAX_COUNTED + 1])


def entry_of_invoices(title: str, words: str, rows: list[Invoice], link: str, tone: str = "amber") -> Entry:
    """An entry of what no tally counts; at most MAX_COUNTED are counted, and then it says so."""
    amounts = Amounts()
    for invoice in rows[:MAX_COUNTED]:
        amounts.add(invoice.currency or "", 1, (invoice.amount_remaining or 0) if invoice.status == "open" else 0)
    found = entry(title, words, amounts, link, tone)
    found.oldest = rows[0].created if rows else None
    if len(rows) > MAX_COUNTED:
        found.count, found.sums = f"{MAX_COUNTED}+", [_("over {sum}").format(sum=sum) for sum in found.sums]
    return found


# --- the person's own work --------------------------------------------------------------------------------------------


def _mine(reading: Reading) -> Entry:
    rows = _few_invoices(work_filters.assigned_to(Invoice.objects.all(), person=reading.user.pk))
    words = _("Invoices that you have taken, or were given.") if rows else _("You have taken no invoice.")
    return entry_of_invoices(_("Mine"), words, rows, list_of("invoice", assigned=work_filters.MINE), "")


def _mentions(reading: Reading) -> Entry:
    waiting = mentions.waiting_for(reading.user).order_by("made_at")
    rows = list(waiting.values_list("made_at", flat=True)[: MAX_COUNTED + 1])
    words = _("Colleagues ask you to look at a note.") if rows else _("No note waits for you.")
    count = f"{MAX_COUNTED}+" if len(rows) > MAX_COUNTED else number(len(rows))
    return Entry(_("Mentions"), words, count, [], rows[0] if rows else None, list_of("mention"))


def _promised_today(reading: Reading) -> Entry:
    rows = _few_invoices(work_filters.promised_today(Invoice.objects.all(), clock.now()))
    words = _("The day ends before long: has it been paid?") if rows else _("Nothing was promised for today.")
    link = list_of("invoice", promise=PromiseFilter.TODAY)
    return entry_of_invoices(_("Promised for today"), words, rows, link, "violet")


def _broken_promises(reading: Reading) -> Entry:
    rows = _few_invoices(work_filters.broken(Invoice.objects.all(), clock.now()))
    words = _("The day has passed, and it was not paid.") if rows else _("No promise is broken.")
    return entry_of_invoices(_("Promises broken"), words, rows, list_of("invoice", promise=PromiseFilter.BROKEN), "red")


# --- operations -------------------------------------------------------------------------------------------------------


def _unknown(reading: Reading) -> Entry:
    rows = _few(Operation.objects.filter(state__in=Operation.UNFINISHED, state=Operation.State.UNKNOWN))
    words = _("Being checked with Stripe; nothing is done twice.") if rows else _("Every action has a clear outcome.")
    return entry_of_operations(_("Unknown outcomes"), words, rows, list_of("operation", state="unknown"), "violet")


def _undecided(reading: Reading) -> Entry:
    rows = _few(manual_resolution.queue())
    words = _("Look at Stripe, and say what came of it.") if rows else _("Everything was settled by itself.")
    return entry_of_operations(_("For you to decide"), words, rows, list_of("operation", state="undecided"))


def _my_approvals(reading: Reading) -> Entry:
    rows = my_turn.decidable(reading.user)
    words = _("Others asked; each waits for a second person.") if rows else _("Nobody waits for your decision.")
    return entry_of_operations(_("My approvals"), words, rows, list_of("operation", turn=TurnFilter.MINE))


def _batches(reading: Reading) -> Entry | None:
    """One request each, whatever the number of invoices. Left out where none waits."""
    rows = my_turn.decidable_batches(reading.user)
    if not rows:
        return None
    amounts = Amounts()
    for batch in rows[:MAX_COUNTED]:
        for currency, sum in batch.sums.items():
            amounts.add(currency, 1, sum)
    link = page_url(rows[0]) if len(rows) == 1 else list_of("batch", turn=TurnFilter.MINE)
    found = entry(_("Batches awaiting approval"), _("A second person decides on the whole."), amounts, link)
    found.count, found.oldest = number(len(rows)), rows[0].created_at
    return found


def _my_requests(reading: Reading) -> Entry:
    rows = _few(my_turn.asked_by(reading.user))
    words = _("A manager decides; you can withdraw them.") if rows else _("Nothing that you asked for waits.")
    return entry_of_operations(_("My waiting requests"), words, rows, list_of("operation", turn=TurnFilter.ASKED), "")


# --- for those who oversee --------------------------------------------------------------------------------------------


def _contradictions(reading: Reading) -> Entry:
    rows = list({row.operation_id: row.operation for row in reading.contradictions}.values())
    words = _("Stripe says otherwise than the journal.") if rows else _("Stripe and the journal say the same.")
    return entry_of_operations(_("Contradictions"), words, rows, list_of("operation", state="contradicted"), "red")


def _drift(reading: Reading) -> Entry:
    rows = list(
        Drift.objects.filter(explaining.left(reading.now))
        .order_by("found_at")
        .values_list("found_at", flat=True)[: MAX_COUNTED + 1]
    )
    words = _("Differences that no run healed and nobody explained.")
    if not rows:
        words = _("No difference to Stripe was left in 7 days without an explanation.")
    count = f"{MAX_COUNTED}+" if len(rows) > MAX_COUNTED else number(len(rows))
    oldest = rows[0] if rows else None
    return Entry(_("Drift"), words, count, [], oldest, list_of("drift", left=LeftFilter.WEEK), "red")


def _bank_credits(reading: Reading) -> Entry:
    rows = list(
        BankTransaction.objects.filter(state=BankTransaction.State.OPEN)
        .order_by("booked_on", "pk")
        .values_list("currency", "left", "statement__uploaded_at")[: MAX_COUNTED + 1]
    )
    amounts = Amounts()
    for currency, left, _uploaded in rows[:MAX_COUNTED]:
        amounts.add(currency, 1, left)
    words = _("Confirm what is proposed, or say what it is.") if rows else _("Every credit of the bank is matched.")
    found = entry(_("Bank credits to match"), words, amounts, list_of("banktransaction", state="open"))
    found.oldest = rows[0][2] if rows else None
    if len(rows) > MAX_COUNTED:
        found.count, found.sums = f"{MAX_COUNTED}+", [_("over {sum}").format(sum=sum) for sum in found.sums]
    return found


def _returned(reading: Reading) -> Entry | None:
    """Left out where there is none."""
    rows = list(
        returned.still_recorded()
        .order_by("booked_on", "pk")
        .values_list("currency", "amount", "statement__uploaded_at")[: MAX_COUNTED + 1]
    )
    if not rows:
        return None
    amounts = Amounts()
    for currency, amount, _uploaded in rows[:MAX_COUNTED]:
        amounts.add(currency, 1, -amount)
    words = _("Report a refund at Stripe, bill again, then say that it is settled.")
    link = list_of("banktransaction", returned=ReturnedFilter.STILL_RECORDED)
    found = entry(_("Returned transfers that are still recorded"), words, amounts, link, "red")
    found.oldest = rows[0][2]
    if len(rows) > MAX_COUNTED:
        found.count, found.sums = f"{MAX_COUNTED}+", [_("over {sum}").format(sum=sum) for sum in found.sums]
    return found


def _last_month(reading: Reading) -> Entry | None:
    """That last month is not closed yet. Left out where nobody closes months."""
    month = month_end.Month.last(settings.REPORTS_TIME_ZONE)
    if month_end.standing(month) is not None or not MonthClose.objects.exists():
        return None
    link = f"{reverse('admin:invoices_monthclose_check')}?month={month}"
    words = _("See whether it can be closed.")
    return Entry(_("{month} is not closed").format(month=month), words, number(1), [], month.end, link)


def _sees_invoices(reading: Reading) -> bool:
    return reading.may("invoices.view_invoice")


def _asks(reading: Reading) -> bool:
    """Whether the person may take any action, and so may have asked for one."""
    return reading.may(*(action.permission for action in ACTIONS.values()))


def _resolves(reading: Reading) -> bool:
    return reading.may(manual_resolution.PERMISSION)


def _sees_operations(reading: Reading) -> bool:
    return reading.may("invoices.view_operation")


QUEUES: list[Queue] = [
    Queue("overdue", _sees_invoices, _overdue),
    Queue("payment_failed", _sees_invoices, _payment_failed),
    Queue("needs_customer", _sees_invoices, _needs_customer),
    Queue("debit_under_way", _sees_invoices, _debits),
    Queue("promised_today", lambda reading: _sees_invoices(reading) and reading.may(promises.VIEW), _promised_today),
    Queue("promises_broken", lambda reading: _sees_invoices(reading) and reading.may(promises.VIEW), _broken_promises),
    Queue("mine", lambda reading: _sees_invoices(reading) and reading.may(assignments.ADD), _mine),
    Queue("mentions", lambda reading: reading.user.has_perms(MENTIONS), _mentions),
    Queue("unknown", _sees_operations, _unknown),
    Queue("undecided", lambda reading: _sees_operations(reading) and _resolves(reading), _undecided),
    Queue("my_approvals", lambda reading: _sees_operations(reading) and reading.may(APPROVE), _my_approvals),
    Queue("my_batches", lambda reading: reading.may(APPROVE) and reading.may("invoices.view_batch"), _batches),
    Queue("my_requests", lambda reading: _sees_operations(reading) and _asks(reading), _my_requests),
    Queue("bank_credits", lambda reading: reading.may("invoices.match_banktransaction"), _bank_credits),
    Queue("returned", lambda reading: reading.may("invoices.match_banktransaction"), _returned),
    Queue("last_month", lambda reading: reading.may(month_end.CLOSE), _last_month),
    Queue("contradictions", lambda reading: _sees_operations(reading) and reading.may(*OVERSEE), _contradictions),
    Queue("drift", lambda reading: reading.may("invoices.view_drift") and reading.may(*OVERSEE), _drift),
]
