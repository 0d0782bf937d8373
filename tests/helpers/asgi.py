"""The web server without a socket: a client that sends message by message, and what stands in Django's place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from backoffice import serving

OURSELVES = "127.0.0.1"
LIMIT = 60  # seconds: nothing here takes as long, unless it hangs


class Django:
    """Stands in for the WSGI application: notes each request, and answers as the test says."""

    def __init__(self, answer: Callable[[], Any] = lambda: [b"answered"], status: str = "200 OK") -> None:
        self.answer, self.status = answer, status
        self.seen: list[dict[str, Any]] = []
        self.closed = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        self.seen.append(environ)
        django = self

        class Response:
            chunks = django.answer()

            def __iter__(self) -> Any:
                return iter(self.chunks)

            def close(self) -> None:
                django.closed.release()

        start(self.status, [("Content-Type", "text/plain")])
        return Response()


class Client:
    """One request on its way to the server, message by message."""

    def __init__(
        self,
        method: str,
        path: str,
        *body: bytes,
        ends: bool = True,
        peer: str = OURSELVES,
        headers: dict[str, Any] | None = None,
    ) -> None:
        headers = headers or {}
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        for number, part in enumerate(body, 1):
            self.more(part, ends and number == len(body))
        given = [(name.encode(), str(value).encode()) for name, value in headers.items()]
        if body and "content-length" not in headers:
            given.append((b"transfer-encoding", b"chunked"))
        self.scope = {"type": "http", "method": method, "path": path, "headers": given, "client": (peer, 1)}

    def more(self, part: bytes, last: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": part, "more_body": not last})

    def hang_up(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self, server: serving.Server) -> Client:
        await asyncio.wait_for(server(self.scope, self.messages.get, self.send), LIMIT)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])
