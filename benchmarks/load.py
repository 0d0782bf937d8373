"""Sends prepared requests over a few connections that are kept open, and notes when each was sent and answered.

A loop over sockets that costs about 30 µs of CPU a request: it must not be what limits the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CONNECTIONS = 8
SILENCE_SECONDS = 60  # without any answer: the server hangs


@dataclass
class Sent:
    """What came of a run: for each request the moments of sending and of its answer, and its status."""

    sent: list[float]
    answered: list[float]
    statuses: list[int]

    @property
    def seconds(self) -> float:
        return max(self.answered) - min(self.sent)

    @property
    def refused(self) -> dict[int, int]:
        """Status → how often, of all that were not 200."""
        return {status: self.statuses.count(status) for status in set(self.statuses) - {200}}


@dataclass
class _Connection:
    socket: socket.socket
    request: int = -1  # the one that waits for its answer
    got: bytearray = field(default_factory=bytearray)


def send(
    port: int,
    requests: list[bytes],
    *,
    connections: int = CONNECTIONS,
    per_second: float = 0,
    on_sent: Callable[[int, float], None] = lambda number, at: None,
) -> Sent:
    """Sends them in order, each as soon as a connection is free, or at this rate. `on_sent` is called before each.

    Raises RuntimeError when the server is silent for a minute, or closes a connection that waits for an answer.
    """
    result = Sent([0.0] * len(requests), [0.0] * len(requests), [0] * len(requests))
    ready = selectors.DefaultSelector()
    opened = [_Connection(_connect(port)) for _ in range(min(connections, len(requests)))]
    for connection in opened:
        ready.register(connection.socket, selectors.EVENT_READ, connection)
    free = list(opened)
    following, left, began = 0, len(requests), time.monotonic()
    try:
        while left:
            now = time.monotonic()
            while free and following < len(requests) and (not per_second or now >= began + following / per_second):
                connection = free.pop()
                connection.request = following
                result.sent[following] = now = time.monotonic()
                on_sent(following, now)
                connection.socket.sendall(requests[following])
                following += 1
            wait: float = SILENCE_SECONDS
            if per_second and free and following < len(requests):
                wait = max(0.0, began + following / per_second - time.monotonic())
            answers = ready.select(wait)
            if not answers and wait == SILENCE_SECONDS:
                raise RuntimeError(f"No answer for {SILENCE_SECONDS} seconds, {left} requests left.")
            for key, _ in answers:
                connection = key.data
                received = connection.socket.recv(65536)
                if not received:
                    if connection not in free:
                        raise RuntimeError(f"The server closed a connection, {left} requests left.")
                    ready.unregister(connection.socket)  # it was idle for longer than the server allows
                    connection.socket.close()
                    connection.socket = _connect(port)
                    ready.register(connection.socket, selectors.EVENT_READ, connection)
                    continue
                connection.got += received
                if (status := _status(connection.got)) is not None:
                    result.answered[connection.request] = time.monotonic()
                    result.statuses[connection.request] = status
                    connection.got.clear()
                    free.append(connection)
                    left -= 1
    finally:
        ready.close()
        for connection in opened:
            connection.socket.close()
    return result


def _connect(port: int) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _status(got: bytearray) -> int | None:
    """The status of a complete response; None while more of it must come."""
    head, found, body = got.partition(b"\r\n\r\n")
    if not found:
        return None
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        complete = body.endswith(b"0\r\n\r\n")
    else:
        _, named, after = head.partition(b"content-length:")
        complete = len(body) >= (int(after.split(b"\r\n", 1)[0]) if named else 0)
    return int(head[9:12]) if complete else None
