"""The Celery application. Rows in the database are the queue; what travels here are only wake-ups."""

import os

from celery import Celery

import backoffice.broker  # noqa: F401  registers the embedded transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("backoffice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
