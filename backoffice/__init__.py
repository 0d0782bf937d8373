"""The Django project: settings, urls, Celery, and the servers' entry points."""

from backoffice.celery import app as celery_app

__all__ = ["celery_app"]
