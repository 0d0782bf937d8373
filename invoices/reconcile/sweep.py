"""The walk over Stripe's lists: by windows of creation time, a few at once, each finished window remembered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet

from invoices import budget, clock, gateway, mirror
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from invoices.reconcile import compare, runs
from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.letter import tell_finance
from invoices.reconcile.patience import patiently
from invoices.reconcile.windows import DAY, Window, pages
from invoices.snapshot import Snapshot

log = logging.getLogger(__name__)

RECENT = timedelta(days=30)
THREADS = 3
UNFINAL = {"invoice": ("draft", "open", "uncollectible"), "invoice_payment": ("open",)}
FINAL = {"invoice": ("paid", "void"), "invoice_payment": ("paid", "canceled")}
AT_ONCE = 2000  # ids in memory

Kind = ReconciliationRun.Kind


def _silent(run: ReconciliationRun) -> None:
    pass


def run(
    kind: str = Kind.SWEEP,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    progress: runs.Progress = _silent,
    by: User | None = None,
) -> ReconciliationRun:
    """Sweeps, heals, records drift, then catches up on events. The finished run; `exit_code` says what it found.

    Default: every invoice not final at Stripe, everything created in the last 30 days, and what only we hold as not
    final. `since` (aware) moves the 30 days; FULL takes everything, customers and payment intents too. Raises
    AlreadyRunning. Never inside a transaction.
    """
    params = {"since": since.isoformat()} if since else {}
    this = runs.begin(kind, dry_run=dry_run, params=params, by=by)
    try:
        with budget.kept():
            _sweep(this, since, progress)
        this.refresh_from_db()
        this = runs.finish(this)
    except (gateway.GatewayError, SawNothing) as error:
        log.error("Reconciliation failed: %s", error)
        this = runs.fail(this, str(error))
        tell_finance(this)
        return this
    except BaseException as error:
        runs.fail(this, f"{type(error).__name__}: {error}")
        raise
    tell_finance(this)
    if not dry_run:
        try:
            catch_up()
        except (gateway.GatewayError, runs.AlreadyRunning) as error:
            log.warning("No catch-up after this run: %s", error)
    return this


class SawNothing(Exception):
    """Stripe's lists were empty where the mirror has rows: rather a wrong key than an empty account."""


def _probe() -> None:
    """Before all: does Stripe answer, and has it anything? Raises GatewayError at once, without patience."""
    ours = Invoice.objects.filter(deleted_at=None).exclude(status="draft")
    if not gateway.read("/v1/invoices", limit=1).data["data"] and ours.exists():
        raise SawNothing("Stripe lists no invoice at all, but the mirror holds some. Is the key of another account?")


def _sweep(this: ReconciliationRun, since: datetime | None, progress: runs.Progress) -> None:
    _probe()
    importing = this.progress.get("importing")
    if importing is None:
        importing = {name: not this.dry_run and _imports(this, name) for name in MIRRORED}
        this.progress |= {"importing": importing, "windows": [asdict(window) for window in _windows(this.kind, since)]}
        this.save()
    windows = [Window(**window) for window in this.progress["windows"]]
    finished = set(this.progress.get("finished", []))
    tally = runs.Tally(this, progress)
    _in_threads([window for window in windows if window.name not in finished], this, importing, tally)
    if "undated" not in finished:
        tally.add("undated", _undated(this))


def _imports(this: ReconciliationRun, name: str) -> bool:
    """Whether what is missing here is an import, not drift: nothing was ever brought, or the bringing was cut short."""
    earlier = ReconciliationRun.objects.filter(kind__in=[Kind.SWEEP, Kind.FULL], dry_run=False).exclude(pk=this.pk)
    last = earlier.order_by("-started_at").first()
    cut_short = last is not None and last.state == "failed" and last.progress.get("importing", {}).get(name, False)
    return cut_short or _is_empty(name)


def _is_empty(name: str) -> bool:
    if name in UNFINAL:
        return not Invoice.objects.exists()
    return not ReconciliationRun.objects.filter(kind=Kind.FULL, state="finished", dry_run=False).exists()


def _windows(kind: str, since: datetime | None) -> Iterator[Window]:
    """What to walk. The newest window is open at its end, the oldest at its beginning, so that no clock is needed."""
    if kind == Kind.FULL:
        for name in MIRRORED:
            yield from _months(name)
        return
    start = since or clock.now() - RECENT
    first = int(start.timestamp()) // DAY * DAY
    for name, statuses in UNFINAL.items():
        yield from _days(name, first)
        for status in statuses:
            yield Window(name, end=first, status=status)


def _days(name: str, first: int) -> Iterator[Window]:
    """Windows of a few days each, the last one open."""
    last = int(clock.now().timestamp()) // DAY * DAY
    edges = list(range(first, max(last, first) + 1, 5 * DAY))
    for start, end in zip(edges, [*edges[1:], None], strict=True):
        yield Window(name, start, end)


