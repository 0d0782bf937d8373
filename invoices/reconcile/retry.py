"""Repeats a run's requests while Stripe cannot be reached or limits the rate. A run can wait: nobody waits for it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings

from invoices import gateway
from invoices.models import ReconciliationRun
from invoices.reconcile import runs

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0  # between two tries, and between two signs of life of the run
T = TypeVar("T")


def with_retries(run: ReconciliationRun, call: Callable[[], T]) -> T:
    """Makes the call, and repeats it after OutcomeUnknown and RateLimited for RECONCILE_PATIENCE_SECONDS.

    The waits double, with jitter, and are never shorter than Stripe's `Retry-After`. Meanwhile the run shows that it
    is alive, so that no other process takes it over. Raises GatewayError.
    """
    wait, until = FIRST_WAIT_SECONDS, time.monotonic() + settings.RECONCILE_PATIENCE_SECONDS
    while True:
        try:
            return call()
        except (gateway.OutcomeUnknown, gateway.RateLimited) as error:
            if time.monotonic() >= until:
                raise
            seconds_left = max(error.retry_after or 0.0, wait * random.uniform(0.5, 1.5))
            log.warning(
                "Stripe cannot be reached or limits the rate (%s); retrying in %.0f s.", error.message, seconds_left
            )
            while seconds_left > 0:
                runs.show_alive(run)
                time.sleep(min(seconds_left, MAX_WAIT_SECONDS))
                seconds_left -= MAX_WAIT_SECONDS
            wait = min(wait * 2, MAX_WAIT_SECONDS)
