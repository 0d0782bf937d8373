"""Works through the windows of a run, a few at once, and ends at once where the run ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from django.db import connection

from invoices import interruption
from invoices.sight import context

SECONDS_BETWEEN_LOOKS = 0.5  # at whether this process is to end
T = TypeVar("T")  # a window, or a walk of one
SECONDS_TO_LEAVE = 2.0  # for the threads to end by themselves when the run ends; one whose request hangs is left behind


def in_threads(
    take: Callable[[threading.Event], T | None],
    work: Callable[[T, threading.Event], None],
    *,
    threads: int,
    name: str,
) -> None:
    """Calls `work` for each window that `take` gives until it gives None, in so many threads. Both get an event that is
    set when the run ends early: at the first error, which is raised, or at the end of this process.

    Nobody waits for a request that is under way. A thread that is left behind with one writes nothing any more, because
    the run is closed by then.
    """
    ended = threading.Event()
    results: SimpleQueue[BaseException | None] = SimpleQueue()

    def take_turns() -> None:
        try:
            while not ended.is_set() and (window := take(ended)) is not None:
                work(window, ended)
        except BaseException as error:
            results.put(error)
        else:
            results.put(None)
        finally:
            connection.close()  # the thread ends, and its connection must not outlive it

    # Daemons: at the end of the process Python would wait for others, and so for their requests.
    started = [
        threading.Thread(target=context.carried(take_turns), name=f"{name}-{n}", daemon=True) for n in range(threads)
    ]
    for thread in started:
        thread.start()
    try:
        for _ in started:
            if error := next_result(results):
                raise error
    finally:
        ended.set()
        until = time.monotonic() + SECONDS_TO_LEAVE
        for thread in started:
            thread.join(max(until - time.monotonic(), 0))


def taking(windows: Iterable[T]) -> Callable[[threading.Event], T | None]:
    """Takes one after the other."""
    waiting = deque(windows)

    def take(ended: threading.Event) -> T | None:
        with suppress(IndexError):
            return waiting.popleft()
        return None

    return take


def next_result(results: SimpleQueue[BaseException | None]) -> BaseException | None:
    """Waits for a thread to end: its error, or None. Raises Interrupted."""
    while True:
        interruption.check()
        with suppress(Empty):
            return results.get(timeout=SECONDS_BETWEEN_LOOKS)