def _months(name: str) -> Iterator[Window]:
    """Everything: thirty days at a time, a year back or as far as the mirror reaches, and whatever is older in one."""
    oldest = MIRRORED[name].objects.exclude(created=None).order_by("created").values_list("created", flat=True).first()
    last = int(clock.now().timestamp()) // DAY * DAY
    first = min(int((oldest or clock.now()).timestamp()) // DAY * DAY, last - 360 * DAY)
    edges = list(range(first, last + 1, 30 * DAY))
    yield Window(name, None, edges[0])
    for start, end in zip(edges, [*edges[1:], None], strict=True):
        yield Window(name, start, end)


def _in_threads(windows: list[Window], this: ReconciliationRun, importing: dict[str, bool], tally: runs.Tally) -> None:
    def work(window: Window) -> None:
        try:
            with budget.kept():
                tally.add(window.name, _walk(window, this, importing[window.object]))
        finally:
            connection.close()  # the thread ends, and its connection must not outlive it

    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="sweep") as pool:
        futures = [pool.submit(work, window) for window in windows]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.result()


def _walk(window: Window, this: ReconciliationRun, importing: bool) -> Counter[str]:
    """One window, page by page. What we hold of it and Stripe did not list is then read singly; while we import, there
    is nothing of the kind, and no ids are kept, however many come."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for snapshots in pages(this, window):
        counts += _take(this, snapshots, importing=importing)
        if not importing:
            seen.update(snapshot.id for snapshot in snapshots)
    return counts if importing else counts + _singly(this, window.object, _not_listed(window, seen))


def _take(this: ReconciliationRun, snapshots: list[Snapshot], *, importing: bool) -> Counter[str]:
    """Heals and records in one transaction: whoever is killed leaves nothing healed that is not on record."""
    with transaction.atomic():
        return compare.record(this, mirror.store(snapshots, dry_run=this.dry_run), importing=importing)


def _not_listed(window: Window, seen: set[str]) -> Iterator[str]:
    return (id for id in _ids(window.rows()) if id not in seen)


def _ids(rows: QuerySet[Any]) -> Iterator[str]:
    """By and by, and without a cursor at the database: a call to Stripe in between gives the connection back."""
    last = ""
    while ids := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        yield from ids
        last = ids[-1]


def _undated(this: ReconciliationRun) -> Counter[str]:
    """Rows without a time of creation (of shapes that we cannot read) stand in no window: retrieved singly."""
    counts: Counter[str] = Counter()
    for name in MIRRORED if this.kind == Kind.FULL else UNFINAL:
        rows: QuerySet[Any] = MIRRORED[name].objects.filter(deleted_at=None, created=None)
        if this.kind != Kind.FULL:
            rows = rows.exclude(status__in=FINAL[name])  # those whose status we cannot read stay in
        counts += _singly(this, name, _ids(rows))
    return counts


def _singly(this: ReconciliationRun, object: str, ids: Iterator[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for id in ids:
        snapshots = patiently(this, lambda id=id: gateway.retrieve(object, id))  # type: ignore[misc]
        counts += _take(this, snapshots[:1], importing=False)
        runs.alive(this)
    return counts


def invoice(id: str, *, dry_run: bool = False, by: User | None = None) -> ReconciliationRun:
    """Compares one invoice, its payments, their intents and its customer with Stripe. The finished run."""
    this = runs.begin(Kind.INVOICE, dry_run=dry_run, params={"invoice": id}, by=by)
    try:
        snapshots = patiently(this, lambda: gateway.retrieve("invoice", id))
        if snapshots[0].data is None and not Invoice.objects.filter(pk=id).exists():
            return runs.fail(this, f"Neither Stripe nor the mirror has an invoice {id}.")
        for object, other in _around(snapshots):
            snapshots += patiently(this, lambda object=object, other=other: gateway.retrieve(object, other))  # type: ignore[misc]
        counts: Counter[str] = Counter()
        for name in MIRRORED:
            # Customers and intents come when a page needs them, and with the full sweep: before that, none is missed.
            importing = name not in UNFINAL and _is_empty(name)
            counts += _take(this, [one for one in snapshots if one.object == name], importing=importing)
        runs.count(this, **counts)
        this.refresh_from_db()
        return runs.finish(this)
    except gateway.GatewayError as error:
        return runs.fail(this, str(error))
    except BaseException as error:
        runs.fail(this, f"{type(error).__name__}: {error}")
        raise


def _around(snapshots: list[Any]) -> Iterator[tuple[str, str]]:
    customer = (snapshots[0].data or {}).get("customer")
    if isinstance(customer, str):
        yield "customer", customer
    for payment in list(snapshots[1:]):
        intent = ((payment.data or {}).get("payment") or {}).get("payment_intent")
        if isinstance(intent, str):
            yield "payment_intent", intent
