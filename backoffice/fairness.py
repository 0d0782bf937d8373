"""What one API token may take of a web process, so that it slows no other: requests a second, and requests at once.

It is judged in the event loop, before a request waits for a thread, by a hash of the key as it was sent: nobody is
looked up, and nothing is written. So each process judges by itself. What all of them allow together in a minute is
counted by invoices/request_limits.py, where the key is known to be a token's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from hashlib import blake2b

from django.conf import settings

from invoices.sight import counters

log = logging.getLogger(__name__)

MAX_CALLERS = 10_000  # keys that a process keeps in mind
# Complete requests that wait for others of their token, each perhaps with a body: of one token, and of all.
WAITING_AT_ONCE = 96
WAITING_IN_ALL = 256
# For which an answer that refuses is held, because some clients ask again at once; and how many are held.
HOLD_SECONDS = 0.2
HELD_AT_ONCE = 128
LOG_SECONDS = 60.0  # between two lines about the same token


class TooMany(Exception):
    """This token asks for more than it may have. `seconds`: when it may ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Caller:
    """One key, and what it takes of this process."""

    def __init__(self, now: float) -> None:
        self.room, self.counted_at = float(settings.API_BURST), now  # how many requests it may send at this moment
        # Of requests that compute at once each slows all others, so they take turns. Those that gave up their turn wait
        # for Stripe or for a change, and hold a thread: half of the threads are left to others.
        self.turns = asyncio.Semaphore(settings.API_REQUESTS_AT_ONCE)
        self.threads = asyncio.Semaphore(max(settings.REQUEST_THREADS // 2, 1))
        self.waiting = self.under_way = 0  # requests
        self.logged_at = -math.inf

    def take(self, now: float) -> int:
        """Takes one request of those that it may send. 0 where one was left; else the seconds until there is one."""
        rate = settings.API_REQUESTS_PER_SECOND
        if not rate:
            return 0
        self.room = min(self.room + (now - self.counted_at) * rate, settings.API_BURST)
        self.counted_at = now
        if self.room < 1:
            return math.ceil((1 - self.room) / rate)
        self.room -= 1
        return 0


class Place:
    """A request that may go on. `leave` when it has ended, `give_up_turn` when it begins to wait for others."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.has_turn = caller, True
        caller.under_way += 1

    def give_up_turn(self) -> None:
        if self.has_turn:
            self.has_turn = False
            self.caller.turns.release()

    def leave(self) -> None:
        self.give_up_turn()
        self.caller.threads.release()
        self.caller.under_way -= 1


class Callers:
    """The keys with which this process was asked lately. For the event loop alone."""

    def __init__(self) -> None:
        self.known: dict[bytes, Caller] = {}
        self.waiting = self.held = 0

    async def enter(self, key: str) -> Place:
        """Returns when a request with this key may go on. Raises TooMany."""
        now = asyncio.get_running_loop().time()
        caller = self._caller(key, now)
        if seconds := caller.take(now):
            raise await self._refused(caller, key, now, "rate", seconds)
        waits = caller.threads.locked() or caller.turns.locked()
        if waits and (caller.waiting >= WAITING_AT_ONCE or self.waiting >= WAITING_IN_ALL):
            raise await self._refused(caller, key, now, "at once", 1)
        try:
            await self._wait(caller)
        except TimeoutError:
            raise await self._refused(caller, key, now, "at once", 1) from None
        return Place(caller)

    async def _wait(self, caller: Caller) -> None:
        """For a thread and a turn. Raises TimeoutError."""
        caller.waiting += 1
        self.waiting += 1
        try:
            async with asyncio.timeout(settings.REQUEST_WAIT_SECONDS):
                await caller.threads.acquire()
                try:
                    await caller.turns.acquire()
                except BaseException:
                    caller.threads.release()
                    raise
        finally:
            caller.waiting -= 1
            self.waiting -= 1

    def _caller(self, key: str, now: float) -> Caller:
        digest = blake2b(key.encode(), digest_size=16).digest()
        if digest not in self.known:
            if len(self.known) >= MAX_CALLERS:  # such as of somebody who guesses keys
                in_use = (item for item in self.known.items() if item[1].waiting or item[1].under_way)
                self.known = dict(in_use)
            self.known[digest] = Caller(now)
        return self.known[digest]

    async def _refused(self, caller: Caller, key: str, now: float, why: str, seconds: int) -> TooMany:
        counters.THROTTLED.labels(why).inc()
        if now - caller.logged_at >= LOG_SECONDS:
            caller.logged_at = now
            log.warning("Requests with the API token that begins with %s are refused: too many (%s).", key[:4], why)
        if self.held < HELD_AT_ONCE:
            self.held += 1
            try:
                await asyncio.sleep(HOLD_SECONDS)
            finally:
                self.held -= 1
        return TooMany(seconds)
