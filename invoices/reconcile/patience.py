"""Waiting for Stripe, where nobody waits for us."""

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

LONGEST_PAUSE = 60.0  # seconds between two tries while Stripe is away
T = TypeVar("T")


def patiently(this: ReconciliationRun, call: Callable[[], T]) -> T:
    """Asks again while Stripe is away, with growing pauses and jitter, or as Stripe says, for as long as the settings
    say. The run stays alive meanwhile: nobody takes over what only waits."""
    pause, until = 1.0, time.monotonic() + settings.RECONCILE_PATIENCE_SECONDS
    while True:
        try:
            return call()
        except (gateway.OutcomeUnknown, gateway.RateLimited) as error:
            if time.monotonic() >= until:
                raise
            wait_for = max(error.retry_after or 0.0, pause * random.uniform(0.5, 1.5))
            log.warning("Stripe is away (%s); again in %.0f s.", error.message, wait_for)
            while wait_for > 0:
                runs.alive(this)
                time.sleep(min(wait_for, LONGEST_PAUSE))
                wait_for -= LONGEST_PAUSE
            pause = min(pause * 2, LONGEST_PAUSE)
