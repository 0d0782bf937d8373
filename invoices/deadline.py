"""A session of `requests` in which each whole request has one deadline, and which follows no redirect.

The timeouts of `requests` count anew with every byte that arrives, so a server that sends one byte now and then holds
a request for ever. Here a timer shuts the socket down at the deadline: connection, headers and body together.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

_under_way: set[Deadline] = set()  # of every thread
_lock = threading.Lock()  # held while `_under_way` is read and changed


_all_passed = threading.Event()


def pass_all() -> None:
    """The deadline of every request comes now, because this process is to end: nothing is sent any more."""
    with _lock:
        _all_passed.set()
        passing = list(_under_way)
    for deadline in passing:
        deadline.come()


class Deadline:
    """The end of one request. Nothing is sent after it, and what waits for an answer ends with an error."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()  # so that the timer never meets the socket of the next request
        self._timer = threading.Timer(seconds, self.come)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        _now.deadline = self
        with _lock:
            _under_way.add(self)
            self.passed = _all_passed.is_set()
        self._timer.start()
        return self

    def __exit__(self, *problem: object) -> None:
        _now.deadline = None
        with _lock:
            _under_way.discard(self)
        with self._lock:
            self._timer.cancel()
            self._socket = None

    def governs(self, used: socket.socket) -> None:
        """The request is about to be sent on this socket. Raises TimeoutError after the deadline."""
        with self._lock:
            if self.passed:
                raise TimeoutError("The deadline passed before anything was sent.")
            self._socket = used

    def come(self) -> None:
        """It is now."""
        with self._lock:
            self.passed = True
            if self._socket is not None:
                # Without TLS's own farewell, which would wait for the other side. Whoever reads sees the end at once.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Now(threading.local):
    deadline: Deadline | None = None


_now = _Now()  # the deadline of the request that this thread makes


class WithDeadline:
    """Tells the deadline on which socket the request goes out: a new connection, a kept one, or a proxy's tunnel.

    Looking up a name and connecting have time limits of their own, for each address and for the TLS handshake. They are
    not interrupted, but a request is not sent if they took longer than the deadline.
    """

    def send(self: Any, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _now.deadline is not None:
            _now.deadline.governs(self.sock)
        super().send(data)  # type: ignore[misc]


class PlainConnection(WithDeadline, HTTPConnection):
    pass


class SecureConnection(WithDeadline, HTTPSConnection):
    pass


class Adapter(HTTPAdapter):
    """Makes each connection of these classes."""

    plain: type[HTTPConnection] = PlainConnection
    secure: type[HTTPSConnection] = SecureConnection

    def get_connection_with_tls_context(self, *given: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*given, **options)
        pool.ConnectionCls = self.secure if pool.scheme == "https" else self.plain
        return pool


class DeadlineSession(requests.Session):
    """For one thread: a socket that the deadline shuts down must not be in use by another thread by then."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.max_redirects = 0  # requests.TooManyRedirects at the first one: a redirected POST would charge elsewhere
        self.mount("https://", Adapter())
        self.mount("http://", Adapter())

    def request(self, *given: Any, **options: Any) -> requests.Response:
        """As that of `requests`, with the body read. Raises requests.RequestException, Timeout at the deadline."""
        with Deadline(self.seconds) as deadline:
            response = super().request(*given, **options)
        if deadline.passed:  # a body of unknown length seems to end where the socket was shut down
            raise requests.Timeout("The answer was not complete at the deadline.")
        return response
