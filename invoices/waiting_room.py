"""Requests that wait for the next change. They hold no thread and no connection to the database meanwhile.

The view answers at once, and notes in the request's `Hold` what its client waits for. The web server
(backoffice/serving.py) then keeps the answer, and asks the view again as soon as there is such a change. For all that
wait in a process one thread looks, four times a second, and only while somebody waits.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import Error, connection

from invoices import changes

log = logging.getLogger(__name__)

HOLD = "invoice_desk.hold"  # the name of the `Hold` in WSGI's environ; only our web server sets it
MOST_WAITING = 1000  # requests in one process
MOST_OF_ONE_TOKEN = 250  # of them
SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Wanted:
    """A change of one of these kinds of objects after this one, for which the client waits so many seconds."""

    after: int
    kinds: frozenset[str]
    seconds: float
    token: str = ""  # the key of the API token with which it was asked


@dataclass
class Hold:
    """What a view asks of the web server: that its answer is kept until there is a change. None: it can be sent."""

    wanted: Wanted | None = None


class Full(Exception):
    """More requests wait than we keep."""


class WaitingRoom:
    """Who waits in this process. Everything but the look itself runs in the event loop."""

    def __init__(self) -> None:
        self.waiting: dict[asyncio.Future[bool], Wanted] = {}
        self.looker = ThreadPoolExecutor(1, thread_name_prefix="changes")
        self.looking: asyncio.Task[None] | None = None
        self.is_closed = False

    def enter(self, wanted: Wanted) -> asyncio.Future[bool]:
        """True as soon as there is such a change; False when the process is to end. Whoever enters leaves. Raises
        Full."""
        of_token = sum(each.token == wanted.token for each in self.waiting.values())
        if len(self.waiting) >= MOST_WAITING or of_token >= MOST_OF_ONE_TOKEN:
            raise Full
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.is_closed:
            told.set_result(False)
            return told
        self.waiting[told] = wanted
        if self.looking is None or self.looking.done():
            self.looking = asyncio.create_task(self._look())
        return told

    def leave(self, told: asyncio.Future[bool]) -> None:
        self.waiting.pop(told, None)

    async def _look(self) -> None:
        """What was there before the first look may be newer than what they have seen: it counts for every kind."""
        seen: int | None = None
        at_first, newest = 0, dict[str, int]()
        while self.waiting:
            try:
                found = await asyncio.get_running_loop().run_in_executor(self.looker, _newest_by_kind, seen)
            except Error as error:  # they wait on: their answers, of which nothing is wrong, are sent at the end
                log.warning("Whether there are new changes could not be read: %s", error)
            else:
                if seen is None:
                    at_first = found.get("", 0)
                newest |= found
                seen = max(found.values(), default=seen)
                self._tell(newest, at_first)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def _tell(self, newest: dict[str, int], at_first: int) -> None:
        for told, wanted in list(self.waiting.items()):
            if any(newest.get(kind, at_first) > wanted.after for kind in wanted.kinds):
                self.leave(told)
                told.set_result(True)

    def close(self) -> None:
        """Everybody's answer is sent as it is: the client asks another process next."""
        self.is_closed = True
        for told in list(self.waiting):
            self.leave(told)
            told.set_result(False)
        if self.looking is not None:
            self.looking.cancel()
        self.looker.shutdown(wait=False)


def _newest_by_kind(after: int | None) -> dict[str, int]:
    """The newest change of each kind after this one; without one, the newest of all under an empty name."""
    try:
        changes.number()
        return {"": changes.newest()} if after is None else changes.newest_by_kind(after)
    finally:
        connection.close()  # that of the thread which looks; others can use it until the next look
