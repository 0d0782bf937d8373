"""The limit on the requests that we send to Stripe, shared by all processes of all hosts: the database keeps it.

Throttled are the reads of reconciliation and catch-up, scheduled refetches, and the items of a batch. What a person or
an API client waits for is not: single actions, settling, and the reads of a page. What callers of our API cause us to
read has budgets of its own (`take`): it never waits, and is refused beyond them.
"""

from __future__ import annotations

import math
import time

from django.conf import settings
from django.db import connection

from invoices import turns
from invoices.models import ThrottleSlot
from invoices.sight import counters

NAME = "stripe-requests"
# A slot further ahead than this was written before the database's clock was set back: it is ignored.
MAX_SECONDS_AHEAD = 600.0
BURST_SECONDS = 10.0  # a budget that was not used for so long lets so many seconds' worth of requests pass at once

# One statement, so that a process which is frozen in the middle of it holds no lock that the others wait for.
_TAKE = f"""
    INSERT INTO {ThrottleSlot._meta.db_table} AS slot (name, next_at) VALUES (%s, {{now}} + %s)
    ON CONFLICT (name) DO UPDATE SET next_at = %s + CASE
        WHEN slot.next_at > {{now}} AND slot.next_at < {{now}} + {MAX_SECONDS_AHEAD} THEN slot.next_at ELSE {{now}} END
    RETURNING next_at - %s - {{now}}
"""  # noqa: S608  of our own names only
# The same, but where the next free moment is too far ahead nothing is written, and no row comes back.
_TAKE_OR_REFUSE = f"""
    INSERT INTO {ThrottleSlot._meta.db_table} AS slot (name, next_at) VALUES (%s, {{now}} + %s)
    ON CONFLICT (name) DO UPDATE SET next_at = %s + CASE
        WHEN slot.next_at > {{now}} AND slot.next_at < {{now}} + {MAX_SECONDS_AHEAD} THEN slot.next_at ELSE {{now}} END
    WHERE slot.next_at + %s <= {{now}} + %s OR slot.next_at >= {{now}} + {MAX_SECONDS_AHEAD}
    RETURNING name
"""  # noqa: S608  of our own names only
_NOW = {
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}


def wait() -> None:
    """Waits for one slot of STRIPE_REQUESTS_PER_SECOND, for one request; not at all where that is 0.

    Slots are evenly spaced. Raises the database's error where that does not answer.
    """
    if rate := settings.STRIPE_REQUESTS_PER_SECOND:
        with counters.waiting_for_a_slot():
            _wait_for_slot(rate)


def _wait_for_slot(rate: int) -> None:
    time.sleep(max(_take_slot(1 / rate), 0))


def _take_slot(step: float) -> float:
    """The seconds until the slot that is ours from now on. `step`: seconds between two slots."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE.format(now=_NOW[connection.vendor]), [NAME, step, step, step])
        seconds = cursor.fetchone()[0]
    turns.give_up()
    return seconds


def take(budget: str, rate: float, number: int = 1, burst_seconds: float = BURST_SECONDS) -> int:
    """Takes so many requests from this budget of `rate` requests a second, all or none: 0 if they may be sent,
    otherwise the seconds after which it is worth asking again. A rate of 0 is no limit.

    At most `burst_seconds`' worth passes at once. More than that is never granted: the caller refuses it before. Who
    gives fewer than others leaves them the rest.
    """
    if not rate:
        return 0
    step, most = number / rate, max(burst_seconds, 1 / rate)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_OR_REFUSE.format(now=_NOW[connection.vendor]), [budget, step, step, step, most])
        granted = cursor.fetchone() is not None
    return 0 if granted else max(1, math.ceil(step))
