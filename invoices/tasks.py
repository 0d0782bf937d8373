"""Celery tasks, one call each. What is to be done stands in the database, so a lost message only delays the work.

The exception is `start_reconciliation`: the run has no row before it begins, so a lost message loses the run that a
person asked for. A lost message of `catch_up` leaves out one run; beat starts the next one.
"""

from datetime import datetime

from celery import shared_task
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from invoices import (
    assignments,
    changes,
    emails,
    exports,
    heartbeat,
    journal,
    operations,
    promises,
    reconcile,
    sync,
    tallies,
)
from invoices.fanout import owed, worker
from invoices.journal import archives
from invoices.models import partitions
from invoices.reconcile import runs
from invoices.statements import proposing, recording


@shared_task
def process_events() -> int:
    heartbeat.beat("worker")
    return sync.process_events_together()


@shared_task
def perform_refetches() -> int:
    return sync.perform_refetches()


@shared_task
def perform_operation(id: str) -> None:
    operations.perform(id)


@shared_task
def settle_operations() -> int:
    return operations.settle_due()


@shared_task
def reconcile_due() -> int:
    return reconcile.run_due()


@shared_task
def clear_sessions() -> None:
    """Deletes the rows of sessions that have ended."""
    SessionStore.clear_expired()


@shared_task
def catch_up() -> None:
    reconcile.catch_up()


@shared_task
def announce_requests() -> int:
    written = operations.decisions.announce()
    emails.send_due()
    return written


@shared_task
def run_batches() -> int:
    return operations.batch.run_due()


@shared_task
def chain_journal() -> int:
    made = journal.chain()
    journal.publish()
    return made


@shared_task
def send_emails() -> int:
    return emails.send_due()


@shared_task
def deliver_events() -> int:
    return worker.deliver_due()


@shared_task
def prepare_exports() -> int:
    return exports.run_due()


@shared_task
def count_tallies() -> int:
    return tallies.run_due()


@shared_task
def prove_tallies() -> None:
    tallies.begin_proof()


@shared_task
def tend_queues() -> None:
    sync.tend_queues()
    operations.pauses.close_ended()
    emails.remove_old()
    exports.tend()
    owed.remove_old()
    changes.number_all()


@shared_task
def settle_promises() -> int:
    return promises.settle_due() + assignments.release_settled()


@shared_task
def propose_matches() -> int:
    return proposing.propose_due()


@shared_task
def settle_matches() -> int:
    return recording.settle_due()


@shared_task
def make_partitions() -> None:
    partitions.make_ahead()


@shared_task
def archive_events() -> int:
    return archives.archive_old()


@shared_task
def start_reconciliation(
    kind: str, invoice: str = "", user: int | None = None, asked_at: datetime | None = None
) -> None:
    """Starts the run that a person asked for. `kind` is one of ReconciliationRun.Kind; `user` is that person's id;
    `asked_at` is of the database's clock.

    If this message is lost, no run begins, and the person has to ask for it again. Whoever heard nothing and asked
    again has two messages here: the run that the first one begins is also what the second one asks for.
    """
    if asked_at is not None and runs.begun_since(asked_at, kind, invoice) is not None:
        return
    by = User.objects.filter(pk=user).first() if user else None
    if kind == "invoice":
        reconcile.compare_invoice(invoice, by=by)
    elif kind == "verify":
        reconcile.verify(by=by)
    else:
        reconcile.sweep_lists(kind, by=by)
