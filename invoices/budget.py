"""The rate budget of reconciliation and of due reads, shared by all processes: Redis keeps it, or else a file."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import redis
from django.conf import settings
from pyrate_limiter import Duration, Limiter, Rate, RedisBucket

from invoices import gateway

log = logging.getLogger(__name__)

NAME = "stripe-requests"
LONGEST = 600.0  # seconds that a turn can lie ahead: what says more was written by a clock that has been set back


@contextmanager
def kept() -> Iterator[None]:
    """Inside, each read of this thread waits for its turn. Actions and settling never come here."""
    if not settings.STRIPE_REQUESTS_PER_SECOND:
        yield
        return
    with gateway.paced(turn):
        yield


def turn() -> None:
    """Waits for one turn of the budget: for an action of a batch, where nobody waits."""
    rate = settings.STRIPE_REQUESTS_PER_SECOND
    if not rate:
        return
    if settings.CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
        try:
            _limiter(settings.CELERY_BROKER_URL, rate).try_acquire(NAME)
        except redis.RedisError as error:
            log.warning("Redis does not keep the rate budget (%s); a file does, meanwhile.", error)
            _limiter.cache_clear()  # a Redis that was started anew does not know our script
        else:
            return
    _turn_by_file(Path(settings.DATA_DIR) / "budget", rate)


@cache
def _limiter(url: str, rate: int) -> Limiter:
    server = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
    return Limiter(RedisBucket.init([Rate(rate, Duration.SECOND)], server, NAME))


def _turn_by_file(path: Path, rate: int) -> None:
    """Turns are evenly spaced; the file says when the next one is. Whoever holds it takes that and writes the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = time.time()
        mine = _moment(file.read())
        mine = mine if now < mine < now + LONGEST else now
        file.truncate(0)
        file.write(repr(mine + 1 / rate))
    time.sleep(max(mine - now, 0))


def _moment(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return 0.0  # new, or broken off
