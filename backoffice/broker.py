"""The broker that needs no server: one file a message, in a folder that the processes of one machine share.

Not kombu's own `filesystem://`: that writes a message in place, so that a worker may read it while it is still empty
and die of it, and keeps its bindings in files with the same fault. Here a message appears under its name by a rename,
when it is whole; a worker claims it by a rename before it reads it; bindings stay in memory, since everyone who sends
or receives declares the queue first.

What a worker has taken and not begun dies with it, and messages that nobody takes are dropped after a day (those that
expire, when they expire). That loses nothing: they are wake-ups, and the sweeps find the rows that they meant.
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any
from urllib.parse import quote

import kombu.transport
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)

SECOND = 10**9  # nanoseconds
KEPT_FOR = 24 * 3600 * SECOND
TIDIED_EVERY = 10 * SECOND
CLAIM_LASTS = 60 * SECOND  # from the claim to the message's removal it takes microseconds


class Channel(virtual.Channel):
    """`<queue>/<sent>-<expires>-<random>.msg`; `.new` while it is written, `.<claimed>.<name>` once it is claimed."""

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.folder = Path(connection.client.transport_options["folder"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self._listed: dict[str, deque[str]] = {}
        self._tidied: dict[str, int] = {}

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        now = time_ns()
        expiration = message["properties"].get("expiration")  # milliseconds, as text
        expires = now + (KEPT_FOR if expiration is None else int(expiration) * 10**6)
        folder = self._queue_folder(queue)
        whole = folder / f"{now:020d}-{expires:020d}-{uuid.uuid4().hex}.msg"
        unfinished = whole.with_suffix(".new")
        try:
            unfinished.write_text(dumps(message))
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(dumps(message))
        unfinished.rename(whole)
        self._tidy(queue)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        listed = self._listed.get(queue)
        if not listed:
            self._tidy(queue)
            listed = self._listed[queue] = deque(self._names(queue))
        while listed:
            message = self._claim(queue, listed.popleft())
            if message is not None:
                return message
        raise Empty

    def _claim(self, queue: str, name: str) -> Any:
        """The message, or None where another worker was faster, its time is over, or nobody could read it."""
        folder, now = self._queue_folder(queue), time_ns()
        claimed = folder / f".{now:020d}.{name}"
        try:
            (folder / name).rename(claimed)  # one worker wins
        except FileNotFoundError:
            return None
        content = claimed.read_bytes()
        claimed.unlink()
        if _expires(name) <= now:
            return None
        try:
            message = loads(content.decode())
            self.Message(message, channel=self)  # as the caller will
        except Exception as error:
            log.error("dropped the unreadable message %s: %r", name, error)
            return None
        return message

    def _tidy(self, queue: str) -> None:
        """Now and then: drop what is past its time or was never finished, give back what a dead worker had claimed."""
        now = time_ns()
        if now - self._tidied.get(queue, 0) < TIDIED_EVERY:
            return
        self._tidied[queue] = now
        for path in _paths(self._queue_folder(queue)):
            name = path.name
            if path.suffix == ".new":
                if _number(name.partition("-")[0]) + CLAIM_LASTS < now:
                    path.unlink(missing_ok=True)
            elif name.startswith("."):
                claimed_at, _, original = name[1:].partition(".")
                if _number(claimed_at) + CLAIM_LASTS < now:
                    _rename(path, path.with_name(original))
            elif path.suffix == ".msg" and _expires(name) <= now:
                path.unlink(missing_ok=True)

    def _names(self, queue: str) -> list[str]:
        paths = _paths(self._queue_folder(queue))
        return sorted(path.name for path in paths if path.suffix == ".msg" and not path.name.startswith("."))

    def _size(self, queue: str) -> int:
        return len(self._names(queue))

    def _purge(self, queue: str) -> int:
        names = self._names(queue)
        for name in names:
            (self._queue_folder(queue) / name).unlink(missing_ok=True)
        return len(names)

    def _queue_folder(self, queue: str) -> Path:
        return self.folder / f"q-{quote(queue, safe='@')}"


def _paths(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _rename(path: Path, to: Path) -> None:
    try:
        path.rename(to)
    except FileNotFoundError:
        return


def _expires(name: str) -> int:
    return _number(name.partition("-")[2].partition("-")[0])


def _number(text: str) -> int:
    """Names that are not ours count as long past."""
    return int(text) if text.isdecimal() else 0


class Transport(virtual.Transport):
    """`embedded://`, for Celery."""

    Channel = Channel
    driver_type = driver_name = "embedded"
    polling_interval = 0.02  # seconds a wake-up may wait at most
    everyone = virtual.BrokerState()

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.everyone  # a channel knows the queues that any other of this process declared

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}  # no host, no port

    def driver_version(self) -> str:
        return "1"


kombu.transport.TRANSPORT_ALIASES["embedded"] = "backoffice.broker:Transport"
