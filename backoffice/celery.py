"""The Celery application. The queue of work is rows in the database; Celery's messages only wake the workers up."""

import logging
import os
import threading
import time

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

import backoffice.broker  # noqa: F401  registers the embedded transport

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("backoffice", task_cls="backoffice.observation:ObservedTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _leave_the_log_alone(**given: object) -> None:
    """Celery sets up no log where somebody answers this signal: LOGGING is in force already. Otherwise it would raise
    the root's level to its own `--loglevel`, WARNING by default, and a worker would log nothing of what it does."""


@worker_ready.connect
def _freeze(**given: object) -> None:
    from backoffice import long_lived

    long_lived.freeze()


# Seconds from SIGTERM until requests to Stripe that are still under way are given up, which is later than their own
# deadline is by default; until runs are given back by force; and until the process ends, whatever it waits for.
ABANDON_REQUESTS, GIVE_BACK, END = 17.0, 22.0, 26.0


@worker_shutting_down.connect
def _stop(**given: object) -> None:
    """A worker that is stopped waits for its tasks. They end within seconds, and another worker goes on with them."""
    from invoices import interruption

    interruption.ask()
    threading.Thread(target=_end_in_time, name="end", daemon=True).start()


def _end_in_time() -> None:
    """Ends the process within END seconds also where a task hangs. Claims that it leaves behind lapse by themselves."""
    from invoices import deadline
    from invoices.reconcile import runs

    time.sleep(ABANDON_REQUESTS)
    deadline.pass_all()
    time.sleep(GIVE_BACK - ABANDON_REQUESTS)
    threading.Thread(target=runs.give_back, name="give-back", daemon=True).start()  # it may be the database that hangs
    time.sleep(END - GIVE_BACK)
    log.error("The worker did not end by itself within %.0f s. What it was doing is taken up by another one.", END)
    os._exit(1)
