"""Proof of equality: every object of every mirrored kind, at Stripe and in the mirror; it heals nothing.

Each window is walked by `suspects.WindowProof`. What it found is added to the run's report at once, so that a run that
was interrupted goes on with the next window.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_noop

from invoices import account, clock, gateway, interruption
from invoices.models import MIRRORED, ReconciliationRun
from invoices.models.reconciliation import ReportDay, ReportDigest, ReportKind, RunParams, RunReport
from invoices.reconcile import importing, runs
from invoices.reconcile.email import mail_finance
from invoices.reconcile.retry import with_retries
from invoices.reconcile.sides import SUMS, sum_of_digests, together
from invoices.reconcile.suspects import WindowProof
from invoices.reconcile.threads import in_threads, taking
from invoices.reconcile.windows import Window, windows_of_proof

VERSION = 4  # of the report: one of before has no charges
THREADS = 3  # windows that are walked at once
ALL_LINES, LISTED_LINES = "all", "listed"

NOT_SHOWN = [  # kept with the report, in English; its page shows them in the reader's language
    gettext_noop(
        "Stripe's lists leave out deleted customers and deleted drafts. What only the mirror holds was retrieved "
        "singly; of what Stripe deleted and the mirror does not hold, nothing can be shown."
    ),
    gettext_noop(
        "Stripe's list of customers leaves out those of test clocks. Those that the mirror holds were retrieved "
        "singly; those that it lacks cannot be found. There are none in live mode."
    ),
    gettext_noop("What Stripe created after the newest page of a list was read is not covered."),
    gettext_noop(
        "Of an object are not compared, because Stripe changes them without an event: webhooks_delivered_at, a "
        "customer's next_invoice_sequence, the address of invoice_pdf and of a credit note's pdf, and of "
        "hosted_invoice_url more than whether there is one. Nor are members that Stripe shows only when they are "
        "expanded, such as amount_paid_off_stripe."
    ),
    gettext_noop(
        "Events are not compared: states are. Stripe lists events for 30 days only, and the catch-up reads them."
    ),
]
LATER_LINES_NOT_SHOWN = gettext_noop("Lines after an invoice's tenth were counted, and not compared (--lines listed).")

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State


def verify(
    *,
    since: datetime | None = None,
    lines: str = ALL_LINES,
    show_progress: runs.ShowProgress = runs.show_nothing,
    by: User | None = None,
) -> ReconciliationRun:
    """Compares every object (created since that day), and heals nothing. The finished run.

    ALL_LINES reads the lines of each invoice that has more than ten, at least one request for each. LISTED_LINES
    compares the ten that Stripe's lists show, and the number. `report` is a RunReport, each difference a `Drift` row;
    `exit_code` is CLEAN if nothing differs, else NOT_EQUAL. Raises AlreadyRunning.
    """
    params = RunParams(since=since.isoformat()) if since else RunParams()
    if lines != ALL_LINES:
        params["lines"] = lines
    try:
        with runs.running(Kind.VERIFY, params=params, by=by) as run:
            try:
                _prove(run, since, show_progress)
                with_retries(run, lambda: _close(run))
            except gateway.GatewayError as error:
                runs.fail(run, str(error))
    except interruption.Interrupted:
        return run
    if run.state == ReconciliationRun.State.FAILED:
        mail_finance(run)
    return run


def _prove(run: ReconciliationRun, since: datetime | None, show_progress: runs.ShowProgress) -> None:
    with_retries(run, account.ask_again)  # before the first request: a key of another account would prove nothing
    if not run.progress.windows or run.report.get("version") != VERSION:
        with_retries(run, lambda: _plan(run, since))
    all_lines, swept_at = run.report["lines"] == ALL_LINES, with_retries(run, _swept_at)
    awaited = with_retries(run, lambda: {object for object in MIRRORED if importing.is_awaited(object)})
    ledger, finished = _Ledger(run, show_progress), set(run.progress.finished)

    def walk(window: Window, ended: threading.Event) -> None:
        proof = WindowProof(
            run, window, all_lines=all_lines, swept_at=swept_at, awaited=window.object in awaited, ended=ended
        ).walk()
        if not ended.is_set():
            ledger.add(window.name, proof)

    windows = [Window(**stored) for stored in run.progress.windows]
    left = taking(window for window in windows if window.name not in finished)
    in_threads(left, walk, threads=THREADS, name="proof")
    for object in MIRRORED:
        undated = f"undated/{object}"
        if undated not in finished and not since:
            proof = WindowProof(run, Window(object), all_lines=all_lines, swept_at=swept_at)
            ledger.add(undated, proof.walk_undated())


def _plan(run: ReconciliationRun, since: datetime | None) -> None:
    planned = replace(run.progress, windows=[window.stored() for window in windows_of_proof(since)], finished=[])
    runs.write(run, progress=planned, report=_empty_report(run), seen=0, same=0, in_flight=0, failed=0)


def _swept_at() -> datetime | None:
    """When the last sweep or full run began that has finished."""
    swept = ReconciliationRun.objects.filter(kind__in=[Kind.SWEEP, Kind.FULL], state=State.FINISHED, dry_run=False)
    return swept.order_by("-started_at").values_list("started_at", flat=True).first()


# --- the report -------------------------------------------------------------------------------------------------------


def _empty_report(run: ReconciliationRun) -> RunReport:
    lines = run.params.get("lines", ALL_LINES)
    return RunReport(
        version=VERSION,
        equal=False,
        lines=lines,
        kinds={object: _empty_kind(object) for object in MIRRORED},
        days=[],
        digest=ReportDigest(ours="", theirs=""),
        not_shown=[*NOT_SHOWN, *([LATER_LINES_NOT_SHOWN] if lines == LISTED_LINES else [])],
    )


def _empty_kind(object: str) -> ReportKind:
    return ReportKind(
        sums=list(SUMS[object]),
        here=0,
        at_stripe=0,
        found={},
        oldest=None,
        newest=None,
        looked_up=0,
        by_list=0,
        unwritten=0,
        long_invoices=0,
        line_requests=0,
        digest=ReportDigest(ours="", theirs=""),
    )


class _Ledger:
    """Adds what each finished window found to the run's report and counts, in one transaction with its being finished:
    a run that is taken over counts no window twice."""

    def __init__(self, run: ReconciliationRun, show_progress: runs.ShowProgress) -> None:
        self.run, self.show_progress = run, show_progress
        self.lock = threading.Lock()

    def add(self, name: str, window: WindowProof) -> None:
        """The window of this name is finished. Raises RunLost."""
        with self.lock:
            with_retries(self.run, lambda: self._write(name, window))
            self.show_progress(self.run)

    def _write(self, name: str, window: WindowProof) -> None:
        """Done again, after a commit whose answer was lost, it changes nothing."""
        with transaction.atomic():
            row = runs.mine(self.run).select_for_update().first()
            if row is None:
                raise runs.RunLost(f"Another process has gone on with run {self.run.pk}, or has closed it.")
            covered = window.covered
            if name not in row.progress.finished:
                _add_to_kind(row.report["kinds"][window.window.object], window)
                _add_days(row.report["days"], window)
                row.progress = replace(row.progress, finished=[*row.progress.finished, name])
                row.seen, row.same = row.seen + covered.seen, row.same + covered.same
                row.in_flight, row.failed = row.in_flight + covered.in_flight, row.failed + covered.different
            names = ("progress", "report", "seen", "same", "in_flight", "failed")
            runs.write(self.run, alive_at=clock.now(), **{name: getattr(row, name) for name in names})


def _add_to_kind(kind: ReportKind, window: WindowProof) -> None:
    covered = window.covered
    kind["here"] += covered.here
    kind["at_stripe"] += covered.at_stripe
    kind["looked_up"] += covered.looked_up
    kind["by_list"] += covered.by_list
    kind["unwritten"] += covered.unwritten
    kind["long_invoices"] += covered.long_invoices
    kind["line_requests"] += covered.line_requests
    found = Counter(kind["found"])
    for day in window.days.values():
        found.update(day.found)
    kind["found"] = dict(found)
    if covered.oldest and covered.newest:
        kind["oldest"] = min(kind["oldest"] or covered.oldest.isoformat(), covered.oldest.isoformat())
        kind["newest"] = max(kind["newest"] or covered.newest.isoformat(), covered.newest.isoformat())


def _add_days(days: list[ReportDay], window: WindowProof) -> None:
    """A day on which two windows meet has an entry already, to which what the other window has of it is added."""
    object = window.window.object
    known = {day["day"]: day for day in days if day["object"] == object}
    for name, found in window.days.items():
        if not (found.ours.groups or found.theirs.groups or found.found):
            continue  # only objects that were gone when they were looked up
        day = found.as_dict(object, name)
        if name not in known:
            days.append(day)
            continue
        old = known[name]
        old["equal"] = old["equal"] and day["equal"]
        old["ours"], old["theirs"] = together(old["ours"], day["ours"]), together(old["theirs"], day["theirs"])
        old["found"] = dict(Counter(old["found"]) + Counter(day["found"]))


def _close(run: ReconciliationRun) -> None:
    report: RunReport = run.report
    report["days"].sort(key=lambda day: (day["day"], day["object"]))
    days = report["days"]
    for object, kind in report["kinds"].items():
        kind["digest"] = _digest([day for day in days if day["object"] == object])
    report["digest"] = _digest(days)
    awaited = any(kind["found"].get("not_imported") for kind in report["kinds"].values())
    report["equal"] = not run.failed and not awaited and all(day["equal"] for day in days)
    with transaction.atomic():
        mail_finance(runs.finish(run, runs.CLEAN if report["equal"] else runs.NOT_EQUAL, report=report))


def _digest(days: list[Any]) -> ReportDigest:
    ours, theirs = (sum_of_digests([day[side]["digest"] for day in days]) for side in ("ours", "theirs"))
    return ReportDigest(ours=ours, theirs=theirs)
