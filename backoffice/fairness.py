"""What one API token may take, so that it slows no other: requests a second of all web processes, and requests at once
of each.

It is judged in the event loop, before a request waits for a thread, by a hash of the key as it was sent: nobody is
looked up, and no row is written. What is allowed in a minute is counted by invoices/request_limits.py, where the key is
known to be a token's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from hashlib import blake2b

import redis
from django.conf import settings
from redis.asyncio import Redis

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
# The share of the requests of a second that a process takes from the common room at once, for those that follow.
SHARE = 0.1
REST_SECONDS = 10.0  # after Redis did not answer: until then each process judges by itself, and nobody waits for it
NAMES = "invoice-desk:room:"  # of the keys in Redis

# How many requests a key may send at this moment grows with time, up to the burst. Takes so many of them, all or none.
# The answer is 0, or the seconds until there are so many.
TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local rate, burst, number = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'room', 'at')
local room, seconds = burst, 0
if kept[1] then room = math.min(kept[1] + math.max(now - kept[2], 0) * rate, burst) end
if room < number then seconds = (number - room) / rate else room = room - number end
redis.call('HSET', KEYS[1], 'room', string.format('%.6f', room), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(burst / rate) + 1)
return tostring(seconds)
"""


class TooMany(Exception):
    """This token asks for more than it may have. `seconds`: when it may ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Room:
    """How many requests a key may send at this moment, where this process alone knows it: its share of the limit."""

    def __init__(self, now: float) -> None:
        self.left, self.counted_at = self._burst(), now

    def take(self, now: float) -> float:
        """Takes one. 0 where one was left; else the seconds until there is one."""
        rate = settings.API_REQUESTS_PER_SECOND / settings.WEB_PROCESSES
        self.left = min(self.left + (now - self.counted_at) * rate, self._burst())
        self.counted_at = now
        if self.left < 1:
            return (1 - self.left) / rate
        self.left -= 1
        return 0.0

    @staticmethod
    def _burst() -> float:
        return max(settings.API_BURST / settings.WEB_PROCESSES, 1.0)


class CommonRoom:
    """The same for all processes together, where Redis is the broker."""

    def __init__(self) -> None:
        url = settings.CELERY_BROKER_URL
        self.redis = None
        if url.startswith(("redis:", "rediss:")):
            self.redis = Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
            self.script = self.redis.register_script(TAKE)
        self.resting_until = -math.inf

    def is_there(self, now: float) -> bool:
        return self.redis is not None and now >= self.resting_until

    async def take(self, digest: bytes, number: int) -> float:
        """Takes so many for this key. 0 if they were left; else the seconds until they are. Raises RedisError."""
        given = [settings.API_REQUESTS_PER_SECOND, settings.API_BURST, number]
        return float(await self.script(keys=[f"{NAMES}{digest.hex()}"], args=given))

    def rest(self, now: float, error: redis.RedisError) -> None:
        self.resting_until = now + REST_SECONDS
        log.warning("Each web process judges API tokens by itself for %.0f s: %s", REST_SECONDS, type(error).__name__)

    async def close(self) -> None:
        if self.redis is not None:
            await self.redis.aclose()


class Caller:
    """One key, and what it takes of this process."""

    def __init__(self, digest: bytes, now: float) -> None:
        self.digest, self.own_room = digest, Room(now)
        self.taken = 0  # requests that it may send: from the common room, and not used yet
        self.refused_until = -math.inf  # by the common room
        self.asking = asyncio.Lock()  # held while the common room is asked
        # Of requests that compute at once each slows all others, so they take turns. Those that gave up their turn wait
        # for Stripe or for a change, and hold a thread: half of the threads are left to others.
        self.turns = asyncio.Semaphore(settings.API_REQUESTS_AT_ONCE)
        self.threads = asyncio.Semaphore(max(settings.REQUEST_THREADS // 2, 1))
        self.waiting = self.under_way = 0  # requests
        self.logged_at = -math.inf

    async def take(self, room: CommonRoom) -> float:
        """Takes one request of those that it may send. 0 where one was left; else the seconds until there is one."""
        loop = asyncio.get_running_loop()
        if not settings.API_REQUESTS_PER_SECOND:
            return 0.0
        if not room.is_there(loop.time()):
            return self.own_room.take(loop.time())
        async with self.asking:  # those that come meanwhile wait for what is being taken
            if not self.taken:
                if (left := self.refused_until - loop.time()) > 0:
                    return left
                if not room.is_there(loop.time()):  # it did not answer the one for whom these waited
                    return self.own_room.take(loop.time())
                number = max(int(min(settings.API_REQUESTS_PER_SECOND, settings.API_BURST) * SHARE), 1)
                try:
                    seconds = await room.take(self.digest, number)
                except redis.RedisError as error:
                    room.rest(loop.time(), error)
                    return self.own_room.take(loop.time())
                if seconds:
                    self.refused_until = loop.time() + seconds
                    return seconds
                self.taken = number
            self.taken -= 1
            return 0.0


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
        self.room = CommonRoom()
        self.waiting = self.held = 0

    async def enter(self, key: str) -> Place:
        """Returns when a request with this key may go on. Raises TooMany."""
        now = asyncio.get_running_loop().time()
        caller = self._caller(key, now)
        if seconds := await caller.take(self.room):
            raise await self._refused(caller, key, now, "rate", math.ceil(seconds))
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
                in_use = (
                    item
                    for item in self.known.items()
                    if item[1].waiting or item[1].under_way or item[1].asking.locked()
                )
                self.known = dict(in_use)
            self.known[digest] = Caller(digest, now)
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
