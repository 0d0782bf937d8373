"""Takes Stripe's events in: verify, write the journal row, wake the workers. From webhooks and from the catch-up."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction

from invoices import gateway
from invoices.models import MIRRORED, Event
from invoices.models.reading import flag, ident, moment, text
from invoices.snapshot import is_id, is_object

log = logging.getLogger(__name__)


class NotSigned(Exception):
    """The body does not carry a fresh signature of ours."""


class NotReadable(Exception):
    """It is signed, and no event: kept in the journal as failed, so that nothing is lost."""


def receive(body: bytes, signature: str) -> bool:
    """Journals one delivery; whether it was new. Raises NotSigned, NotReadable. Wakes the workers after the commit."""
    if not signature.isascii():  # no digest has such letters, and comparing them would raise
        raise NotSigned("the signature is not readable")
    why = gateway.verify_signature(body, signature, settings.STRIPE_WEBHOOK_SECRETS, settings.WEBHOOK_TOLERANCE_SECONDS)
    if why:
        raise NotSigned(why)
    written = body.decode()
    try:
        event = event_row(json.loads(written, parse_constant=_no_constant), written)
    except (ValueError, RecursionError) as error:
        _keep_unreadable(written, str(error))
        raise NotReadable(str(error)) from error
    return bool(journal([event]))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _keep_unreadable(written: str, error: str) -> None:
    digest = hashlib.sha256(written.encode()).hexdigest()
    row = Event(id=f"unreadable_{digest}", body=written.replace("\x00", "�"), state=Event.State.FAILED, error=error)
    Event.objects.bulk_create([row], ignore_conflicts=True)


def event_row(event: Any, written: str | None = None, source: str = Event.Source.WEBHOOK) -> Event:
    """The journal row of one of Stripe's events. Raises ValueError where it has no id of its own."""
    if not isinstance(event, dict):
        raise ValueError("the body is not an object")
    id = event.get("id")
    if not is_id(id):
        raise ValueError("the event has no id")
    data = event.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    request = event.get("request")
    row = Event(
        id=id,
        type=text(event, "type") or "",
        created=moment(event, "created"),
        api_version=text(event, "api_version", limit=64) or "",
        livemode=flag(event, "livemode"),
        account=text(event, "account") or "",
        object_type=text(found, "object", limit=64) or "",
        object_id=text(found, "id") or "",
        request_id=(ident(event, "request") if isinstance(request, dict) else text(event, "request")) or "",
        idempotency_key=text(event, "request", "idempotency_key") or "",
        body=json.dumps(event, separators=(",", ":")) if written is None else written,
        source=source,
    )
    if why := _ignored(row, found):
        row.state, row.error = Event.State.IGNORED, why
    return row


def _ignored(event: Event, found: Any) -> str:
    """Why this event changes nothing here; empty when it may."""
    live = settings.STRIPE_SECRET_KEY.startswith(("sk_live", "rk_live"))
    if event.livemode is not None and event.livemode != live:
        return f"of {'live' if event.livemode else 'test'} mode, while our key is of {'live' if live else 'test'} mode"
    if event.account and event.account != settings.STRIPE_ACCOUNT:
        return f"of another account, {event.account}"
    if event.type == "invoice.upcoming":
        return "of an invoice that does not exist yet"
    if event.object_type not in MIRRORED:
        return "of a kind of object that is not mirrored"
    if not is_object(found):
        return "its object has no id, so nothing can be read"
    return ""


def journal(events: Iterable[Event]) -> list[Event]:
    """Writes those events that the journal does not have yet, and wakes the workers after the commit. The new ones."""
    rows = {event.pk: event for event in events}
    with transaction.atomic():
        known = set(Event.objects.filter(pk__in=list(rows)).values_list("pk", flat=True))
        new = [row for pk, row in rows.items() if pk not in known]
        # Two deliveries of one event at once: the second insert does nothing, and its wake-up finds nothing to do.
        Event.objects.bulk_create(new, ignore_conflicts=True)
        if any(row.state == Event.State.PENDING for row in new):
            transaction.on_commit(lambda: wake("process_events"), robust=True)
    return new


# --- wake-ups ---------------------------------------------------------------------------------------------------------


class _Waker(threading.Thread):
    """Sends wake-ups beside the requests, so that a slow or dead broker delays nobody; many within a moment become one.

    The last wake-up always leaves after the last row was committed, so none is overlooked; and what a dead broker
    swallows, the sweep of every second finds.
    """

    PAUSE = 0.1  # seconds

    def __init__(self) -> None:
        super().__init__(daemon=True, name="waker")
        self.pid = os.getpid()
        self.wanted: set[str] = set()
        self.condition = threading.Condition()
        self.start()

    def want(self, task: str) -> None:
        with self.condition:
            self.wanted.add(task)
            self.condition.notify()

    def run(self) -> None:
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.wanted)
                tasks, self.wanted = self.wanted, set()
            for task in tasks:
                try:
                    current_app.send_task(f"invoices.tasks.{task}", expires=60)
                except Exception as error:
                    log.warning("No wake-up for %s: %s. The next sweep finds the work.", task, error)
            threading.Event().wait(self.PAUSE)


_waker: _Waker | None = None
_starting = threading.Lock()


def wake(task: str) -> None:
    """Tells the workers that there is work for this task, soon and at most once in a moment. Never raises."""
    global _waker  # noqa: PLW0603  one thread a process, made when it is first needed, and again after a fork
    with _starting:
        if _waker is None or _waker.pid != os.getpid():
            _waker = _Waker()
    _waker.want(task)
