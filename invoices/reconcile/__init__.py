"""Reconciliation: walks Stripe's lists, compares them with the mirror, heals it, and records every difference."""

from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.runs import CLEAN, DRIFT_HEALED, DRIFT_LEFT, FAILED, NOT_EQUAL, AlreadyRunning, RunLost
from invoices.reconcile.schedule import LastSuccesses, last_successes, run_due
from invoices.reconcile.sweep import compare_invoice, sweep_lists
from invoices.reconcile.verify import ALL_LINES, LISTED_LINES, verify

__all__ = [
    "ALL_LINES",
    "CLEAN",
    "DRIFT_HEALED",
    "DRIFT_LEFT",
    "FAILED",
    "LISTED_LINES",
    "NOT_EQUAL",
    "AlreadyRunning",
    "LastSuccesses",
    "RunLost",
    "catch_up",
    "compare_invoice",
    "last_successes",
    "run_due",
    "sweep_lists",
    "verify",
]
