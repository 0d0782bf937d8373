"""The HTTP/1.1 server on 127.0.0.1: reads a request, passes it on by its path, and sends the reply."""

import contextlib
import socket
import socketserver
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from sandbox import control_routes, status_page
from sandbox.app import answer
from sandbox.http_messages import Reply, Request
from sandbox.ids import ids
from sandbox.world import World

MAX_BODY_BYTES = 4_000_000  # of a request
TOO_LARGE = '{"error":{"message":"Request body too large.","type":"invalid_request_error"}}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0  # unbuffered: `reply` sends head and body in one write
    disable_nagle_algorithm = True
    timeout = 75  # seconds after which an idle connection is closed
    server: "Server"

    def handle_any(self) -> None:
        world = self.server.world
        body = self.read_body()
        if body is None:
            self.close_connection = True
            headers = {"Content-Type": "application/json", "Request-Id": ids.with_prefix("req_")}
            self.reply(Reply(413, TOO_LARGE, headers))
            return
        path, _, query = self.path.partition("?")
        if path == "/" and self.command in ("GET", "HEAD"):
            self.reply(Reply(200, status_page.render(world), {"Content-Type": "text/html; charset=utf-8"}))
        elif path.startswith("/_sandbox"):
            self.reply(control_routes.answer(world, self.command, path, query, body))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.reply(answer(world, Request(self.command, path, query, body, headers)))

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = handle_any

    def read_body(self) -> str | None:
        """None: too large, or of unknown length."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or "Transfer-Encoding" in self.headers:
            return None
        if int(length) > MAX_BODY_BYTES:
            self.discard(int(length))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the connection ended before the whole request body had come")
        return body.decode(errors="replace")

    def discard(self, length: int) -> None:
        """Read the rest of the body: a client reads the reply only after it has sent everything."""
        while length > 0 and (part := self.rfile.read(min(length, 65536))):
            length -= len(part)

    def reply(self, reply: Reply) -> None:
        """Send the reply, or cut the connection where a fault says so."""
        if reply.cut_connection:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = reply.body.encode(errors="replace")
        phrase = HTTPStatus(reply.status).phrase
        headers = {
            "Server": "sandbox",
            "Date": formatdate(self.server.world.clock.now(), usegmt=True),
            **reply.headers,
            "Content-Length": str(len(body)),
            "Connection": "close" if self.close_connection else "keep-alive",
        }
        head = f"HTTP/1.1 {reply.status} {phrase}\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
        )
        self.wfile.write(head.encode("latin-1", "replace") + b"\r\n" + (b"" if self.command == "HEAD" else body))

    def handle(self) -> None:
        # The client closed the connection. If its request was complete, it has been answered in full.
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, port: int, world: World):
        self.world = world
        super().__init__(("127.0.0.1", port), Handler)
        world.address = f"http://127.0.0.1:{self.server_address[1]}"
