"""The rate budget of reconciliation and of due reads, shared by all processes: Redis keeps it, or else a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from django.conf import settings
from pyrate_limiter import Duration, Limiter, Rate, RedisBucket, SQLiteBucket

from invoices import gateway

NAME = "stripe-requests"


@contextmanager
def kept() -> Iterator[None]:
    """Inside, each read of this thread waits for its turn. Actions and settling never come here."""
    rate = settings.STRIPE_REQUESTS_PER_SECOND
    if not rate:
        yield
        return
    limiter = _limiter(rate)
    with gateway.paced(lambda: limiter.try_acquire(NAME)):
        yield


def turn() -> None:
    """Waits for one turn of the budget: for an action of a batch, where nobody waits."""
    if rate := settings.STRIPE_REQUESTS_PER_SECOND:
        _limiter(rate).try_acquire(NAME)


@cache
def _limiter(rate: int) -> Limiter:
    rates = [Rate(rate, Duration.SECOND)]
    if settings.CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
        import redis

        return Limiter(RedisBucket.init(rates, redis.Redis.from_url(settings.CELERY_BROKER_URL), NAME))
    path = Path(settings.DATA_DIR) / "budget.sqlite3"
    return Limiter(SQLiteBucket.init_from_file(rates, db_path=str(path), use_file_lock=True))
