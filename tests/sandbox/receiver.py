"""A webhook receiver for the tests: keeps every post, and answers with the status that the test sets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answer(len(self.server.bodies))
        self.server.bodies.append(body)
        self.server.signatures.append(self.headers["Stripe-Signature"])
        self.server.moments.append(time.monotonic())
        self.wfile.write(f"HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok".encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Receiver(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.moments: list[float] = []
        self.answer: Callable[[int], int] = lambda number: 200
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def wait(self, count: int, timeout: float = 10) -> None:
        end = time.monotonic() + timeout
        while len(self.bodies) < count:
            assert time.monotonic() < end, f"{len(self.bodies)} of {count} came"
            time.sleep(0.005)
