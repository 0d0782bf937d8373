"""A server of raw bytes: it answers a request with whatever bytes a test says, as slowly as it says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRequest-Id: req_raw\r\n"


class RawServer:
    """Answers every connection with `first`, then with one byte of `drip` every `seconds`; counts the requests."""

    def __init__(
        self, first: bytes, drip: bytes = b"", seconds: float = 0.05, tls: ssl.SSLContext | None = None
    ) -> None:
        self.first, self.drip, self.seconds, self.tls = first, drip, seconds, tls
        self.requests: list[bytes] = []
        self.given_up = threading.Event()  # the client closed the connection, or shut it down
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *problem: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
        with connection:
            try:
                self.requests.append(connection.recv(65536))
                connection.sendall(self.first)
                for byte in self._bytes():
                    connection.sendall(byte)
                    time.sleep(self.seconds)
            except OSError:
                self.given_up.set()

    def _bytes(self) -> Iterator[bytes]:
        while self.drip:
            for number in range(len(self.drip)):
                yield self.drip[number : number + 1]


def answer(body: bytes, head: bytes = HEAD, **headers: Any) -> bytes:
    """A whole reply with this body; a member of `headers` such as `Date` is one more header."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()).encode()
    return head + more + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
