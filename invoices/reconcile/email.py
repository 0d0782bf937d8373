"""The e-mail to finance after a run that found drift or failed, or a proof that was not equal."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.urls import reverse

from invoices import emails
from invoices.models import Drift, Email, ReconciliationRun, personal
from invoices.reconcile import explaining, grand_total, runs
from invoices.reconcile.proof_in_words import difference_count

MAX_DIFFERENCES_SHOWN = 20  # the run's page shows all of them


def mail_finance(run: ReconciliationRun) -> int:
    """Writes an e-mail to FINANCE_EMAILS if the run found drift or failed; to how many. Called in the transaction that
    ends the run, so that a process that dies has told or has not ended.

    A run that failed is tried again every hour: the same failure is told once.
    """
    if run.exit_code in (None, runs.CLEAN) or run.dry_run or not settings.FINANCE_EMAILS or _was_told(run):
        return 0
    told = Email.objects.filter(kind=Email.Kind.RECONCILIATION, about=run.pk, subject=subject(run))
    if (
        run.state == run.State.FINISHED and told.exists()
    ):  # the end is written again after a commit whose answer was lost
        return 0
    return emails.write(Email.Kind.RECONCILIATION, run.pk, subject(run), body(run), settings.FINANCE_EMAILS)


def _was_told(run: ReconciliationRun) -> bool:
    """Whether the run of this kind before this one failed in the same way, less than a day ago; or this one did, before
    it went on."""
    if run.error and run.progress.interruptions and run.progress.interruptions[-1].endswith(run.error):
        return True
    before = ReconciliationRun.objects.filter(kind=run.kind, dry_run=False, started_at__lt=run.started_at)
    last = before.filter(started_at__gt=run.started_at - timedelta(days=1)).order_by("-started_at").first()
    return bool(run.error) and last is not None and last.error == run.error


def subject(run: ReconciliationRun) -> str:
    """The day of the run and its result."""
    if run.kind == ReconciliationRun.Kind.VERIFY:
        result = "it failed" if run.exit_code == runs.FAILED else f"not equal, {difference_count(run)}"
        return f"Proof of equality of {run.started_at:%Y-%m-%d}: {result}"
    results = {
        runs.FAILED: "the run failed",
        runs.DRIFT_HEALED: "drift found and healed",
        runs.DRIFT_LEFT: "drift is left",
    }
    return f"Reconciliation of {run.started_at:%Y-%m-%d}: {results.get(run.exit_code or 0, 'finished')}"


def body(run: ReconciliationRun) -> str:
    """The counts, the first differences, and the address of the run's page."""
    lines = [
        f"{run.seen} seen = {run.same} same + {run.imported} imported + {run.healed} healed + "
        f"{run.in_flight} in flight + {run.failed} failed.",
        *([f"It failed: {run.error}"] if run.error else []),
        "",
    ]
    drift = Drift.objects.filter(run=run).order_by("pk")
    lines += [
        f"{row.object_id or row.object_type} {row.field or row.get_kind_display()}: {_difference(row)} "
        f"({explaining.fate(row)})"
        for row in drift[:MAX_DIFFERENCES_SHOWN]
    ]
    if run.kind == ReconciliationRun.Kind.VERIFY and not run.error:
        totals = grand_total.grand_total(run.report)
        lines += ["", f"Grand total: {grand_total.result(totals, bool(run.report.get('equal')))}"]
    link = settings.PUBLIC_URL + reverse("admin:invoices_reconciliationrun_change", args=[run.pk])
    return "\n".join([*lines, "", f"All of it: {link}", ""])


def _difference(row: Drift) -> str:
    """Both values; of a personal member, such as a name, only that they differ: an e-mail cannot be erased."""
    if row.reason:
        return row.reason
    has_members = isinstance(row.ours, (dict, list)) or isinstance(row.theirs, (dict, list))
    if has_members or any(personal.is_personal(name, row.object_type) for name in row.field.split(".")):
        return "differs; the run's page shows how"
    return f"{row.ours!r} here, {row.theirs!r} at Stripe"
