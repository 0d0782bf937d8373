"""Proof that what we show is what Stripe has: walk Stripe, compare, heal, record every difference."""

from invoices.reconcile.catch_up import catch_up
from invoices.reconcile.runs import CLEAN, DRIFT_HEALED, DRIFT_LEFT, FAILED, AlreadyRunning
from invoices.reconcile.sweep import invoice, run
from invoices.reconcile.verify import verify

__all__ = ["CLEAN", "DRIFT_HEALED", "DRIFT_LEFT", "FAILED", "AlreadyRunning", "catch_up", "invoice", "run", "verify"]
