"""The Celery application. The queue of work is rows in the database; Celery's messages only wake the workers up."""

import os

from celery import Celery
from celery.signals import worker_shutting_down

import backoffice.broker  # noqa: F401  registers the embedded transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("backoffice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_shutting_down.connect
def _interrupt_reconciliations(**given: object) -> None:
    """A worker that is stopped waits for its tasks, and a reconciliation may take hours."""
    from invoices.reconcile import interruption

    interruption.ask()
