"""Sweep and full run: walks Stripe's lists window by window, a few at once, heals the mirror and records the drift."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from invoices import account, clock, gateway, mirror
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from invoices.models.reading import member
from invoices.models.reconciliation import RunParams
from invoices.reconcile import compare, importing, interruption, runs, unreadable
from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.email import mail_finance
from invoices.reconcile.long_invoices import with_all_lines
from invoices.reconcile.retry import with_retries
from invoices.reconcile.rows import ids_newest_first
from invoices.reconcile.threads import in_threads
from invoices.reconcile.windows import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    Window,
    listed,
    windows_of_full_run,
    windows_of_part,
    windows_of_sweep,
)
from invoices.snapshot import Snapshot, is_id

log = logging.getLogger(__name__)

SWEEP_THREADS = 3  # windows that are walked at once
IDS_PER_QUERY = 2000
UNDATED = "undated"  # the name in `progress.finished` of the part that is no window

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State


def sweep_lists(
    kind: str = Kind.SWEEP,
    *,
    since: datetime | None = None,
    part: int | None = None,
    dry_run: bool = False,
    show_progress: runs.ShowProgress = runs.show_nothing,
    by: User | None = None,
) -> ReconciliationRun:
    """Sweeps, heals, records drift, then catches up on events. The finished run; `exit_code` says what it found.

    SWEEP takes everything created in the last 30 days (or since `since`, an aware datetime), every older object that
    can still change at Stripe, and every one that can still change according to the mirror. FULL takes everything,
    customers and payment intents too; PART takes the part of it with the number `part`, below FULL_RUN_PARTS. A dry run
    records the drift and heals nothing. Raises AlreadyRunning, RunLost.
    """
    params = RunParams(since=since.isoformat()) if since else RunParams()
    if part is not None:
        params["part"] = part
    try:
        with runs.running(kind, dry_run=dry_run, params=params, by=by) as run:
            try:
                _sweep(run, since, show_progress)
                with_retries(run, lambda: runs.finish(run))
            except (gateway.GatewayError, StripeListsNothing) as error:
                log.error("Reconciliation failed: %s", error)
                runs.fail(run, str(error))
    except interruption.Interrupted:
        return run
    mail_finance(run)
    if run.state == State.FINISHED and not dry_run:
        try:
            catch_up()
        except (gateway.GatewayError, runs.AlreadyRunning, runs.RunLost, *runs.DATABASE_AWAY) as error:
            log.warning("No catch-up after this run, which is finished: %s", error)
    return run


class StripeListsNothing(Exception):
    """Stripe's list of invoices is empty, and the mirror's is not: the key is probably of another account."""


def _check_account() -> None:
    """Raises StripeListsNothing, and GatewayError."""
    account.ask_again()
    ours = Invoice.objects.filter(deleted_at=None).exclude(status="draft")
    if not gateway.read("/v1/invoices", throttled=True, limit=1).data["data"] and ours.exists():
        raise StripeListsNothing(
            "Stripe lists no invoice at all, but the mirror holds some. Is the key of another account?"
        )


def _sweep(run: ReconciliationRun, since: datetime | None, show_progress: runs.ShowProgress) -> None:
    with_retries(run, _check_account)  # a wrong key is found at once: only what may pass is tried again
    if not run.progress.windows:
        with_retries(run, lambda: _plan(run, since))
    finished = set(run.progress.finished)
    windows = [Window(**stored) for stored in run.progress.windows]
    tally = runs.Tally(run, show_progress)
    in_threads(
        (window for window in windows if window.name not in finished),
        lambda window, ended: _walk_and_add(window, run, tally, ended),
        threads=SWEEP_THREADS,
        name="sweep",
    )
    if UNDATED not in finished:
        counts = _undated(run)
        with_retries(run, lambda: tally.add(UNDATED, counts))


def _planned(run: ReconciliationRun, since: datetime | None) -> Iterator[Window]:
    if run.kind == Kind.FULL:
        return windows_of_full_run()
    return windows_of_part(run.params["part"]) if run.kind == Kind.PART else windows_of_sweep(since)


def _plan(run: ReconciliationRun, since: datetime | None) -> None:
    progress = replace(
        run.progress,
        importing={object: _is_import(run, object) for object in MIRRORED},
        windows=[window.stored() for window in _planned(run, since)],
    )
    runs.write(run, progress=progress)


def _is_import(run: ReconciliationRun, object: str) -> bool:
    """Whether what the mirror lacks of this kind is imported by this run, and no drift. A dry run imports nothing."""
    return not run.dry_run and not importing.is_over(object)


def _walk_and_add(window: Window, run: ReconciliationRun, tally: runs.Tally, ended: threading.Event) -> None:
    counts = _walk(window, run, ended)
    if not ended.is_set():
        with_retries(run, lambda: tally.add(window.name, counts))


def _walk(window: Window, run: ReconciliationRun, ended: threading.Event) -> Counter[str]:
    """Compares one window, page by page, and then retrieves every object that the mirror has in it and Stripe did not
    list. During an import no id is kept in memory: what was not listed is what was not stored since the walk began."""
    is_import = run.progress.importing[window.object]
    began = with_retries(run, clock.now)
    counts: Counter[str] = Counter()
    listed_ids: set[str] = set()
    for listed_page, refused in listed(run, window):
        if ended.is_set():
            return counts
        snapshots, unread = with_all_lines(run, listed_page)
        deleted = {snapshot.id for snapshot in snapshots if snapshot.deleted}  # since it was listed
        there = [snapshot for snapshot in snapshots if snapshot.id not in deleted]
        counts += unread + _store_and_record(run, there, importing=is_import)
        counts += unreadable.record_members(run, window.object, refused)
        if not is_import:
            listed_ids.update(snapshot.id for snapshot in listed_page if snapshot.id not in deleted)
    if is_import:
        return counts + _retrieve_each(run, window.object, _ids(run, window.rows().filter(stored_at__lt=began)))
    return counts + _retrieve_each(run, window.object, _not_listed(run, window, listed_ids))


def _store_and_record(run: ReconciliationRun, snapshots: list[Snapshot], *, importing: bool) -> Counter[str]:
    """Heals the mirror and writes the drift rows; a page whole, and where that cannot be done one object at a time."""
    try:
        return with_retries(run, lambda: _store_in_one_transaction(run, snapshots, importing=importing))
    except unreadable.FAULT_OF_AN_OBJECT as error:
        if len(snapshots) == 1:
            return unreadable.record_snapshot(run, snapshots[0], error)
        log.warning("A page could not be stored (%s); now one object at a time.", type(error).__name__)
    counts: Counter[str] = Counter()
    for snapshot in snapshots:
        counts += _store_and_record(run, [snapshot], importing=importing)
    return counts


def _store_in_one_transaction(run: ReconciliationRun, snapshots: list[Snapshot], *, importing: bool) -> Counter[str]:
    """A killed process leaves no unrecorded repair. Raises RunLost."""
    with transaction.atomic():
        if not runs.mine(run).exists():
            raise runs.RunLost(f"Another process has gone on with run {run.pk}, or has closed it.")
        return compare.record(run, mirror.store(snapshots, dry_run=run.dry_run), importing=importing)


def _not_listed(run: ReconciliationRun, window: Window, listed_ids: set[str]) -> Iterator[str]:
    return (id for id in ids_newest_first(run, window.rows()) if id not in listed_ids)


def _ids(run: ReconciliationRun, rows: QuerySet[Any]) -> Iterator[str]:
    """All ids, in portions. A server-side cursor would not outlive a request to Stripe, which gives the database
    connection back."""
    last = ""
    while ids := with_retries(run, partial(_portion, rows, last)):
        yield from ids
        last = ids[-1]


def _portion(rows: QuerySet[Any], last: str) -> list[str]:
    return list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:IDS_PER_QUERY])


def _undated(run: ReconciliationRun) -> Counter[str]:
    """Retrieves each row without a creation time (its object has a shape that we cannot read): it is in no window."""
    counts: Counter[str] = Counter()
    everything = run.kind == Kind.FULL or run.params.get("part") == 0
    for object in MIRRORED if everything else CHANGEABLE_STATUSES:
        rows: QuerySet[Any] = MIRRORED[object].objects.filter(deleted_at=None, created=None)
        if not everything:
            rows = rows.exclude(status__in=FINAL_STATUSES[object])  # a row with an unknown status is kept
        counts += _retrieve_each(run, object, _ids(run, rows))
    return counts


def _retrieve_each(run: ReconciliationRun, object: str, ids: Iterator[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for id in ids:
        try:
            snapshots = with_retries(run, partial(unreadable.retrieve, object, id, throttled=True))
        except unreadable.FAULT_OF_AN_OBJECT as error:
            counts += unreadable.record(run, object, id, error)
        else:
            counts += _store_and_record(run, snapshots[:1], importing=False)
        with_retries(run, lambda: runs.show_alive(run))
    return counts


def compare_invoice(id: str, *, dry_run: bool = False, by: User | None = None) -> ReconciliationRun:
    """Compares one invoice, its payments, their payment intents and its customer with Stripe. The finished run.

    A person waits for it, so it is not throttled.
    """
    try:
        with runs.running(Kind.INVOICE, dry_run=dry_run, params=RunParams(invoice=id), by=by) as run:
            try:
                return _compare_invoice(run, id)
            except (gateway.GatewayError, unreadable.Unreadable) as error:
                return runs.fail(run, str(error))
    except interruption.Interrupted:
        return run


def _compare_invoice(run: ReconciliationRun, id: str) -> ReconciliationRun:
    snapshots = with_retries(run, lambda: unreadable.retrieve("invoice", id))
    if snapshots[0].data is None and not Invoice.objects.filter(pk=id).exists():
        return runs.fail(run, f"Neither Stripe nor the mirror has an invoice {id}.")
    counts: Counter[str] = Counter()
    for object, other in _related(snapshots):
        try:
            snapshots += with_retries(run, partial(unreadable.retrieve, object, other))
        except unreadable.FAULT_OF_AN_OBJECT as error:
            counts += unreadable.record(run, object, other, error)
    for object in MIRRORED:
        found = [snapshot for snapshot in snapshots if snapshot.object == object]
        counts += _store_and_record(run, found, importing=_is_import(run, object))
    with_retries(run, lambda: runs.advance(run, counts, finished=id))
    return with_retries(run, lambda: runs.finish(run))


def _related(snapshots: list[Snapshot]) -> Iterator[tuple[str, str]]:
    """(`object` value, id) of the invoice's customer and of its payments' payment intents."""
    found = [("customer", member(snapshots[0].data, "customer"))]
    found += [("payment_intent", member(payment.data, "payment", "payment_intent")) for payment in snapshots[1:]]
    return ((object, id) for object, id in found if is_id(id))
