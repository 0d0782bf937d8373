"""What each process counts for Prometheus. What waits in the database now is read by invoices/health/gauges.py.

No label holds an id, or anything that somebody outside could choose: every set of values is bounded.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Histogram

OPERATIONS = Counter(
    "invoice_desk_operations",
    "Operations that came to a state, and why; asked for, refused, or with an outcome",
    ["action", "state", "code"],
)
SENDINGS = Counter("invoice_desk_operation_sendings", "Calls of operations sent to Stripe", ["action", "again"])
STRIPE_REQUESTS = Histogram(
    "invoice_desk_stripe_request_seconds",
    "Requests to Stripe until the last byte of the answer; status is `none` where no answer came",
    ["method", "endpoint", "status"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
FOR_CALLERS = Counter(
    "invoice_desk_asked_for_callers",
    "Requests to Stripe for a caller of the API, by why they were made and what came of them",
    ["why", "outcome"],
)
EVENTS = Counter("invoice_desk_processed_events", "Attempts at events, and events ignored", ["outcome"])
EVENT_LAG = Histogram(
    "invoice_desk_event_lag_seconds",
    "From an event's arrival here until the mirror has it",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
WEBHOOKS = Counter("invoice_desk_webhooks", "Deliveries to the webhook address, by what came of them", ["outcome"])
DELIVERIES = Counter("invoice_desk_deliveries", "Events sent to services' endpoints, by what came of them", ["outcome"])
for _outcome in ("delivered", "not_taken"):  # shown from the start: the first one is an increase
    DELIVERIES.labels(_outcome)
RUNS = Counter("invoice_desk_reconciliations", "Reconciliations that ended", ["kind", "state"])
SIGN_INS = Counter("invoice_desk_sign_ins", "Attempts to sign in to the admin", ["outcome"])
THROTTLED = Counter(
    "invoice_desk_refused_api_requests",
    "API requests that one token sent beyond what a web process lets it have",
    ["why"],
)
for _why in ("rate", "at once"):  # shown from the start
    THROTTLED.labels(_why)
THROTTLE_SLOTS = Counter("invoice_desk_throttle_slots", "Slots of the budget of requests to Stripe that were taken")
THROTTLE_WAIT = Counter("invoice_desk_throttle_wait_seconds", "Seconds waited for slots of the budget")
TASKS = Histogram(
    "invoice_desk_task_seconds",
    "Celery's tasks, by how they ended",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600),
)

MAX_ENDPOINTS = 100
OTHER_ENDPOINT = "/v1/other"
# Words after a collection that are no ids.
_NO_IDS = frozenset({"report_payment", "sessions", "search", "upcoming"})
_WORD = re.compile(r"[a-z_]{1,40}", re.ASCII)
_endpoints: set[str] = set()
_lock = threading.Lock()


def endpoint(path: str) -> str:
    """A path of Stripe's without its ids: `/v1/invoices/in_1/pay` is `/v1/invoices/:id/pay`."""
    version, *parts = path.strip("/").split("/")
    words = [
        part if _WORD.fullmatch(part) and (place % 2 == 0 or part in _NO_IDS) else ":id"
        for place, part in enumerate(parts)
    ]
    found = "/".join(["", version, *words])
    if version != "v1" or len(parts) > 4 or not parts or words[0] == ":id":
        return OTHER_ENDPOINT
    with _lock:  # whatever goes wrong above, the number of series stays small
        if found not in _endpoints and len(_endpoints) >= MAX_ENDPOINTS:
            return OTHER_ENDPOINT
        _endpoints.add(found)
    return found


@contextmanager
def waiting_for_a_slot() -> Iterator[None]:
    started = perf_counter()
    try:
        yield
    finally:
        THROTTLE_WAIT.inc(perf_counter() - started)
        THROTTLE_SLOTS.inc()
