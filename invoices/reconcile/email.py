"""The e-mail to finance after a run that found drift or failed, or a proof that was not equal."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse

from invoices.models import Drift, ReconciliationRun
from invoices.reconcile import runs
from invoices.reconcile.proof_in_words import difference_count

log = logging.getLogger(__name__)

MAX_DIFFERENCES_SHOWN = 20  # the run's page shows all of them


def mail_finance(run: ReconciliationRun) -> bool:
    """E-mails FINANCE_EMAILS if the run found drift or failed. Whether an e-mail was sent.

    A run that failed is tried again every hour: the same failure is told once.

    A mail server that is down is only logged: the run's page says the same as the e-mail.
    """
    if run.exit_code == runs.CLEAN or run.dry_run or not settings.FINANCE_EMAILS or _was_told(run):
        return False
    try:
        send_mail(subject(run), body(run), settings.DEFAULT_FROM_EMAIL, settings.FINANCE_EMAILS)
    except OSError as error:  # smtplib's errors are OSErrors
        log.warning("No e-mail to finance about run %s: %s", run.pk, error)
        return False
    return True


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
        f"{row.object_id or row.object_type} {row.field or row.get_kind_display()}: "
        + (row.reason or f"{row.ours!r} here, {row.theirs!r} at Stripe")
        + f" ({'healed' if row.healed_at else 'left'})"
        for row in drift[:MAX_DIFFERENCES_SHOWN]
    ]
    link = settings.PUBLIC_URL + reverse("admin:invoices_reconciliationrun_change", args=[run.pk])
    return "\n".join([*lines, "", f"All of it: {link}", ""])
