"""The Celery application. Rows in the database are the queue; what travels here are only wake-ups."""

import os

from celery import Celery

import backoffice.broker  # noqa: F401  registers the embedded transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("backoffice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def reach_broker(celery: Celery = app, seconds: float = 2) -> None:
    """Raises where the broker does not answer within a moment."""
    with celery.connection_for_write(connect_timeout=1) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=seconds)
