"""Sweep and full run: walks Stripe's lists window by window, a few at once, heals the mirror and records the drift."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet

from invoices import account, gateway, mirror
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from invoices.models.reconciliation import RunParams
from invoices.reconcile import compare, runs
from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.email import mail_finance
from invoices.reconcile.long_invoices import with_all_lines
from invoices.reconcile.retry import with_retries
from invoices.reconcile.windows import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    Window,
    pages,
    windows_of_full_run,
    windows_of_part,
    windows_of_sweep,
)
from invoices.snapshot import Snapshot

log = logging.getLogger(__name__)

SWEEP_THREADS = 3  # windows that are walked at once
IDS_PER_QUERY = 2000
UNDATED = "undated"  # the name in `progress.finished` of the part that is no window

Kind = ReconciliationRun.Kind


def _show_nothing(run: ReconciliationRun) -> None:
    pass


def sweep_lists(
    kind: str = Kind.SWEEP,
    *,
    since: datetime | None = None,
    part: int | None = None,
    dry_run: bool = False,
    show_progress: runs.ShowProgress = _show_nothing,
    by: User | None = None,
) -> ReconciliationRun:
    """Sweeps, heals, records drift, then catches up on events. The finished run; `exit_code` says what it found.

    SWEEP takes everything created in the last 30 days (or since `since`, an aware datetime), every older object that
    can still change at Stripe, and every one that can still change according to the mirror. FULL takes everything,
    customers and payment intents too; PART takes the part of it with the number `part`, below FULL_RUN_PARTS. A dry run
    records the drift and heals nothing. Raises AlreadyRunning.
    """
    params = RunParams(since=since.isoformat()) if since else RunParams()
    if part is not None:
        params["part"] = part
    this_run = runs.begin(kind, dry_run=dry_run, params=params, by=by)
    try:
        _sweep(this_run, since, show_progress)
        this_run.refresh_from_db()
        this_run = runs.finish(this_run)
    except (gateway.GatewayError, StripeListsNothing) as error:
        log.error("Reconciliation failed: %s", error)
        this_run = runs.fail(this_run, str(error))
        mail_finance(this_run)
        return this_run
    except BaseException as error:
        runs.fail(this_run, f"{type(error).__name__}: {error}")
        raise
    mail_finance(this_run)
    if not dry_run:
        try:
            catch_up()
        except (gateway.GatewayError, runs.AlreadyRunning) as error:
            log.warning("No catch-up after this run: %s", error)
    return this_run


class StripeListsNothing(Exception):
    """Stripe's list of invoices is empty, and the mirror's is not: the key is probably of another account."""


def _check_account() -> None:
    """Raises StripeListsNothing, and GatewayError at once, without retries: so a wrong key is found immediately."""
    account.ask_again()
    ours = Invoice.objects.filter(deleted_at=None).exclude(status="draft")
    if not gateway.read("/v1/invoices", throttled=True, limit=1).data["data"] and ours.exists():
        raise StripeListsNothing(
            "Stripe lists no invoice at all, but the mirror holds some. Is the key of another account?"
        )


def _sweep(run: ReconciliationRun, since: datetime | None, show_progress: runs.ShowProgress) -> None:
    _check_account()
    if not run.progress.windows:
        planned = _planned(run, since)
        run.progress = replace(
            run.progress,
            importing={object: not run.dry_run and _imports(run, object) for object in MIRRORED},
            windows=[window.stored() for window in planned],
        )
        run.save()
    finished = set(run.progress.finished)
    windows = [Window(**stored) for stored in run.progress.windows]
    tally = runs.Tally(run, show_progress)
    _walk_in_threads([window for window in windows if window.name not in finished], run, tally)
    if UNDATED not in finished:
        tally.add(UNDATED, _undated(run))


def _planned(run: ReconciliationRun, since: datetime | None) -> Iterator[Window]:
    if run.kind == Kind.FULL:
        return windows_of_full_run()
    return windows_of_part(run.params["part"]) if run.kind == Kind.PART else windows_of_sweep(since)


def _imports(run: ReconciliationRun, object: str) -> bool:
    """Whether objects of this kind that the mirror lacks are an import, and not drift: they were never imported, or the
    last run failed while it imported them. Asked once, when the run plans."""
    earlier = ReconciliationRun.objects.filter(kind__in=[Kind.SWEEP, Kind.FULL], dry_run=False).exclude(pk=run.pk)
    last = earlier.order_by("-started_at").first()
    cut_short = last is not None and last.state == "failed" and last.progress.importing.get(object, False)
    return cut_short or _was_never_imported(object)


def _was_never_imported(object: str) -> bool:
    """Of invoices and their payments: whether the mirror holds no invoice at all. One that an event brought ends this,
    even if no run has finished. Of the other kinds: whether no full run has finished."""
    if object in CHANGEABLE_STATUSES:
        return not Invoice.objects.exists()
    return not ReconciliationRun.objects.filter(kind=Kind.FULL, state="finished", dry_run=False).exists()


def _walk_in_threads(windows: list[Window], run: ReconciliationRun, tally: runs.Tally) -> None:
    """Walks the windows. After the first error the windows that have not begun are left out, and it is raised."""

    def work(window: Window) -> None:
        try:
            tally.add(window.name, _walk(window, run))
        finally:
            connection.close()  # the thread ends, and its connection must not outlive it

    with ThreadPoolExecutor(max_workers=SWEEP_THREADS, thread_name_prefix="sweep") as pool:
        futures = [pool.submit(work, window) for window in windows]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.result()


def _walk(window: Window, run: ReconciliationRun) -> Counter[str]:
    """Compares one window, page by page, and then retrieves every object that the mirror has in it and Stripe did not
    list. During an import there is no such object, and no id is kept in memory."""
    importing = run.progress.importing[window.object]
    counts: Counter[str] = Counter()
    listed: set[str] = set()
    for listed_page in pages(run, window):
        snapshots = with_all_lines(run, listed_page)
        counts += _store_and_record(run, snapshots, importing=importing)
        if not importing:
            listed.update(snapshot.id for snapshot in snapshots)
    return counts if importing else counts + _retrieve_each(run, window.object, _not_listed(window, listed))


def _store_and_record(run: ReconciliationRun, snapshots: list[Snapshot], *, importing: bool) -> Counter[str]:
    """Heals the mirror and writes the drift rows in one transaction: a killed process leaves no unrecorded repair."""
    with transaction.atomic():
        return compare.record(run, mirror.store(snapshots, dry_run=run.dry_run), importing=importing)


def _not_listed(window: Window, listed: set[str]) -> Iterator[str]:
    return (id for id in _ids(window.rows()) if id not in listed)


def _ids(rows: QuerySet[Any]) -> Iterator[str]:
    """All ids, in portions. A server-side cursor would not outlive a request to Stripe, which gives the database
    connection back."""
    last = ""
    while ids := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:IDS_PER_QUERY]):
        yield from ids
        last = ids[-1]


def _undated(run: ReconciliationRun) -> Counter[str]:
    """Retrieves each row without a creation time (its object has a shape that we cannot read): it is in no window."""
    counts: Counter[str] = Counter()
    everything = run.kind == Kind.FULL or run.params.get("part") == 0
    for object in MIRRORED if everything else CHANGEABLE_STATUSES:
        rows: QuerySet[Any] = MIRRORED[object].objects.filter(deleted_at=None, created=None)
        if not everything:
            rows = rows.exclude(status__in=FINAL_STATUSES[object])  # a row with an unknown status is kept
        counts += _retrieve_each(run, object, _ids(rows))
    return counts


def _retrieve_each(run: ReconciliationRun, object: str, ids: Iterator[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for id in ids:
        snapshots = with_retries(run, lambda id=id: gateway.retrieve(object, id, throttled=True))  # type: ignore[misc]
        counts += _store_and_record(run, snapshots[:1], importing=False)
        runs.show_alive(run)
    return counts


def compare_invoice(id: str, *, dry_run: bool = False, by: User | None = None) -> ReconciliationRun:
    """Compares one invoice, its payments, their payment intents and its customer with Stripe. The finished run.

    A person waits for it, so it is not throttled.
    """
    run = runs.begin(Kind.INVOICE, dry_run=dry_run, params=RunParams(invoice=id), by=by)
    try:
        snapshots = with_retries(run, lambda: gateway.retrieve("invoice", id))
        if snapshots[0].data is None and not Invoice.objects.filter(pk=id).exists():
            return runs.fail(run, f"Neither Stripe nor the mirror has an invoice {id}.")
        for object, other in _related(snapshots):
            snapshots += with_retries(run, lambda object=object, other=other: gateway.retrieve(object, other))  # type: ignore[misc]
        counts: Counter[str] = Counter()
        for object in MIRRORED:
            # Customers and payment intents come when a page needs them, and with the first full run. Before that run,
            # one that the mirror lacks is no drift.
            importing = object not in CHANGEABLE_STATUSES and _was_never_imported(object)
            found = [snapshot for snapshot in snapshots if snapshot.object == object]
            counts += _store_and_record(run, found, importing=importing)
        runs.add_counts(run, **counts)
        run.refresh_from_db()
        return runs.finish(run)
    except gateway.GatewayError as error:
        return runs.fail(run, str(error))
    except BaseException as error:
        runs.fail(run, f"{type(error).__name__}: {error}")
        raise


def _related(snapshots: list[Snapshot]) -> Iterator[tuple[str, str]]:
    """(`object` value, id) of the invoice's customer and of its payments' payment intents."""
    customer = (snapshots[0].data or {}).get("customer")
    if isinstance(customer, str):
        yield "customer", customer
    for payment in list(snapshots[1:]):
        intent = ((payment.data or {}).get("payment") or {}).get("payment_intent")
        if isinstance(intent, str):
            yield "payment_intent", intent
