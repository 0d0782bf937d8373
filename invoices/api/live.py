"""Reads from Stripe that a caller's request causes: of what the mirror does not hold, or holds in too old a state.

They are bounded, so that nobody can use the desk as a hammer: by a budget that all processes share and no token can use
up alone, by how many a process makes at a time, and by a memory of what Stripe has just said that it does not have.
Where a bound is reached or Stripe does not answer, the caller is told so (429, 503): never that the object does not
exist.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from django.conf import settings
from rest_framework.request import Request

from invoices import gateway, intake, refetch, throttle, turns
from invoices.api.envelope import ApiError, invalid
from invoices.models import Event
from invoices.sight import counters

BUDGET = "live-reads"  # of STRIPE_LIVE_READS_PER_SECOND
# Of a budget each token has this part for itself. Beyond it a token takes only what lies unused: of the ten seconds'
# worth that a budget saves up, half is left to those who are within their part.
OWN_PART = 0.25
UNUSED_SECONDS = throttle.BURST_SECONDS / 2
AT_A_TIME = 8  # reads of one process, so that a Stripe that hangs leaves threads for those who read the mirror
WAIT_SECONDS = 2.0  # for one of these
SAME_OBJECT_SECONDS = 5.0  # for somebody else's read of the same object
MISSING_SECONDS = 5.0  # for which a 404 of Stripe's is remembered
MAX_REMEMBERED = 10_000  # such ids
HANGING_SECONDS = 2.0  # a read that took longer, and brought nothing, begins a rest
REST_SECONDS = 5.0  # in which nothing is asked
MAX_AHEAD = timedelta(seconds=60)  # by which a caller's clock may be ahead of ours

# How the ids of each kind begin. What does not is no id of Stripe's, and is not asked for.
ID_PREFIXES = {
    "invoice": ("in",),
    "customer": ("cus",),
    "payment_intent": ("pi",),
    "invoice_payment": ("inpay",),
    "event": ("evt",),
    "charge": ("ch", "py"),
    "credit_note": ("cn",),
    "refund": ("re", "pyr"),
}
ID = re.compile(r"([a-z]{1,20})_[A-Za-z0-9_]{1,230}", re.ASCII)
SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)

# The token with which the request of this context came, such as ApiTokenAuthentication found it; empty outside of one.
asking_token: ContextVar[str] = ContextVar("asking_token", default="")

_missing: dict[tuple[str, str], float] = {}  # kind and id → `time.monotonic()` until which Stripe is not asked again
_slots = threading.BoundedSemaphore(AT_A_TIME)
_locks: WeakValueDictionary[tuple[str, str], threading.Lock] = WeakValueDictionary()
_making_locks = threading.Lock()


class _Rest:
    """Of this process, after a read that hung."""

    until = 0.0  # `time.monotonic()`


_rest = _Rest()


def forget() -> None:
    """This process knows nothing of what Stripe said before."""
    _missing.clear()
    _rest.until = 0.0


# --- what a caller asks for -------------------------------------------------------------------------------------------


def not_before(request: Request) -> datetime | None:
    """The moment of the header `Invoice-Desk-Not-Before`: no older state of an object may be shown. Seconds since 1970,
    or ISO 8601 with a zone. Raises ApiError (400)."""
    given = request.headers.get("Invoice-Desk-Not-Before")
    if given is None:
        return None
    given = given.strip()
    try:
        found = datetime.fromtimestamp(float(given), UTC) if SECONDS.fullmatch(given) else datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or found.tzinfo is None:
        raise invalid(
            "Invalid Invoice-Desk-Not-Before: it must be a time in seconds since 1970, such as 1760000000, or with its "
            "zone, such as 2025-10-09T08:53:20Z."
        )
    if found > datetime.now(UTC) + MAX_AHEAD:
        raise invalid("Invalid Invoice-Desk-Not-Before: it is in the future. It must be in seconds, not milliseconds.")
    return found.astimezone(UTC)


def may_be_id(object_type: str, id: str) -> bool:
    """Whether Stripe may have an object of this kind with this id, by its form."""
    match = ID.fullmatch(id)
    return match is not None and match[1] in ID_PREFIXES.get(object_type, (match[1],))


@contextmanager
def one_at_a_time(object_type: str, id: str) -> Iterator[None]:
    """Of those in this process who miss the same object, one reads it, and the others find it in the mirror then."""
    with _making_locks:
        lock = _locks.get((object_type, id))
        if lock is None:
            lock = _locks[object_type, id] = threading.Lock()
    if not _acquired(lock, SAME_OBJECT_SECONDS):
        raise unavailable("Stripe has not answered yet. Please try again.")
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: threading.Lock | threading.Semaphore, seconds: float) -> bool:
    """Waits for it at most so long. Whether it is ours now."""
    if lock.acquire(blocking=False):
        return True
    turns.give_up()
    return lock.acquire(timeout=seconds)


# --- reading ----------------------------------------------------------------------------------------------------------


def bring(object_type: str, id: str, why: str) -> bool:
    """Reads a mirrored object, and stores it in the mirror with what belongs to it. Whether Stripe has it. `why` is for
    the metrics. Raises ApiError."""
    if not may_be_id(object_type, id) or _is_remembered(object_type, id):
        return False
    with asking(why):
        found = refetch.bring(object_type, id)
    if not found:
        _remember(object_type, id)
    return found


def bring_event(id: str) -> bool:
    """Reads an event, and journals it as the catch-up does. Whether Stripe has it; it keeps events for thirty days.
    Raises ApiError."""
    if not may_be_id("event", id) or _is_remembered("event", id):
        return False
    event = read(f"/v1/events/{id}", "missing")
    if event is None:
        _remember("event", id)
        return False
    intake.journal([intake.event_row(event, source=Event.Source.CATCH_UP)])
    return True


def read(path: str, why: str, **params: Any) -> dict[str, Any] | None:
    """What Stripe answers at this address, as it came; None for a 404. Raises ApiError."""
    with asking(why):
        try:
            return gateway.read(path, **params).data
        except gateway.Missing:
            return None


def _is_remembered(object_type: str, id: str) -> bool:
    return _missing.get((object_type, id), 0.0) > time.monotonic()


def _remember(object_type: str, id: str) -> None:
    if len(_missing) >= MAX_REMEMBERED:
        _missing.clear()
    _missing[object_type, id] = time.monotonic() + MISSING_SECONDS


@contextmanager
def asking(why: str, budget: str = BUDGET, rate: int | None = None) -> Iterator[None]:
    """Around one request to Stripe: within the bounds, counted, and with Stripe's errors as ours. `rate`: requests a
    second of this budget; that of live reads where it is left out. Raises ApiError."""
    outcome = "refused"
    try:
        with _within_bounds(budget, settings.STRIPE_LIVE_READS_PER_SECOND if rate is None else rate):
            outcome = "failed"
            yield
            outcome = "answered"
    except gateway.GatewayError as error:
        raise api_error(error) from error
    finally:
        counters.FOR_CALLERS.labels(why, outcome).inc()


@contextmanager
def _within_bounds(budget: str, rate: int) -> Iterator[None]:
    if (left := _rest.until - time.monotonic()) > 0:
        raise unavailable("Stripe does not answer, so it is not asked for some seconds.", left)
    if seconds := _take(budget, rate):
        raise over_budget(rate, seconds)
    if not _acquired(_slots, WAIT_SECONDS):
        raise unavailable("Too many requests wait for Stripe.")
    started = time.monotonic()
    try:
        yield
    except gateway.OutcomeUnknown:
        if time.monotonic() - started > HANGING_SECONDS:
            _rest.until = time.monotonic() + REST_SECONDS
        raise
    finally:
        _slots.release()


def _take(budget: str, rate: int) -> int:
    """Takes a request from the budget. 0 if it may be sent, otherwise the seconds to wait."""
    is_within_its_part = not throttle.take(f"{budget}:{asking_token.get()}", rate * OWN_PART)
    return throttle.take(budget, rate, burst_seconds=throttle.BURST_SECONDS if is_within_its_part else UNUSED_SECONDS)


# --- what the caller is told ------------------------------------------------------------------------------------------


def _wait(seconds: float) -> Mapping[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds))), "Stripe-Should-Retry": "true"}


def unavailable(message: str, seconds: float = 1.0) -> ApiError:
    """503: what the mirror does not hold could not be read. It says nothing about whether it exists."""
    said = f"This needs Stripe, which could not be asked. {message}"
    return ApiError(503, said, type="api_error", code="stripe_unavailable", headers=dict(_wait(seconds)))


def over_budget(rate: int, seconds: float) -> ApiError:
    """429: the budget of requests to Stripe for callers is spent."""
    message = (
        f"This needs a request to Stripe, and all callers of the desk together may cause {rate} a second. Please "
        "try again; what the mirror holds is not limited by this."
    )
    return ApiError(429, message, code="rate_limit", headers=dict(_wait(seconds)))


def api_error(error: gateway.GatewayError) -> ApiError:
    """What Stripe's answer to our read, or its silence, is to a caller."""
    if isinstance(error, gateway.RateLimited):
        return ApiError(429, error.message, code="rate_limit", headers=dict(_wait(error.retry_after or 1.0)))
    if isinstance(error, gateway.RefusedByStripe):
        param = error.body.get("param")
        return ApiError(400, error.message, code=error.code or None, param=param if isinstance(param, str) else None)
    if isinstance(error, gateway.NotAllowed | gateway.WrongAccount):
        message = "Stripe does not let the desk read this with its own key. Please tell those who run the desk."
        return ApiError(502, message, type="api_error", headers={"Stripe-Should-Retry": "false"})
    return unavailable(error.message, error.retry_after or 1.0)
