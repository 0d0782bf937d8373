"""Sweep and full run: walks Stripe's lists, invoices first, heals the mirror and records the drift."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from invoices import account, clock, gateway, interruption, mirror
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from invoices.models.reading import is_id, member
from invoices.models.reconciliation import RunParams
from invoices.reconcile import compare, importing, runs, unreadable
from invoices.reconcile.ahead import read_ahead
from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.email import mail_finance
from invoices.reconcile.retry import with_retries
from invoices.reconcile.rows import ids_newest_first
from invoices.reconcile.threads import in_threads
from invoices.reconcile.walks import FAR_FUTURE, Page, Place, Walk, Walks, unlisted_before
from invoices.reconcile.windows import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    Window,
    windows_of_full_run,
    windows_of_part,
    windows_of_sweep,
)
from invoices.sight import logs
from invoices.snapshot import Snapshot

log = logging.getLogger(__name__)

SWEEP_THREADS = 3  # windows that are walked at once
AFTER_INVOICES = ("invoice_payment", "customer", "payment_intent", "charge", "credit_note", "refund")
IDS_PER_QUERY = 2000
MAX_UNLISTED = 1000  # ids that wait for the end of their window, in memory and in the run's progress
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
                with_retries(run, lambda: _end(run))
            except (gateway.GatewayError, StripeListsNothing) as error:
                log.error("Reconciliation failed: %s", error)
                runs.fail(run, str(error))
    except interruption.Interrupted:
        return run
    if run.state == State.FAILED:
        mail_finance(run)
    if run.state == State.FINISHED and not dry_run:
        try:
            catch_up()
        except (gateway.GatewayError, runs.AlreadyRunning, runs.RunLost, *runs.DATABASE_AWAY) as error:
            log.warning("No catch-up after this run, which is finished: %s", error)
    return run


def _end(run: ReconciliationRun) -> None:
    with transaction.atomic():
        mail_finance(runs.finish(run))


class StripeListsNothing(Exception):
    """Stripe's list of invoices is empty, and the mirror's is not: the key is probably of another account."""


def _check_account() -> None:
    """Raises StripeListsNothing, and GatewayError."""
    account.ask_again()
    ours = Invoice.objects.filter(deleted_at=None).exclude(status="draft")
    if ours.exists() and not gateway.read("/v1/invoices", throttled=True, limit=1).data["data"]:
        raise StripeListsNothing(
            "Stripe lists no invoice at all, but the mirror holds some. Is the key of another account?"
        )


def _sweep(run: ReconciliationRun, since: datetime | None, show_progress: runs.ShowProgress) -> None:
    """Invoices first: once they are here the desk can be used, while what belongs to them follows."""
    with_retries(run, _check_account)  # a wrong key is found at once: only what may pass is tried again
    if not run.progress.windows:
        with_retries(run, lambda: _plan(run, since))
    shown = _Shown(run, show_progress)
    _walk_all(run, [Invoice.OBJECT], shown)
    if run.progress.importing[Invoice.OBJECT] and not run.progress.invoices_complete_at:
        with_retries(run, lambda: _invoices_are_complete(run))
        shown.again()
    _walk_all(run, list(AFTER_INVOICES), shown)
    if UNDATED not in run.progress.finished:
        with_retries(run, mirror.forget_sightings)
        counts = _undated(run)
        with_retries(run, lambda: runs.advance(run, counts, finished=UNDATED))
        shown.again()


class _Shown:
    """Shows the run's progress, for one thread at a time."""

    def __init__(self, run: ReconciliationRun, show_progress: runs.ShowProgress) -> None:
        self.run, self.show_progress = run, show_progress
        self.lock = threading.Lock()

    def again(self) -> None:
        with self.lock:
            self.show_progress(self.run)


