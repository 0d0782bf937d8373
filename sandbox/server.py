"""HTTP/1.1 on 127.0.0.1: kept-alive connections, each reply in one send, and a way to cut a connection short."""

import contextlib
import socket
import socketserver
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from sandbox import admin, page
from sandbox.app import Reply, Request, answer
from sandbox.world import World

LARGEST_BODY = 4_000_000
TOO_LARGE = '{"error":{"message":"Request body too large.","type":"invalid_request_error"}}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True
    timeout = 75  # seconds for which an idle connection is kept
    server: "Server"

    def handle_any(self) -> None:
        world = self.server.world
        body = self.read_body()
        if body is None:
            self.close_connection = True
            self.reply(Reply(413, TOO_LARGE, {"Content-Type": "application/json"}))
            return
        path, _, query = self.path.partition("?")
        if path == "/" and self.command in ("GET", "HEAD"):
            self.reply(Reply(200, page.render(world), {"Content-Type": "text/html; charset=utf-8"}))
        elif path.startswith("/_sandbox"):
            self.reply(admin.answer(world, self.command, path, query, body))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.reply(answer(world, Request(self.command, path, query, body, headers)))

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = handle_any

    def read_body(self) -> str | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or "Transfer-Encoding" in self.headers:
            return None
        if int(length) > LARGEST_BODY:
            self.pass_over(int(length))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the caller died while it sent: half a request is none")
        return body.decode(errors="replace")

    def pass_over(self, length: int) -> None:
        """Whoever is still sending does not hear an answer."""
        while length > 0 and (part := self.rfile.read(min(length, 65536))):
            length -= len(part)

    def reply(self, reply: Reply) -> None:
        if reply.cut:
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
        with contextlib.suppress(
            ConnectionError, TimeoutError
        ):  # the client went away: its request has been dealt with
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
