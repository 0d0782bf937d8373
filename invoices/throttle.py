"""The limit on the requests that we send to Stripe, shared by all processes: Redis keeps it, or a file without Redis.

Throttled are the reads of reconciliation and catch-up, scheduled refetches, and the items of a batch. What a person or
an API client waits for is not: single actions, settling, and the reads of a page.
"""

from __future__ import annotations

import fcntl
import logging
import time
from functools import cache
from pathlib import Path

import redis
from django.conf import settings
from pyrate_limiter import Duration, Limiter, Rate, RedisBucket

log = logging.getLogger(__name__)

REDIS_KEY = "stripe-requests"
FILE_NAME = "throttle"  # in DATA_DIR
# A slot further ahead than this was written before the host's clock was set back: it is ignored.
MAX_SECONDS_AHEAD = 600.0


def wait() -> None:
    """Waits for one slot of STRIPE_REQUESTS_PER_SECOND, for one request; not at all where that is 0."""
    if rate := settings.STRIPE_REQUESTS_PER_SECOND:
        _wait_for_slot(rate)


def _wait_for_slot(rate: int) -> None:
    if settings.CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
        try:
            _limiter(settings.CELERY_BROKER_URL, rate).try_acquire(REDIS_KEY)
        except redis.RedisError as error:
            log.warning("Redis cannot keep the throttle (%s); until it can, a file does.", error)
            _limiter.cache_clear()  # a Redis that was restarted does not have our script
        else:
            return
    _wait_by_file(Path(settings.DATA_DIR) / FILE_NAME, rate)


@cache
def _limiter(url: str, rate: int) -> Limiter:
    server = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
    return Limiter(RedisBucket.init([Rate(rate, Duration.SECOND)], server, REDIS_KEY))


def _wait_by_file(path: Path, rate: int) -> None:
    """Slots are evenly spaced, and the file holds the moment of the next one, in seconds since 1970. A process locks
    the file, takes that slot, and writes the one after it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = time.time()
        slot = _moment(file.read())
        slot = slot if now < slot < now + MAX_SECONDS_AHEAD else now
        file.truncate(0)
        file.write(repr(slot + 1 / rate))
    time.sleep(max(slot - now, 0))


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # the file is new, or its writer was killed