def _walk_all(run: ReconciliationRun, objects: list[str], shown: _Shown) -> None:
    """Walks every window of these kinds that is not finished."""
    progress = run.progress
    planned = [Window(**stored) for stored in progress.windows]
    planned = [window for object in objects for window in planned if window.object == object]
    left = [window for window in planned if window.name not in progress.finished]
    if not left:
        return

    def split(walk: Walk) -> Walk | None:
        return walk.split(
            lambda newer, older: with_retries(run, lambda: runs.note_split(run, newer.stored(), older.stored()))
        )

    walks = Walks([Walk(window, Place.read(progress.cursors.get(window.name))) for window in left], split)

    def work(walk: Walk, ended: threading.Event) -> None:
        try:
            _walk(walk, run, ended, shown)
        finally:
            walks.leave(walk)

    in_threads(walks.take, work, threads=SWEEP_THREADS, name="sweep")
    with_retries(run, partial(runs.read_again, run))  # the threads wrote in turn, and in their own order here


def _invoices_are_complete(run: ReconciliationRun) -> None:
    runs.write(run, progress=replace(run.progress, invoices_complete_at=clock.now().isoformat()))
    logs.tell(log, "invoices are complete: the desk can be used", run=run.pk, invoices=run.seen)


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


def _walk(walk: Walk, run: ReconciliationRun, ended: threading.Event, shown: _Shown) -> None:
    """Compares one window, some pages at a time, and writes them and how far the run has come in one transaction.

    What the mirror has of the time that the pages cover and Stripe did not list is retrieved at the end of the window:
    a list that is out of order may show it later."""
    unlisted = unlisted_before(run.progress.cursors.get(walk.window.name))
    with closing(read_ahead(walk.pages(run))) as gathered:
        for pages in gathered:
            if ended.is_set():
                return
            object, before, after = walk.window.object, pages[0].before, pages[-1].after
            counts: Counter[str] = Counter()
            for page in pages:
                counts += page.counts + unreadable.record_members(run, object, page.refused)
                unlisted -= page.ids
            unlisted |= set(_not_listed(run, _part(walk.window, before, after), pages))
            if after is None or len(unlisted) > MAX_UNLISTED:
                counts += _retrieve_each(run, object, iter(sorted(unlisted)))
                unlisted = set()
            snapshots = [snapshot for page in pages for snapshot in page.snapshots]
            place = {"cursor": (walk.window.name, after.stored(unlisted))} if after else {"finished": walk.window.name}
            _store_and_advance(run, object, snapshots, counts, place)
            shown.again()


def _part(window: Window, before: Place | None, after: Place | None) -> Window:
    """What lies between two places of a window. Of the second in which a place is, everything belongs to the part that
    begins there: it knows the ids of that second."""
    return replace(
        window,
        start=max(after.second + 1, window.start or 0) if after else window.start,
        end=before.second + 1 if before and before.second < FAR_FUTURE else window.end,
    )


def _not_listed(run: ReconciliationRun, part: Window, pages: list[Page]) -> Iterator[str]:
    listed = {id for page in pages for id in page.ids} | set(pages[0].before.ids if pages[0].before else ())
    return (id for id in ids_newest_first(run, part.rows()) if id not in listed)


def _store_and_advance(
    run: ReconciliationRun, object: str, snapshots: list[Snapshot], counts: Counter[str], place: dict[str, Any]
) -> None:
    """Heals the mirror, writes the drift rows, and notes the place (`runs.advance`): in one transaction, or where an
    object forbids that, one object at a time. A process that is killed leaves no repair unrecorded."""
    importing = run.progress.importing[object]

    def write() -> None:
        with transaction.atomic():
            found = _store_in_one_transaction(run, snapshots, importing=importing)
            runs.advance(run, counts + found, **place)

    try:
        with_retries(run, write)
    except unreadable.FAULT_OF_AN_OBJECT as error:
        log.warning("A page could not be stored (%s); now one object at a time.", type(error).__name__)
        for snapshot in snapshots:
            counts += _store_and_record(run, [snapshot], importing=importing)
        with_retries(run, lambda: runs.advance(run, counts, **place))


def _store_and_record(run: ReconciliationRun, snapshots: list[Snapshot], *, importing: bool) -> Counter[str]:
    """Heals the mirror and writes the drift rows; all at once, and where that cannot be done one object at a time."""
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
        return runs.fail(run, gettext_noop("Neither Stripe nor the mirror has an invoice {id}.").format(id=id))
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
