"""Reads pages of Stripe's lists ahead: in a thread of its own, while the pages before them are written."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

from django.db import connection

from invoices.sight import context

PAGES_AHEAD = 3  # that wait to be written, at most; and the most that are written in one transaction
SECONDS_BETWEEN_LOOKS = 0.5  # of the reading thread, at whether anybody still wants what it has read
T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def read_ahead(pages: Iterable[T]) -> Generator[list[T]]:
    """The same pages, in the same order, in lists of those that have come by now: at least one, at most PAGES_AHEAD.

    Raises what `pages` raises, after the pages before it. The thread is a daemon: one whose request hangs holds up
    nothing. It stops after that request when this iterator is closed.
    """
    queue: Queue[T | _End] = Queue(PAGES_AHEAD)
    unwanted = threading.Event()
    read = context.carried(lambda: _read(pages, queue, unwanted))
    threading.Thread(target=read, name="ahead", daemon=True).start()
    try:
        while True:
            gathered, end = _gathered(queue)
            if gathered:
                yield gathered
            if end is not None:
                if end.error is not None:
                    raise end.error
                return
    finally:
        unwanted.set()


def _read(pages: Iterable[T], queue: Queue[T | _End], unwanted: threading.Event) -> None:
    end = _End(None)
    try:
        for page in pages:
            if not _put(queue, page, unwanted):
                return
    except BaseException as error:
        end = _End(error)
    finally:
        connection.close()  # the thread ends, and its connection must not outlive it
    _put(queue, end, unwanted)


def _put(queue: Queue[T | _End], item: T | _End, unwanted: threading.Event) -> bool:
    """Waits for room. False if nobody wants it any more."""
    while not unwanted.is_set():
        with suppress(Full):
            queue.put(item, timeout=SECONDS_BETWEEN_LOOKS)
            return True
    return False


def _gathered(queue: Queue[T | _End]) -> tuple[list[T], _End | None]:
    """Waits for one, and takes with it what has come too."""
    gathered: list[T] = []
    with suppress(Empty):
        while len(gathered) < PAGES_AHEAD:
            item = queue.get() if not gathered else queue.get_nowait()
            if isinstance(item, _End):
                return gathered, item
            gathered.append(item)
    return gathered, None
