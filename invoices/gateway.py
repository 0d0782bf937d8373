"""The wall to Stripe: the only `import stripe`. Plain dicts and spans come out, and our own errors.

Every request is refused inside a database transaction: a rollback would forget what Stripe did, and a slow answer would
hold our locks. On PostgreSQL the connection goes back to the pool for the time of the call.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import stripe
from django.conf import settings
from django.db import connection

from invoices import clock
from invoices.snapshot import Snapshot, is_object, of_read

log = logging.getLogger(__name__)

PATHS = {
    "invoice": "/v1/invoices",
    "invoice_payment": "/v1/invoice_payments",
    "payment_intent": "/v1/payment_intents",
    "customer": "/v1/customers",
}
PAGE = 100
READ_RETRIES = 2
LONGEST_WAIT = 5.0  # seconds, before a read is tried again


class GatewayError(Exception):
    """Stripe did not do as asked. `body` is Stripe's error object, as it came, or empty."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: dict[str, Any] | None = None,
        request_id: str = "",
        date: datetime | None = None,
        retry_after: float | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.body = message, status, body or {}
        self.request_id, self.retry_after, self.replayed = request_id, retry_after, replayed
        self.date = date or datetime.now(UTC)  # of the answer, Stripe's clock

    @property
    def type(self) -> str:
        return self.body.get("type") or ""

    @property
    def code(self) -> str:
        return self.body.get("code") or ""


class Declined(GatewayError):
    """402: Stripe tried, or would have to try, and the payment did not go through."""


class RefusedByStripe(GatewayError):
    """400: Stripe does not do this; nothing happened."""


class Missing(GatewayError):
    """404: no such object."""


class KeyConflict(GatewayError):
    """400 idempotency_error: this key was used with other parameters."""


class NotAllowed(GatewayError):
    """401, 403: our key may not do this."""


class RateLimited(GatewayError):
    """429: not applied; `retry_after` seconds if Stripe named them."""


class OutcomeUnknown(GatewayError):
    """A timeout, a dropped connection, 5xx, 409: nobody knows whether it was applied."""


# Whatever is not listed here, 5xx above all, leaves the outcome unknown: the cautious reading.
BY_STATUS: dict[int, type[GatewayError]] = {
    400: RefusedByStripe,
    401: NotAllowed,
    402: Declined,
    403: NotAllowed,
    404: Missing,
    409: OutcomeUnknown,
    413: RefusedByStripe,
    429: RateLimited,
}


@dataclass(frozen=True)
class Reply:
    """Stripe's answer: the object, and when it was true."""

    data: dict[str, Any]
    date: datetime  # Stripe's clock
    took: float  # seconds
    begun_at: datetime  # the database's clock
    request_id: str
    status: int = 200
    replayed: bool = False  # an old answer under a new date: evidence, never a read

    def snapshot(self, data: dict[str, Any] | None = None) -> Snapshot:
        """The span in which this object was true; `data` for a part of the reply."""
        found = self.data if data is None else data
        return of_read(found["object"], found["id"], found, date=self.date, took=self.took, begun_at=self.begun_at)


@cache
def _client(key: str, base: str, timeout: float) -> stripe.StripeClient:
    stripe.enable_telemetry = False
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=0,  # retries are ours: an action settles instead, and 429 names its own wait
        http_client=stripe.RequestsClient(timeout=timeout),
    )


def _send(method: str, path: str, params: Mapping[str, Any], *, key: str | None = None) -> Reply:
    """One request, once. Raises GatewayError."""
    if connection.in_atomic_block:
        raise RuntimeError("Stripe is never called inside a database transaction.")
    client = _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_TIMEOUT_SECONDS)
    begun_at = clock.now()
    if connection.vendor == "postgresql":
        connection.close()  # back to the pool: a call that hangs must not hold what pages need
    options = {"idempotency_key": key} if key else {}
    started = time.monotonic()
    try:
        response = client.raw_request(method, path, **params, **options)
    except stripe.StripeError as error:
        raise _translate(error) from error
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(
        data=json.loads(response.body),  # `response.data` turns decimals into Decimal
        date=_date(headers),
        took=time.monotonic() - started,
        begun_at=begun_at,
        request_id=headers.get("request-id", ""),
        status=response.code,
        replayed=headers.get("idempotent-replayed") == "true",
    )


