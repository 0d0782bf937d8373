"""A Celery broker that needs no server: each message is a file, in a folder that the processes of one machine share.

kombu's own `filesystem://` has two races. It writes a message in place, so a worker may read the file while it is still
empty, and crash; and it keeps its bindings in files with the same fault. Here a message is written under another name
and renamed when it is complete, and a worker claims it by renaming it before it reads it. Bindings stay in memory,
because every process declares the queue before it sends or receives.

Messages can be lost: those whose file a worker had removed when it died before it ran the task, those that expired,
those that nobody took for a day, and those that are unreadable or were never completed. Most are wake-ups, and no work
is lost with them: the rows wait in the database, and beat's next run of the task finds them. The exception is a
reconciliation that a person started in the admin: it has no row yet, so it does not begin and must be asked for again.
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

# All times here are nanoseconds since 1970, as time_ns() gives them.
SECOND_NS = 10**9
MESSAGE_LIFETIME_NS = 24 * 3600 * SECOND_NS  # of a message that does not say when it expires
TIDY_INTERVAL_NS = 10 * SECOND_NS
# An older claim is of a dead worker: a living one removes the file within microseconds.
CLAIM_TIMEOUT_NS = 60 * SECOND_NS


class Channel(virtual.Channel):
    """Reads and writes the files of messages, each in its queue's folder.

    A message is `<sent>-<expires>-<random>.msg`. While it is written it ends in `.new`; once it is claimed, its name is
    `.<claimed>.<name>`. The three times are nanoseconds since 1970.
    """

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.folder = Path(connection.client.transport_options["folder"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self._listed: dict[str, deque[str]] = {}
        self._tidied: dict[str, int] = {}

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        now = time_ns()
        expiration = message["properties"].get("expiration")  # milliseconds, as text
        expires = now + (MESSAGE_LIFETIME_NS if expiration is None else int(expiration) * 10**6)
        folder = self._queue_folder(queue)
        complete = folder / f"{now:020d}-{expires:020d}-{uuid.uuid4().hex}.msg"
        unfinished = complete.with_suffix(".new")
        try:
            unfinished.write_text(dumps(message))
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(dumps(message))
        unfinished.rename(complete)
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
        """The message. None if another worker was faster, if it has expired, or if it cannot be read."""
        folder, now = self._queue_folder(queue), time_ns()
        claimed = folder / f".{now:020d}.{name}"
        try:
            (folder / name).rename(claimed)  # of several workers one succeeds
        except FileNotFoundError:
            return None
        content = claimed.read_bytes()
        claimed.unlink()
        if _expires(name) <= now:
            return None
        try:
            message = loads(content.decode())
            # The caller does this next, and a message that fails would end the worker.
            self.Message(message, channel=self)
        except Exception as error:
            log.error("dropped the unreadable message %s: %r", name, error)
            return None
        return message

    def _tidy(self, queue: str) -> None:
        """Drops messages that expired or were never completed. Returns a message to the queue if the worker that
        claimed it died before it removed the file.

        Does it once in TIDY_INTERVAL_NS at most.
        """
        now = time_ns()
        if now - self._tidied.get(queue, 0) < TIDY_INTERVAL_NS:
            return
        self._tidied[queue] = now
        for path in _paths(self._queue_folder(queue)):
            name = path.name
            if path.suffix == ".new":
                if _number(name.partition("-")[0]) + CLAIM_TIMEOUT_NS < now:
                    path.unlink(missing_ok=True)
            elif name.startswith("."):
                claimed_at, _, original = name[1:].partition(".")
                if _number(claimed_at) + CLAIM_TIMEOUT_NS < now:
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
    """The time in a file's name. 0 for a name that is not ours, so that the file counts as expired."""
    return int(text) if text.isdecimal() else 0


class Transport(virtual.Transport):
    """The transport that Celery uses for `CELERY_BROKER_URL=embedded://`."""

    Channel = Channel
    driver_type = driver_name = "embedded"
    polling_interval = 0.02  # seconds between two looks at the folder: a wake-up waits so long at most
    shared_state = virtual.BrokerState()  # of all connections in this process

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.shared_state  # so that each channel knows the queues that another one declared

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}  # there is no host and no port

    def driver_version(self) -> str:
        return "1"


kombu.transport.TRANSPORT_ALIASES["embedded"] = "backoffice.broker:Transport"
