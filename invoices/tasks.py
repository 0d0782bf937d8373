"""Celery tasks, one line each: a wake-up, never the work's own record."""

from celery import shared_task
from django.contrib.auth.models import User

from invoices import heartbeat, operations, reconcile, sync


@shared_task
def process_events() -> int:
    heartbeat.beat("worker")
    return sync.process_events()


@shared_task
def perform_reads() -> int:
    return sync.perform_reads()


@shared_task
def perform_operation(id: str) -> None:
    operations.perform(id)


@shared_task
def settle_operations() -> int:
    return operations.settle_due()


@shared_task
def reconcile_nightly() -> None:
    reconcile.run()


@shared_task
def catch_up() -> None:
    reconcile.catch_up()


@shared_task
def announce_requests() -> int:
    return operations.approval.announce()


@shared_task
def run_batches() -> int:
    return operations.batch.run_due()


@shared_task
def start_reconciliation(kind: str, invoice: str = "", user: int | None = None) -> None:
    """What a person asked for: a sweep, everything (full), one invoice, or the proof of equality (verify)."""
    by = User.objects.filter(pk=user).first() if user else None
    if kind == "invoice":
        reconcile.invoice(invoice, by=by)
    elif kind == "verify":
        reconcile.verify(by=by)
    else:
        reconcile.run(kind, by=by)
