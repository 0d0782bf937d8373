"""Sends what is owed to the endpoints.

One thread of a process hands out the work. Each endpoint has threads of its own, at most THREADS_PER_ENDPOINT: one that
is slow or dead keeps no other waiting. An endpoint that does not answer at all rests, longer each time; then one thread
tries one event.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import requests
from django.conf import settings
from django.db import connection, transaction

from invoices import clock, interruption, turns
from invoices.deadline import Deadline
from invoices.fanout import addresses, endpoints, owed, signing
from invoices.models import Delivery, WebhookEndpoint
from invoices.sight import context, counters
from invoices.thresholds import ENDPOINT_GIVEN_UP, LONGEST_ENDPOINT_REST

log = logging.getLogger(__name__)

THREADS_PER_ENDPOINT = 4
LOOK_SECONDS = 0.2  # between two looks for work while threads are at work
FAULT_SECONDS = 1.0  # after a fault of ours, so that it is not met again and again without a pause
MAX_ANSWER_BYTES = 64 * 1024  # that are read of an answer, so that the connection can be used again
GONE = 410

_lane = threading.Lock()  # of this process: one thread hands out the work
_wanted = threading.Event()  # somebody came while it did


def deliver_due() -> int:
    """Sends what is due, until nothing is; how many were sent, taken or not. Returns at once where another thread of
    this process does it: that one also finds what this one came for."""
    sent = 0
    _wanted.set()
    while _wanted.is_set() and not interruption.asked():
        if not _lane.acquire(blocking=False):
            return sent
        try:
            _wanted.clear()  # before the look: whoever comes after it is asked for once more
            sent += _hand_out()
        finally:
            _lane.release()
    return sent


def _hand_out() -> int:
    """Starts threads for the endpoints that have work, one more for each at every look, until all have ended."""
    working: dict[Future[int], str] = {}
    sent = 0
    most = THREADS_PER_ENDPOINT * endpoints.MAX_ENDPOINTS
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="deliver") as pool:
        while True:
            queued = 0
            if not interruption.asked():
                queued = owed.queue_redeliveries()
                at_work = Counter(working.values())
                for endpoint, unanswered in owed.endpoints_with_work().values_list("pk", "unanswered"):
                    if at_work[endpoint] < (1 if unanswered else THREADS_PER_ENDPOINT):
                        working[pool.submit(context.carried(_send_to), endpoint)] = endpoint
            if not working and not queued:
                return sent
            ended, _ = wait(working, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for each in ended:
                del working[each]
                sent += each.result()


def _send_to(endpoint: str) -> int:
    """In a thread of its own: sends to this endpoint until nothing is due, or it does not answer. How many."""
    sent = 0
    try:
        with addresses.session() as session:
            while not interruption.asked() and (delivery := owed.take(endpoint)) is not None:
                try:
                    body = owed.body_of(delivery)
                except owed.NotYet:
                    owed.give_back(delivery, owed.REFETCH_LOOK)
                    continue
                if body is None:
                    owed.gone(delivery)
                    continue
                sent += 1
                if not _send(session, delivery, body.encode()):
                    break
    except Exception:
        log.exception("The deliveries to %s stopped; they go on after their leases.", endpoint)
        time.sleep(FAULT_SECONDS)
    finally:
        connection.close()  # the thread ends, and its connection must not outlive it
    return sent


@dataclass(frozen=True)
class Answer:
    """What came of one sending: the HTTP status, or why there is none."""

    status: int | None
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def _send(session: requests.Session, delivery: Delivery, body: bytes) -> bool:
    """Sends one and records what came of it. Whether this thread may go on with the endpoint."""
    endpoint = WebhookEndpoint.objects.get(pk=delivery.endpoint_id)
    if not endpoint.is_enabled:
        owed.give_back(delivery)  # whoever disabled it abandons it
        return False
    at = clock.now()
    began = time.monotonic()
    try:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Invoice-Desk/1.0",
            "Stripe-Signature": signing.header(body, at, signing.secrets_of(endpoint, at)),
            "Invoice-Desk-Delivery": str(delivery.pk),
        }
    except signing.SecretUnreadable as error:
        answer = Answer(None, str(error))
    else:
        turns.give_up()
        answer = _post(session, endpoint.url, body, headers)
    if interruption.asked() and answer.status is None:
        owed.give_back(delivery)  # this process was ended, which says nothing of the endpoint
        return False
    seconds = time.monotonic() - began
    counters.DELIVERIES.labels("delivered" if answer.is_good else "not_taken").inc()
    if answer.is_good and answer.status:
        with transaction.atomic():  # so that a success that is on record has ended the failing, whatever is killed
            _note_success(endpoint)
            owed.delivered(delivery, at, seconds, answer.status)
        return True
    owed.not_taken(delivery, at, seconds, answer.status, answer.error)
    return _note_failure(endpoint, answer)


def _post(session: requests.Session, url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """One request, ended at the latest after the settings' seconds: connection, headers and body together."""
    seconds = settings.WEBHOOK_ENDPOINTS_TIMEOUT_SECONDS
    try:
        with Deadline(seconds):
            response = session.post(
                url, data=body, headers=headers, timeout=seconds, allow_redirects=False, stream=True
            )
            with suppress(Exception), response:  # the status has come: that is the answer
                response.raw.read(MAX_ANSWER_BYTES, decode_content=False)
    except addresses.AddressRefused as refused:
        return Answer(None, str(refused))
    except requests.exceptions.SSLError:
        return Answer(None, "The certificate was not accepted, or TLS failed.")
    except requests.Timeout:
        return Answer(None, f"No answer within {seconds:g} seconds.")
    except requests.ConnectionError:
        return Answer(None, "No connection, or it was closed before an answer came.")
    except Exception as error:  # such as headers that are no HTTP
        return Answer(None, f"No readable answer ({type(error).__name__}).")
    status = response.status_code
    if 300 <= status < 400:
        return Answer(status, f"It answered {status}: a redirect, which is not followed.")
    return Answer(status, "" if 200 <= status < 300 else f"It answered {status}.")


def _note_success(endpoint: WebhookEndpoint) -> None:
    """`endpoint` is as it was before the sending. It may have another address since, of which this says nothing."""
    if endpoint.failing_since or endpoint.unanswered:
        row = WebhookEndpoint.objects.filter(pk=endpoint.pk, url=endpoint.url)
        row.update(failing_since=None, unanswered=0, rests_until=None)


def _note_failure(endpoint: WebhookEndpoint, answer: Answer) -> bool:
    """Writes to the endpoint that it did not take an event, unless another attempt or a person has changed since the
    sending what is known of it. Whether this thread may go on with it."""
    now = clock.now()
    since = endpoint.failing_since or now
    if answer.status == GONE:
        endpoints.give_up(endpoint, "It answered 410 Gone.")
        return False
    if now - since >= ENDPOINT_GIVEN_UP:
        days = ENDPOINT_GIVEN_UP.days
        endpoints.give_up(endpoint, f"Every attempt of {days} days failed. The last one: {answer.error}")
        return False
    row = endpoints.unchanged(endpoint)
    if answer.status is not None:
        if not endpoint.failing_since or endpoint.unanswered:
            row.update(failing_since=since, unanswered=0, rests_until=None)
        return True
    rest = min(timedelta(seconds=2 ** min(endpoint.unanswered, 20)), LONGEST_ENDPOINT_REST)
    row.update(failing_since=since, unanswered=endpoint.unanswered + 1, rests_until=now + rest)
    return False
