"""A small HTTP server that takes what is sent to it and keeps it: a collector of OpenTelemetry, or Sentry."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli


class Receiver:
    """The bodies that came, unpacked, with their paths."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.came: list[tuple[str, bytes]] = []

    def wait_for(self, found: Callable[[], Any], seconds: float = 30) -> Any:
        """Waits until `found` gives something, and returns it."""
        until = time.monotonic() + seconds
        while not (result := found()):
            assert time.monotonic() < until, [path for path, _ in self.came]
            time.sleep(0.05)
        return result


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            encoding = self.headers.get("Content-Encoding")
            if encoding == "gzip":
                body = gzip.decompress(body)
            elif encoding == "br":  # Sentry's client prefers it where the package is installed, as it is for tests
                body = brotli.decompress(body)
            elif encoding == "deflate":
                body = zlib.decompress(body)
            receiver.came.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
