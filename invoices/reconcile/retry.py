"""Repeats a run's steps while Stripe or the database is away. A run can wait: nobody waits for it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import connection

from invoices import gateway, interruption
from invoices.models import ReconciliationRun
from invoices.reconcile import runs

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0  # between two tries, and between two looks at whether the run is still ours
T = TypeVar("T")


def with_retries(run: ReconciliationRun, step: Callable[[], T]) -> T:
    """Makes a request to Stripe, or a transaction, and repeats it for RECONCILE_PATIENCE_SECONDS while Stripe cannot be
    reached or limits the rate, or the database is away. The step must be one that may be made twice.

    The waits double, with jitter, and are never shorter than Stripe's `Retry-After`. A connection to the database that
    was cut is closed, so that the next try opens a new one. When the patience has ended, raises GatewayError,
    OperationalError or InterfaceError; RunLost if another process has the run by now; Interrupted.
    """
    wait, until = FIRST_WAIT_SECONDS, time.monotonic() + settings.RECONCILE_PATIENCE_SECONDS
    interruption.check()
    while True:
        try:
            return step()
        except (gateway.OutcomeUnknown, gateway.RateLimited) as error:
            if time.monotonic() >= until:
                raise
            seconds = max(error.retry_after or 0.0, wait * random.uniform(0.5, 1.5))
            log.warning("Stripe cannot be reached or limits the rate (%s); retrying in %.0f s.", error.message, seconds)
            _wait(run, seconds)
        except runs.DATABASE_AWAY as error:
            connection.close()
            if time.monotonic() >= until:
                raise
            seconds = wait * random.uniform(0.5, 1.5)
            log.warning("The database is away (%s); retrying in %.0f s.", str(error).strip(), seconds)
            interruption.pause(seconds)
        wait = min(wait * 2, MAX_WAIT_SECONDS)


def _wait(run: ReconciliationRun, seconds: float) -> None:
    while seconds > 0:
        interruption.pause(min(seconds, MAX_WAIT_SECONDS))
        seconds -= MAX_WAIT_SECONDS
        try:
            runs.show_alive(run)
        except runs.DATABASE_AWAY:
            connection.close()  # the step itself waits for the database
