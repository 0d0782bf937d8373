"""What stands between the web server and Django: limits on what a client may send, and on what is done at once.

A request is taken whole, in the event loop, before any thread works on it. So a client that sends slowly, or not at
all, costs a connection and nothing else. Django then runs in one of a fixed number of threads, as it would under WSGI:
a request that has begun goes on to its end, whether or not its client still waits. Its answer is complete before it is
sent, beyond SPOOL_BYTES in a temporary file, so a client that reads slowly holds no thread either. Only a long download
(`sent_as_made`) is sent while it is made, a few at a time. A webhook goes past
Django: its signature is checked in the event loop, and invoices/webhooks.py journals it together with its neighbours.

Django's own ASGI handler is not used: it begins as many threads as there are requests, reads a stream of our views into
memory whole, and keeps bodies of any length before a view can refuse them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError

from backoffice.fairness import Callers, Place, TooMany
from backoffice.forwarding import FORWARDING_HEADERS, client
from backoffice.headers import HEADERS
from backoffice.middleware import accepted_request_id, is_for_api
from invoices import turns, waiting_room, webhooks
from invoices.api.auth import key_of, too_many
from invoices.api.envelope import ApiError
from invoices.sight import context, tracing

log = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[str, str]]

WEBHOOK_PATH = "/webhooks/stripe"
UPLOAD_PATH = "/admin/invoices/bankstatement/upload/"
UPLOADS_AT_ONCE = 2  # larger than other bodies, so few at a time
# Of the headers that Django gets: WSGI has names of its own for some, and only a proxy may say the others.
LEFT_OUT = FORWARDING_HEADERS | {"content-length", "content-type", "transfer-encoding"}
# Of bodies that are being received. Beyond it the one that has been at it for longest is given up. It is bytes that are
# counted, and not bodies: where many come at once, each waits for its turn in the event loop, though all of it is here.
RECEIVED_BYTES = 64 * 1024 * 1024
WAITING_AT_ONCE = 128  # complete requests that wait for a thread; each may hold a body of REQUEST_MAX_BYTES
RETRY_AFTER_SECONDS = 5
SPOOL_BYTES = 512 * 1024  # of an answer, in memory
CHUNK_BYTES = 64 * 1024
CHUNKS_WAITING = 4  # of an answer that is sent while it is made
WOKEN_AT_ONCE = 4  # requests that waited for a change and are asked again; a change may wake hundreds
# Seconds for which a client may take nothing of its answer, and in which requests end when the process is stopped.
READER_SECONDS = 30.0
STOP_SECONDS = 20.0
PARENT_SECONDS = 2.0  # between two looks at whether granian's main process is there


def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.strip().encode("latin-1")


ENCODED = {header: _encoded(*header) for header in HEADERS.items()}


@dataclass
class Refused(Exception):
    """This request is not given to Django: the status and a sentence for its sender. Where what is left of its body is
    not read, the connection is closed after the answer."""

    status: int
    sentence: str
    closes: bool = False


class NotTaken(Exception):
    """The client takes no more of an answer that is sent while it is made."""


class BrokenOff(Exception):
    """An answer that is sent while it is made ended before its end."""


class HungUp(Exception):
    """The client closed the connection before its request was complete."""


@dataclass
class Answer:
    """A complete response. Whoever sends it closes `body`."""

    status: int
    headers: Headers
    body: Any


class Passage:
    """An answer on its way from the thread that makes it to its client: at most CHUNKS_WAITING chunks, so that a client
    that reads slowly slows down the making, and nothing is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_WAITING)
        self.begun: asyncio.Future[Answer] = loop.create_future()
        self.is_closed = self.is_broken = False

    # In the thread that makes the answer.

    def begin(self, status: int, headers: Headers) -> None:
        self.loop.call_soon_threadsafe(self.begun.set_result, Answer(status, headers, self))

    def hand_over(self, chunk: bytes | None) -> None:
        """Waits until there is room; None is the end. Raises NotTaken."""
        asyncio.run_coroutine_threadsafe(self.chunks.put(chunk), self.loop).result()
        if self.is_closed:
            raise NotTaken

    # In the event loop.

    def close(self) -> None:
        """Nothing more is taken. Whoever waits for room gets it, and is told."""
        self.is_closed = True
        while not self.chunks.empty():
            self.chunks.get_nowait()


@dataclass(eq=False)
class Body:
    """One that is being received."""

    deadline: asyncio.Timeout
    content: bytearray = field(default_factory=bytearray)
    given_up: bool = False


