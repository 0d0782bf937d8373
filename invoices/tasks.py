"""Celery tasks, one line each: a wake-up, never the work's own record."""
