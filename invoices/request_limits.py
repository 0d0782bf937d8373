"""Limits on the requests that callers send to us: so many in a minute, counted for all processes and hosts together.

Redis counts where it is the broker; without it the database does, and on SQLite a file of its own beside it, so that a
count never waits for a writer. A count costs one round trip and waits for no disk. Where the limit is high, a process
takes several numbers at once, and gives them to the requests that follow without asking anybody. Where counting fails,
the request goes on: a limit protects from load, and must not be what stops the desk.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError, connection

log = logging.getLogger(__name__)

SECONDS = 60  # a window
IPV6_SITE = 64  # bits of an IPv6 address that one caller has: the rest it may choose
REST_SECONDS = 10.0  # after Redis did not answer: until then nothing is counted, and no request waits for it
CLEANING = 0.002  # the share of counts that also delete what is over
MAX_REMEMBERED = 10_000  # addresses over their limit that a process keeps in mind
NUMBERS_AT_ONCE = 0.01  # the share of a limit that a process takes from the common count in one round trip
FILE_NAME = "request-counts.sqlite3"  # in DATA_DIR


@dataclass
class _Numbers:
    """What this process has taken from the common count for one key, and not given to a request yet."""

    minute: int
    next: int
    end: int  # the first that is not ours


_resting_until = 0.0
_refused: dict[tuple[str, str], int] = {}  # who is over the limit → the minute in which it was
_taken: dict[int, _Numbers] = {}  # by key
_lock = threading.Lock()  # held while `_taken` is read and changed
_asking = threading.Lock()  # held while several numbers are taken from the common count

COUNT_ON_POSTGRESQL = """
    INSERT INTO invoices_requestcount (key, minute, number)
    SELECT key, %s, number FROM unnest(%s::bigint[], %s::int[]) AS taken (key, number),
        set_config('synchronous_commit', 'off', true)
    ON CONFLICT (minute, key) DO UPDATE SET number = invoices_requestcount.number + excluded.number
    RETURNING key, number
"""
COUNT_IN_A_FILE = """
    INSERT INTO counts (key, minute, number) VALUES (?, ?, ?)
    ON CONFLICT (minute, key) DO UPDATE SET number = number + excluded.number RETURNING number
"""


def seconds_to_wait(*counted: tuple[str, object, int]) -> int:
    """Counts a request for each (what is counted, who, how many in a minute are allowed). 0 if it may go on; otherwise
    the seconds until the next minute. A limit of 0 is none."""
    limited = [(_key(what, who), limit) for what, who, limit in counted if limit]
    if not limited:
        return 0
    now = time.time()
    minute = int(now // SECONDS)
    numbers = _numbers(dict(limited), minute)
    if all(numbers[key] <= limit for key, limit in limited):
        return 0
    return _rest_of_the_minute(now)


def remember_refused(what: str, who: str) -> None:
    """This process refuses this caller until the minute is over, without counting any further."""
    if len(_refused) >= MAX_REMEMBERED:
        _refused.clear()
    _refused[what, who] = int(time.time() // SECONDS)


def seconds_still_refused(what: str, who: str) -> int:
    """For a caller that `remember_refused` was told of: the seconds until the minute is over; otherwise 0."""
    now = time.time()
    return _rest_of_the_minute(now) if _refused.get((what, who)) == int(now // SECONDS) else 0


def caller(address: str | None) -> str:
    """Whose address it is: an IPv4 address itself, of an IPv6 address the network that one site has."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, IPV6_SITE), strict=False))


def _rest_of_the_minute(now: float) -> int:
    return int(SECONDS - now % SECONDS) + 1


def _key(what: str, who: object) -> int:
    return int.from_bytes(blake2b(f"{what}:{who}".encode(), digest_size=8).digest(), signed=True)


def _numbers(limits: Mapping[int, int], minute: int) -> dict[int, int]:
    """The number of this request in the minute, for each key; zeros if nobody can count.

    A process that has numbers left asks nobody. Those that it has left when the minute ends are lost, so a caller may
    be refused earlier, by NUMBERS_AT_ONCE of the limit for each process; never later.
    """
    found = _of_those_taken(limits, minute)
    wanted = _still_wanted(limits, found)
    # One thread at a time asks for several numbers, and the others wait for those. If each asked, one would put its own
    # in the place of another's, which nobody would be given.
    with _asking if any(number > 1 for number in wanted.values()) else nullcontext():
        found |= _of_those_taken(wanted, minute)
        wanted = _still_wanted(limits, found)
        if not wanted:
            return found
        counted = _count(wanted, minute)
        with _lock:
            if len(_taken) >= MAX_REMEMBERED:
                _taken.clear()
            for key, number in wanted.items():
                found[key] = max(counted[key] - number + 1, 0)
                if number > 1 and counted[key]:
                    _taken[key] = _Numbers(minute, found[key] + 1, counted[key] + 1)
    return found


def _of_those_taken(keys: Iterable[int], minute: int) -> dict[int, int]:
    """The next number of each key of which this process has one left."""
    found: dict[int, int] = {}
    with _lock:
        for key in keys:
            numbers = _taken.get(key)
            if numbers is not None and numbers.minute == minute and numbers.next < numbers.end:
                found[key], numbers.next = numbers.next, numbers.next + 1
    return found


def _still_wanted(limits: Mapping[int, int], found: Mapping[int, int]) -> dict[int, int]:
    """How many numbers to take for each key that has none."""
    return {key: max(int(limit * NUMBERS_AT_ONCE), 1) for key, limit in limits.items() if key not in found}


def _count(wanted: Mapping[int, int], minute: int) -> dict[int, int]:
    """Takes so many numbers for each key. Returns the last one of each; zeros if nobody can count."""
    global _resting_until  # noqa: PLW0603
    if time.monotonic() < _resting_until:
        return dict.fromkeys(wanted, 0)
    try:
        if settings.CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
            return _count_in_redis(wanted, minute)
        if connection.vendor == "postgresql":
            return _count_on_postgresql(wanted, minute)
        return _count_in_file(wanted, minute)
    except (redis.RedisError, DatabaseError, sqlite3.Error) as error:
        log.warning("Requests are not counted for %.0f s: %s", REST_SECONDS, type(error).__name__)
        _resting_until = time.monotonic() + REST_SECONDS
        return dict.fromkeys(wanted, 0)


@cache
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


def _count_in_redis(wanted: Mapping[int, int], minute: int) -> dict[int, int]:
    pipeline = _redis(settings.CELERY_BROKER_URL).pipeline(transaction=False)
    for key, number in wanted.items():
        name = f"invoice-desk:requests:{minute}:{key:x}"
        pipeline.incrby(name, number)
        pipeline.expire(name, 2 * SECONDS)
    return {key: int(counted) for key, counted in zip(wanted, pipeline.execute()[::2], strict=True)}


def _count_on_postgresql(wanted: Mapping[int, int], minute: int) -> dict[int, int]:
    keys = sorted(wanted)  # in one order, so that no two wait for each other
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ON_POSTGRESQL, [minute, keys, [wanted[key] for key in keys]])
        found: dict[int, int] = dict(cursor.fetchall())
        if random.random() < CLEANING:
            cursor.execute("DELETE FROM invoices_requestcount WHERE minute < %s", [minute - 1])
    return found


def _count_in_file(wanted: Mapping[int, int], minute: int) -> dict[int, int]:
    path = Path(settings.DATA_DIR) / FILE_NAME
    file = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        file.execute("PRAGMA synchronous=OFF")
        file.execute("CREATE TABLE IF NOT EXISTS counts (key, minute, number, PRIMARY KEY (minute, key)) WITHOUT ROWID")
        found = {
            key: file.execute(COUNT_IN_A_FILE, [key, minute, number]).fetchall()[0][0] for key, number in wanted.items()
        }
        if random.random() < CLEANING:
            file.execute("DELETE FROM counts WHERE minute < ?", [minute - 1])
    finally:
        file.close()
    return found