@dataclass
class Request:
    """The head of a request, read once. A header with an underscore in its name is left out: Django could not tell it
    from the one with a hyphen, which a proxy may have checked or replaced."""

    scope: Message
    headers: dict[str, str] = field(init=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {}
        for raw_name, raw_value in self.scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if "_" not in name:
                separator = "; " if name == "cookie" else ","
                self.headers[name] = f"{self.headers[name]}{separator}{value}" if name in self.headers else value
        self.id = accepted_request_id(self.headers.get("x-request-id", ""))

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def promised(self) -> int | None:
        """How many bytes its body has, as it says; None where it does not say."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdecimal() else None

    @property
    def has_body(self) -> bool:
        if self.scope.get("http_version", "1.1").startswith("1"):
            return bool(self.promised) or "transfer-encoding" in self.headers
        return self.promised != 0

    @property
    def is_webhook(self) -> bool:
        return self.path == WEBHOOK_PATH and self.method == "POST"

    @property
    def is_upload(self) -> bool:
        return self.path == UPLOAD_PATH and self.method == "POST"

    def environ(self, body: bytes) -> dict[str, Any]:
        """As WSGI has it. The client's address and the scheme are those that our own proxies vouch for."""
        peer = (self.scope.get("client") or ("",))[0] or ""
        server = self.scope.get("server") or ("localhost", 80)
        address, over_tls = client(peer, self.headers, settings.TRUSTED_PROXIES)
        raw_path = self.scope.get("raw_path") or self.path.encode()
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(raw_path.partition(b"?")[0]).decode("latin-1"),
            "QUERY_STRING": self.scope.get("query_string", b"").decode("latin-1"),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1] or 80),
            "SERVER_PROTOCOL": f"HTTP/{self.scope.get('http_version', '1.1')}",
            "REMOTE_ADDR": address,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if over_tls or self.scope.get("scheme") == "https" else "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("content-type", ""),
        }
        for name, value in self.headers.items():
            if name not in LEFT_OUT:
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        environ["HTTP_X_REQUEST_ID"] = self.id
        return environ


class Lane:
    """So many threads, and a bounded number of requests that wait for one of them."""

    def __init__(self, threads: int) -> None:
        self.free = asyncio.Semaphore(threads)
        self.waiting = 0

    async def enter(self) -> None:
        """Raises Refused if no thread is free in time."""
        full = Refused(503, "Too many requests at the moment: this one was not begun. Try again in a few seconds.")
        if self.free.locked() and self.waiting >= WAITING_AT_ONCE:
            raise full
        self.waiting += 1
        try:
            async with asyncio.timeout(settings.REQUEST_WAIT_SECONDS):
                await self.free.acquire()
        except TimeoutError:
            raise full from None
        finally:
            self.waiting -= 1


class Server:
    """The ASGI application around Django's WSGI application."""

    def __init__(self, django: Callable[..., Any]) -> None:
        self.django = django
        self.lane, self.door = Lane(settings.REQUEST_THREADS), webhooks.Door()
        self.callers = Callers()
        self.waiting_room, self.woken = waiting_room.WaitingRoom(), asyncio.Semaphore(WOKEN_AT_ONCE)
        self.threads = ThreadPoolExecutor(settings.REQUEST_THREADS, thread_name_prefix="request")
        self.under_way: set[asyncio.Future[Answer]] = set()
        self.passing = threading.Semaphore(max(1, settings.REQUEST_THREADS // 4))  # answers sent while they are made
        self.receiving: dict[Body, None] = {}  # those that are not complete, oldest first
        self.received_bytes = 0  # of them
        self.uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(Request(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(request, receive)
        except HungUp:
            return
        except Refused as refused:
            log.warning("%s %s (%s): %s %s", request.method, request.path, request.id, refused.status, refused.sentence)
            answer = _refusal(request, refused)
        except TooMany as refused:
            answer = _throttled(request, too_many(refused.seconds))
        try:
            async with asyncio.timeout(READER_SECONDS) as deadline:
                if isinstance(answer.body, Passage):
                    await _send_as_made(answer, receive, send, deadline)
                else:
                    await _send(answer, send, deadline, head_only=request.method == "HEAD")
        except TimeoutError:
            log.warning("%s %s (%s): the client does not read its answer.", request.method, request.path, request.id)
        finally:
            answer.body.close()

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        """Raises Refused, TooMany, HungUp."""
        if request.path == "/healthz":
            if request.method not in ("GET", "HEAD"):
                raise Refused(405, "Only GET and HEAD.")
            return _text(request, 200, "ok\n")
        if request.is_webhook:
            return await self._take_webhook(request, receive)
        if request.is_upload:
            return await self._take_upload(request, receive)
        body = await self._body(request, receive)
        hold = waiting_room.Hold()
        answer = await self._ask_django(request, body, hold)
        return answer if hold.wanted is None else await self._keep_until_changed(answer, request, body, hold, receive)

    async def _take_upload(self, request: Request, receive: Receive) -> Answer:
        """A file, which may be larger than other bodies. Raises Refused, HungUp."""
        if self.uploads.locked():
            raise Refused(503, "Other files are being read at the moment. Send it again in a few seconds.", closes=True)
        async with self.uploads:
            body = await self._body(request, receive, settings.UPLOAD_MAX_BYTES, settings.UPLOAD_BODY_SECONDS)
            return await self._ask_django(request, body, waiting_room.Hold())

    async def _keep_until_changed(
        self, answer: Answer, request: Request, body: bytes, hold: waiting_room.Hold, receive: Receive
    ) -> Answer:
        """The answer of a view that waits for a change: another one as soon as there is a change, else this one when
        its time is over. Raises Refused, HungUp."""
        loop = asyncio.get_running_loop()
        hung_up = asyncio.create_task(_hung_up(receive))
        try:
            end = loop.time() + hold.wanted.seconds if hold.wanted else 0
            while hold.wanted is not None and await self._changed(hold.wanted, end - loop.time(), hung_up):
                async with self.woken:
                    answer.body.close()
                    hold = waiting_room.Hold()
                    answer = await self._ask_django(request, body, hold)
        except BaseException:
            answer.body.close()
            raise
        finally:
            hung_up.cancel()
        return answer

    async def _changed(self, wanted: waiting_room.Wanted, seconds: float, hung_up: asyncio.Task[None]) -> bool:
        """Whether there was such a change within so many seconds. Raises Refused, HungUp."""
        try:
            told = self.waiting_room.enter(wanted)
        except waiting_room.Full:
            raise Refused(503, "Too many requests wait for a change. Try again in a few seconds.") from None
        try:
            either: list[asyncio.Future[Any]] = [told, hung_up]
            await asyncio.wait(either, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting_room.leave(told)
        if hung_up.done():
            raise HungUp
        return told.done() and told.result()

    async def _ask_django(self, request: Request, body: bytes, hold: waiting_room.Hold) -> Answer:
        """Raises Refused, TooMany."""
        place = await self._place_of(request)
        try:
            await self.lane.enter()
        except BaseException:
            if place:
                place.leave()
            raise
        loop, alone = asyncio.get_running_loop(), contextvars.Context()  # what one request notes is not in the next
        if place:
            alone.run(turns.giving_up.set, partial(_in_loop, loop, place.give_up_turn))
        environ = {**request.environ(body), waiting_room.HOLD: hold}
        passage = Passage(loop)
        work = loop.run_in_executor(self.threads, alone.run, self._call_django, environ, passage)
        self.under_way.add(work)
        work.add_done_callback(self.under_way.discard)
        work.add_done_callback(lambda _: self.lane.free.release())
        if place:
            work.add_done_callback(lambda _: place.leave())
        try:
            # This waits, and cancels nothing: what Django has begun, such as a call to Stripe, goes on to its end.
            either: list[asyncio.Future[Answer]] = [work, passage.begun]
            await asyncio.wait(either, timeout=settings.REQUEST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            passage.close()
            work.add_done_callback(_drop)
            raise
        if passage.begun.done():
            work.add_done_callback(_drop)
            return passage.begun.result()
        if not work.done():
            passage.close()
            work.add_done_callback(_drop)
            raise Refused(504, "This takes longer than we let a client wait. It goes on: look at what came of it.")
        try:
            return work.result()
        except Exception as error:
            log.exception("%s %s (%s) failed.", request.method, request.path, request.id)
            raise Refused(500, "An unknown error occurred. Please try again.") from error

    async def _place_of(self, request: Request) -> Place | None:
        """Waits until the request's token may go on. None for what brings no token. Raises TooMany."""
        key = key_of(request.headers.get("authorization", "")) if is_for_api(request.path) else ""
        return await self.callers.enter(key) if key else None

    async def _take_webhook(self, request: Request, receive: Receive) -> Answer:
        """Raises Refused, HungUp. An accepted one is told of in the log by its event, which has the request's id."""
        with (
            context.bound(request_id=request.id),
            tracing.span("POST", kind="server", root=f"request {request.id}", http__request__method="POST") as span,
        ):
            status = 500
            try:
                body = await self._body(request, receive)
                async with asyncio.timeout(settings.REQUEST_SECONDS):
                    answer = await self.door.answer(body, request.headers.get("stripe-signature", ""))
                status = answer.status
            except Refused as refused:
                status = refused.status
                if status == 413:
                    webhooks.too_large()
                raise
            except HungUp:
                webhooks.broken_off()
                raise
            except webhooks.Busy:
                webhooks.not_written()
                status = 503
                raise Refused(
                    status, "Too many events at the moment: this one was not kept. Deliver it again."
                ) from None
            # InternalError: while another server takes over, the database may be read-only.
            except (TimeoutError, OperationalError, InterfaceError, InternalError) as error:
                webhooks.not_written()
                log.warning("An event could not be written: %s", error)
                status = 503
                raise Refused(status, "The journal cannot be written at the moment.") from None
            except Exception as error:
                log.exception("%s %s (%s) failed.", request.method, request.path, request.id)
                raise Refused(status, "An unknown error occurred. Please try again.") from error
            finally:
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("http.route", WEBHOOK_PATH.strip("/"))
        return _json(request, answer.status, answer.content)

    async def _body(
        self, request: Request, receive: Receive, most: int | None = None, seconds: float | None = None
    ) -> bytes:
        """The whole body, or Refused; HungUp where the client did not send what it promised. `most` bytes within so
        many `seconds`; those of other requests, unless said."""
        most = most or (settings.WEBHOOK_MAX_BYTES if request.is_webhook else settings.REQUEST_MAX_BYTES)
        seconds = seconds or settings.REQUEST_BODY_SECONDS
        too_large = Refused(413, f"The body is larger than {most} bytes.", closes=True)
        if not request.has_body:
            return b""
        if (request.promised or 0) > most:
            raise too_large
        body = Body(asyncio.timeout(seconds))
        self.receiving[body] = None
        try:
            async with body.deadline:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise HungUp
                    self._keep(body, message.get("body", b""))
                    if body.given_up:
                        raise TimeoutError
                    if len(body.content) > most:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            if body.given_up:
                raise Refused(503, "Too many bodies at once: this one was given up.", closes=True) from None
            raise Refused(408, f"The body was not here within {seconds:g} s.", closes=True) from None
        finally:
            self._forget(body)
        if request.promised not in (None, len(body.content)):
            raise HungUp
        return bytes(body.content)

    def _keep(self, body: Body, part: bytes) -> None:
        if body.given_up:
            return
        body.content += part
        self.received_bytes += len(part)
        while self.received_bytes > RECEIVED_BYTES and len(self.receiving) > 1:
            oldest = next(iter(self.receiving))
            self._forget(oldest)
            oldest.given_up = True
            oldest.deadline.reschedule(asyncio.get_running_loop().time())

    def _forget(self, body: Body) -> None:
        if body in self.receiving:
            del self.receiving[body]
            self.received_bytes -= len(body.content)

    def _call_django(self, environ: dict[str, Any], passage: Passage) -> Answer:
        """Runs in a thread: Django's whole answer. An answer that breaks off in the middle is a 500. One that is sent
        while it is made goes through the passage; where it breaks off, the connection is cut."""
        head: list[Any] = []

        def start(status: str, headers: Headers, problem: Any = None) -> None:
            head[:] = [int(status.partition(" ")[0]), headers]

        body = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  closed by whoever sends it
        try:
            response = self.django(environ, start)
            try:
                if getattr(response, "sent_as_made", False) and self.passing.acquire(blocking=False):
                    try:
                        _pass_on(response, passage, head)
                    finally:
                        self.passing.release()
                        body.close()
                    return Answer(head[0], head[1], io.BytesIO())  # nobody waits for it
                else:
                    for chunk in response:
                        body.write(chunk)
            finally:
                response.close()
            body.seek(0)
        except BaseException:
            body.close()
            raise
        return Answer(head[0], head[1], body)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The life of the process. When it is stopped, requests that have begun may end."""
        watch: asyncio.Future[None] = asyncio.Future()
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                watch = asyncio.create_task(_end_with(os.getppid()))
                _when_stopped(self.waiting_room.close)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                watch.cancel()
                self.waiting_room.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        if self.under_way:
                            await asyncio.wait(self.under_way)
                        await self.door.close()
                        await self.callers.room.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _end_with(parent: int) -> None:
    """Stops this process, as granian would, where granian's main process was killed. Nobody else does, and it would go
    on beside the one that is started anew, with old code after an upgrade."""
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_SECONDS)
    log.warning("The main process of the web server is gone; this one ends too.")
    os.kill(os.getpid(), signal.SIGTERM)


def _when_stopped(what: Callable[[], None]) -> None:
    """Has this done in the event loop as soon as the process is told to stop. granian tells us of it only when no
    request is left, and waits for them."""
    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers only there
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def stop(number: int, frame: Any, before: Any = before) -> None:
            loop.call_soon_threadsafe(what)
            if callable(before):
                before(number, frame)

        signal.signal(number, stop)


async def _hung_up(receive: Receive) -> None:
    """Ends when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From a thread. A request that outlives the loop, because the process is stopped, has nothing to give up."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _drop(work: asyncio.Future[Answer]) -> None:
    """The answer of a request whose client does not wait for it any more."""
    if not work.cancelled() and work.exception() is None:
        work.result().body.close()


def _refusal(request: Request, refused: Refused) -> Answer:
    """In Stripe's shape for the API's addresses, as the webhook's other refusals are for Stripe, else as text."""
    if is_for_api(request.path):
        type = "invalid_request_error" if refused.status < 500 else "api_error"
        answer = _json(request, refused.status, {"error": {"message": refused.sentence, "type": type}})
        answer.headers.append(("Request-Id", request.id))
    elif request.path == WEBHOOK_PATH:
        answer = _json(request, refused.status, {"error": refused.sentence})
    else:
        answer = _text(request, refused.status, f"{refused.sentence}\n")
    if refused.status == 503:
        answer.headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
    if refused.closes:
        answer.headers.append(("Connection", "close"))
    if refused.status == 405:
        answer.headers.append(("Allow", "GET, HEAD"))
    return answer


def _throttled(request: Request, error: ApiError) -> Answer:
    answer = _json(request, error.status_code, {"error": error.error})
    answer.headers += [*error.headers.items(), ("Request-Id", request.id)]
    return answer


def _json(request: Request, status: int, content: Any) -> Answer:
    return _whole(request, status, "application/json", json.dumps(content))


def _text(request: Request, status: int, content: str) -> Answer:
    return _whole(request, status, "text/plain; charset=utf-8", content)


def _whole(request: Request, status: int, content_type: str, content: str) -> Answer:
    headers = [("Content-Type", content_type), ("X-Request-ID", request.id), *HEADERS.items()]
    return Answer(status, headers, io.BytesIO(content.encode()))


def _pass_on(response: Any, passage: Passage, head: list[Any]) -> None:
    """Hands a response over while it is made."""
    chunks = (chunk for chunk in response if chunk)
    try:
        first = next(chunks, b"")  # what fails before the first byte is a 500
        passage.begin(*head)
        passage.hand_over(first)
        for chunk in chunks:
            passage.hand_over(chunk)
    except NotTaken:
        return
    except Exception:
        passage.is_broken = True
        if passage.begun.done():
            log.exception("A download broke off.")
            passage.hand_over(None)
            return
        raise
    passage.hand_over(None)


async def _send_as_made(answer: Answer, receive: Receive, send: Send, deadline: asyncio.Timeout) -> None:
    """Sends what the passage brings, as long as the client is there. Raises BrokenOff: the connection must be cut, so
    that the client does not take what it has for the whole."""
    now, hung_up = asyncio.get_running_loop().time, asyncio.ensure_future(_hung_up(receive))
    headers = [ENCODED.get(header) or _encoded(*header) for header in answer.headers]
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while not hung_up.done():
            deadline.reschedule(now() + settings.REQUEST_SECONDS)
            chunk = await answer.body.chunks.get()
            deadline.reschedule(now() + READER_SECONDS)
            if chunk is None and answer.body.is_broken:
                raise BrokenOff
            await send({"type": "http.response.body", "body": chunk or b"", "more_body": chunk is not None})
            if chunk is None:
                return
    finally:
        hung_up.cancel()


async def _send(answer: Answer, send: Send, deadline: asyncio.Timeout, *, head_only: bool) -> None:
    length = answer.body.seek(0, io.SEEK_END)
    answer.body.seek(0)
    headers = [ENCODED.get(header) or _encoded(*header) for header in answer.headers]
    bodiless = answer.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    if not bodiless and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    left = 0 if head_only or bodiless else length
    while True:
        chunk = answer.body.read(min(CHUNK_BYTES, left))
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        if left <= 0:
            return
        deadline.reschedule(asyncio.get_running_loop().time() + READER_SECONDS)