def _date(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _translate(error: stripe.StripeError) -> GatewayError:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    body = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    details: dict[str, Any] = {
        "status": error.http_status,
        "body": body if isinstance(body, dict) else {},
        "request_id": headers.get("request-id", ""),
        "date": _date(headers),
        "replayed": headers.get("idempotent-replayed") == "true",
    }
    message = details["body"].get("message") or error.user_message or str(error) or "Stripe gave no answer."
    if isinstance(error, stripe.APIConnectionError) or error.http_status is None:
        return OutcomeUnknown("Stripe could not be reached, or did not answer in time.", **details)
    if error.http_status == 400 and details["body"].get("type") == "idempotency_error":
        return KeyConflict(message, **details)
    if error.http_status == 429:
        details["retry_after"] = _seconds(headers.get("retry-after"))
    return BY_STATUS.get(error.http_status, OutcomeUnknown)(message, **details)


def _seconds(written: str | None) -> float | None:
    try:
        return float(written) if written else None
    except ValueError:
        return None


def act(path: str, params: Mapping[str, Any], *, key: str) -> Reply:
    """Sends one action, once, under the given idempotency key. Raises GatewayError; OutcomeUnknown is not a failure."""
    return _send("post", path, params, key=key)


_pace: ContextVar[Callable[[], object] | None] = ContextVar("pace", default=None)


@contextmanager
def paced(turn: Callable[[], object]) -> Iterator[None]:
    """Inside, each read of this thread calls `turn` first, which waits as long as a rate budget wants."""
    token = _pace.set(turn)
    try:
        yield
    finally:
        _pace.reset(token)


def read(path: str, **params: Any) -> Reply:
    """A read, tried again after a passing fault: 5xx, a dropped connection, 429 with the wait that Stripe names. Not
    where Stripe hangs: whoever waits for this has waited long enough."""
    for attempt in range(READ_RETRIES + 1):
        if turn := _pace.get():
            turn()
        asked = time.monotonic()
        try:
            return _send("get", path, params)
        except (OutcomeUnknown, RateLimited) as error:
            wait = error.retry_after if error.retry_after is not None else 0.2 * 2**attempt
            if attempt == READ_RETRIES or max(wait, time.monotonic() - asked) > LONGEST_WAIT:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def retrieve(object: str, id: str) -> list[Snapshot]:
    """One object as it is now, with what hangs on it: an invoice brings all its lines and its payments.

    A 404 is a snapshot without data. Raises GatewayError for everything else.
    """
    expand = {"expand": ["payments"]} if object == "invoice" else {}
    begun_at, started = clock.now(), time.monotonic()
    try:
        return of_reply(read(f"{PATHS[object]}/{id}", **expand))
    except Missing as error:  # also of its lines: a draft that was deleted while we walked over them
        took = time.monotonic() - started
        return [of_read(object, id, None, date=error.date, took=took, begun_at=begun_at)]


def of_reply(reply: Reply, *, whole: bool = True) -> list[Snapshot]:
    """The snapshots in a reply that holds one object: without what we expanded, its lines whole; and its payments.

    `whole=False` sends no further request: the mirror then keeps the later lines that it has, and has them read.
    """
    data = reply.data
    if data.get("object") != "invoice":
        return [reply.snapshot()] if is_object(data) else []
    payments = data.pop("payments", None) or {}
    if whole:
        _complete_lines(data)
    if whole and payments.get("has_more"):
        return [reply.snapshot(data), *_payments_of(data["id"])]
    return [reply.snapshot(item) for item in (data, *payments.get("data", [])) if is_object(item)]


def _payments_of(invoice: str) -> Iterator[Snapshot]:
    """All of an invoice's payments, each with the span of the page that it came with."""
    params: dict[str, Any] = {"invoice": invoice}
    while True:
        snapshots, reply = list_page("invoice_payment", **params)
        yield from snapshots
        if not reply.data["has_more"] or not reply.data["data"]:
            return
        params["starting_after"] = reply.data["data"][-1]["id"]


def _complete_lines(invoice: dict[str, Any]) -> None:
    """Fetches the lines that the object leaves out (it holds the first ten). Final invoices' lines do not change; an
    open draft's may while we walk, and its `invoice.updated` follows. Where the line from which we go on is gone, the
    object stays as it came: the mirror sees `has_more`, and has it read again."""
    lines = invoice.get("lines")
    if not isinstance(lines, dict) or not lines.get("has_more") or not lines.get("data"):
        return
    path = f"/v1/invoices/{invoice['id']}/lines"
    try:
        lines["data"] += list(walk(path, starting_after=lines["data"][-1]["id"]))
    except RefusedByStripe:
        return
    lines["has_more"] = False


def walk(path: str, *, most: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
    """Every object of a list, newest first, page by page; `most` bounds how many. Raises GatewayError."""
    count = 0
    while True:
        page = read(path, limit=PAGE, **params).data
        yield from page["data"]
        count += len(page["data"])
        if not page["has_more"] or not page["data"] or (most is not None and count >= most):
            return
        params["starting_after"] = page["data"][-1]["id"]


def list_page(object: str, **params: Any) -> tuple[list[Snapshot], Reply]:
    """One page of a list, newest first: its snapshots, and the reply (`data["has_more"]`, the last id as a cursor).

    Invoices of more than ten lines come with ten of them and `lines.has_more`; the mirror keeps the later ones.
    """
    reply = read(PATHS[object], limit=PAGE, **params)
    return [reply.snapshot(item) for item in reply.data["data"] if is_object(item)], reply


def events(types: list[str], since: datetime, *, most: int = 1000) -> Iterator[dict[str, Any]]:
    """Stripe's events of these types since a moment of Stripe's clock, newest first; at most so many, 30 days back."""
    return walk("/v1/events", most=most, types=types, created={"gte": int(since.timestamp())})


def verify_signature(body: bytes, header: str, secrets: list[str], tolerance: int) -> str:
    """Why these raw bytes were not signed with any of the secrets within `tolerance` seconds; empty when they were."""
    why = "no webhook secret is configured"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "the body is not UTF-8"
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(text, header, secret, tolerance)
        except stripe.SignatureVerificationError as error:
            why = error.user_message or str(error)
        else:
            return ""
    return why
