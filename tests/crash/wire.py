"""The wire between us and the sandbox: what can go wrong on it goes wrong once, at the request that a case names."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.sandbox_process import SandboxProcess

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}
STRIPES = [("Content-Type", "application/json"), ("Request-Id", "req_wire")]  # by which an answer counts as Stripe's


class Answer:
    """A whole reply: from the sandbox, or made up here."""

    def __init__(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.status, self.body, self.headers = status, body, headers

    @classmethod
    def error(cls, status: int, headers: dict[str, str] | None = None, **error: str) -> Answer:
        body = json.dumps({"error": error}).encode()
        return cls(status, body, [*STRIPES, *(headers or {}).items()])


def empty_list(url: str) -> Answer:
    body = json.dumps({"object": "list", "url": url, "data": [], "has_more": False}).encode()
    return Answer(200, body, STRIPES)


def too_many(wait: str) -> Answer:
    return Answer.error(
        429, {"Retry-After": wait}, type="invalid_request_error", code="rate_limit", message="Request rate limit."
    )


CONFLICT = Answer.error(409, type="invalid_request_error", code="lock_timeout", message="This object is being used.")
IN_USE = Answer.error(409, type="idempotency_error", code="idempotency_key_in_use", message="Another is under way.")
# Given while an operation is settled, these answers are about the repeated request, and not about the first one.
OF_THIS_SENDING = {
    "401": Answer.error(401, type="invalid_request_error", message="Invalid API Key provided."),
    "403": Answer.error(403, type="invalid_request_error", message="This key may not do that."),
    "404": Answer.error(404, type="invalid_request_error", code="resource_missing", message="No such invoice."),
    "key": Answer.error(400, type="idempotency_error", message="Keys for idempotent requests can only be used with"),
}


class Wire(ThreadingHTTPServer):
    """Forwards everything; at the first POST to an armed path, does what the armed fault says instead."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, sandbox: SandboxProcess) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sandbox = sandbox
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.posts: list[tuple[str, str, bytes]] = []  # path, idempotency key and body of all that came
        self.replies_to_get: dict[str, Answer] = {}  # path → the reply to every GET, until it is taken out
        self._armed: tuple[str, str] | None = None
        self._lock = threading.Lock()
        # Called before a request is forwarded, where the fault is `overtaken`: somebody else was faster.
        self.before_forward: Callable[[], None] = lambda: None
        # Called before the reply is passed on, where the fault is `webhook_first`.
        self.before_reply: Callable[[], None] = lambda: None
        self.on_get: Callable[[str], None] = lambda path: None  # called before the reply to every GET
        # What becomes of the body of every reply to a GET, by the request's path and query.
        self.change_reply: Callable[[str, bytes], bytes] = lambda url, body: body
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def arm(self, path: str, fault: str) -> None:
        """The next POST whose path ends so meets this fault; the empty fault disarms."""
        with self._lock:
            self._armed = (path, fault) if fault else None

    def fault_for(self, method: str, path: str) -> str:
        with self._lock:
            if method != "POST" or self._armed is None or not path.endswith(self._armed[0]):
                return ""
            fault, self._armed = self._armed[1], None
            return fault

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *problem: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: the process that sent the request was killed, as the case wants."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Wire

    def setup(self) -> None:
        super().setup()
        self.upstream = http.client.HTTPConnection(urlsplit(self.server.sandbox.url).netloc, timeout=60)

    def finish(self) -> None:
        self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the sender was killed while sending: nothing is forwarded
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        if self.command == "POST":
            self.server.posts.append((path, self.headers.get("Idempotency-Key", ""), body))
        answer = self.meet(self.server.fault_for(self.command, path), body)
        if self.command == "GET":
            answer = self.server.replies_to_get.get(path, answer)
            self.server.on_get(path)
            if answer is not None:
                answer = Answer(answer.status, self.server.change_reply(self.path, answer.body), answer.headers)
        if answer is None:
            self.close_connection = True
        else:
            self.give(answer)

    do_GET = do_POST = do_DELETE = handle_any

    def meet(self, fault: str, body: bytes) -> Answer | None:
        """What comes back; None: nothing does."""
        match fault.removesuffix("_lost"):
            case "":
                answer = self.forward(body)
            case "timeout_before":
                self.wait_until_given_up()
                return None
            case "timeout_after":
                self.forward(body)
                self.wait_until_given_up()
                return None
            case "drop":
                self.forward(body)
                return None
            case "500_before" | "500_after":
                name = "error_500" if fault == "500_before" else "error_500_after"
                self.server.sandbox.faults(**{name: 1.0, "only": [f"POST {urlsplit(self.path).path}"]})
                answer = self.forward(body)
                self.server.sandbox.clear_faults()
            case "409":
                return CONFLICT
            case "409_in_use":  # the same request, sent twice by the network: the other one is served
                self.forward(body)
                return IN_USE
            case "429":
                return too_many("60")
            case "429_wait":
                return too_many("0.01")
            case "401" | "403" | "404" | "key":
                return OF_THIS_SENDING[fault]
            case "webhook_first":
                answer = self.forward(body)
                self.server.before_reply()
            case "overtaken":
                self.server.before_forward()
                answer = self.forward(body)
            case _:
                raise ValueError(fault)
        return None if fault.endswith("_lost") else answer

    def forward(self, body: bytes) -> Answer:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"host"}}
        self.upstream.request(self.command, self.path, body or None, headers)
        response = self.upstream.getresponse()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        return Answer(response.status, response.read(), kept)

    def wait_until_given_up(self) -> None:
        self.connection.settimeout(30)
        with contextlib.suppress(OSError):
            self.connection.recv(1)

    def give(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass
