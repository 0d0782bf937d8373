"""`POST /webhooks/stripe`: what each delivery is answered. 200 means that the event is in the journal.

The web server (backoffice/serving.py) asks `Door`, without Django's middleware, which a signed body does not need.
Django's own server and the tests ask the view. Both say the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from invoices import intake
from invoices.intake import Delivery
from invoices.models import Event
from invoices.sight import counters, logs, redaction

log = logging.getLogger(__name__)

MAX_ROWS = 200  # of one commit
MAX_WAITING_BYTES = 32 * 1024 * 1024  # of bodies that wait for a commit


@dataclass(frozen=True)
class Answer:
    status: int
    content: dict[str, Any]


def refusal(outcome: str, status: int, message: str, *, told: str = "") -> Answer:
    """`told`: the reason as it may stand in the log, where the message quotes the body."""
    counters.WEBHOOKS.labels(outcome).inc()
    logs.tell(log, "webhook refused", level=logging.WARNING, outcome=outcome, status=status, reason=told or message)
    return Answer(status, {"error": message})


def too_large() -> Answer:
    return refusal("too_large", 413, f"The body is larger than {settings.WEBHOOK_MAX_BYTES} bytes.")


def broken_off() -> Answer:
    """Stripe delivers it again."""
    return refusal("broken_off", 400, "The body broke off.")


def not_written() -> None:
    """Counts one that is told to come again."""
    counters.WEBHOOKS.labels("not_written").inc()


def checked(body: bytes, signature: str) -> Delivery | Answer:
    """The delivery, for the journal; or the refusal of one that is not signed."""
    try:
        return intake.check(body, signature)
    except intake.NotSigned as error:
        return refusal("not_signed", 400, f"Not accepted: {error}")


def answered(delivery: Delivery, *, new: bool) -> Answer:
    """Of a delivery that is in the journal now. A body that is no event gets 400: Stripe's dashboard then shows it."""
    if error := delivery.unreadable:
        message = f"Signed, but no event: {error}"
        return refusal("unreadable", 400, message, told=redaction.message_of(error))
    counters.WEBHOOKS.labels("new" if new else "known").inc()
    if not new:
        logs.tell(log, "event known", event=delivery.row.pk, type=delivery.row.type)
    return Answer(200, {"received": True, "new": new})


class Door:
    """Journals deliveries in the order in which they come: those that gather while a commit runs share the next one.

    Each is answered after its own commit alone. Nobody waits for company: the first one is written at once. One thread
    of the process writes, with a connection that it keeps. `Busy` while too much waits.
    """

    def __init__(self) -> None:
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.waiting: list[tuple[Event, asyncio.Future[bool]]] = []
        self.waiting_bytes = 0
        self.writing: asyncio.Task[None] | None = None

    async def answer(self, body: bytes, signature: str) -> Answer:
        """Raises Busy, and what the database raises."""
        delivery = checked(body, signature)
        if isinstance(delivery, Answer):
            return delivery
        new = await self._journalled(delivery.row)
        if new:
            intake.tell([delivery.row])
        return answered(delivery, new=new)

    async def _journalled(self, row: Event) -> bool:
        """Whether it was new."""
        size = len(row.body)
        if self.waiting_bytes + size > MAX_WAITING_BYTES:
            raise Busy
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append((row, written))
        self.waiting_bytes += size
        if self.writing is None or self.writing.done():
            self.writing = asyncio.create_task(self._write())
        try:
            return await written
        finally:
            # An error has this frame in its traceback, and the frame has the future, which has the error. While the
            # database is away, such circles would keep the bodies until the collector looks.
            del written

    async def _write(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting[:MAX_ROWS], self.waiting[MAX_ROWS:]
            self.waiting_bytes -= sum(len(row.body) for row, _ in batch)
            run = asyncio.get_running_loop().run_in_executor
            outcomes = await run(self.writer, _written, [row for row, _ in batch])
            for (_, written), outcome in zip(batch, outcomes, strict=True):
                if written.done():  # whoever waited for it has left
                    continue
                if isinstance(outcome, BaseException):
                    written.set_exception(outcome)
                else:
                    written.set_result(outcome)

    async def close(self) -> None:
        """Ends when what has come is written."""
        if self.writing is not None:
            await self.writing
        await asyncio.get_running_loop().run_in_executor(self.writer, _disconnect)
        self.writer.shutdown(wait=False)


class Busy(Exception):
    """More deliveries wait to be written than we keep in memory."""


def _written(rows: Sequence[Event]) -> list[bool | Exception]:
    """For each row whether it was new, or why it could not be written. One that the database refuses hurts no other.

    Runs in the writer's thread. Raises nothing.
    """
    try:
        return _at_once(rows)
    except (OperationalError, InterfaceError):
        # The connection has ended since the last batch, or two writers met. Whether it was written is seen the second
        # time: then the journal has it.
        connection.close()
        try:
            return _at_once(rows)
        except Exception as error:
            connection.close()
            return [error] * len(rows)
    except Exception:
        connection.close()
        return [outcome for row in rows for outcome in _alone(row)]


def _alone(row: Event) -> list[bool | Exception]:
    try:
        return _at_once([row])
    except Exception as error:
        connection.close()
        return [error]


def _at_once(rows: Sequence[Event]) -> list[bool | Exception]:
    new = {row.pk: row for row in intake.write(rows)}
    return [new.get(row.pk) is row for row in rows]


def _disconnect() -> None:
    connection.close()  # that of the thread which asks


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """400 for a wrong signature or an unreadable body, 413 for one that is too large, else 200: an event of a type that
    we do not use is journalled as well."""
    answer = _read_and_answer(request)
    return JsonResponse(answer.content, status=answer.status)


def _read_and_answer(request: HttpRequest) -> Answer:
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        length = 0
    if length > settings.WEBHOOK_MAX_BYTES:
        return too_large()
    try:
        body = request.read(settings.WEBHOOK_MAX_BYTES + 1)
    except OSError:  # the connection broke
        return broken_off()
    if len(body) > settings.WEBHOOK_MAX_BYTES:
        return too_large()
    delivery = checked(body, request.headers.get("Stripe-Signature", ""))
    if isinstance(delivery, Answer):
        return delivery
    return answered(delivery, new=bool(intake.journal([delivery.row])))
