"""A company's service that takes the desk's events: an HTTP server that checks each by Stripe's SDK, as services do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

Answer = Callable[[str], int]  # from an event's id to the HTTP status


class Service(ThreadingHTTPServer):
    """Keeps the bodies that came, and what the SDK made of them under each of `secrets`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.events: list[Any] = []
        self.moments: list[float] = []
        self.answer: Answer = lambda id: 200
        self.location = ""  # of a redirect
        self.on_event: Callable[[Any], None] = lambda event: None
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/events"

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def wait(self, count: int, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while len(self.events) < count:
            assert time.monotonic() < end, f"{len(self.events)} of {count} came: {self.ids}"
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = self.headers["Stripe-Signature"]
        event: Any = None
        for secret in self.server.secrets:
            event = stripe.Webhook.construct_event(body, signature, secret)
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers.items()))
        self.server.moments.append(time.monotonic())
        self.server.on_event(event)
        status = self.server.answer(event.id if event else "")
        self.server.events.append(event)
        extra = f"Location: {self.server.location}\r\n" if self.server.location else ""
        self.wfile.write(f"HTTP/1.1 {status} x\r\n{extra}Content-Length: 2\r\n\r\nok".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def service() -> Iterator[Service]:
    serving = Service()
    thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.shutdown()
        serving.server_close()
        thread.join()
