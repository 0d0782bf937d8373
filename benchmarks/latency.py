"""How long an event takes from the webhook endpoint to the mirror, idle and under load, in the whole running system.

    python -m benchmarks.latency [events a second] [seconds]

Starts `manage.py demo` (web, worker, beat, sandbox) on free ports, with the embedded database and broker or those of
DATABASE_URL and CELERY_BROKER_URL; posts signed events, first one every quarter of a second, then at the given rate;
and reads from the journal when each was received and when the mirror had it.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.running import demo

CONNECTIONS = 8  # kept open, each in a thread of its own


def main(rate: int, seconds: int) -> None:
    with demo() as known:
        os.environ.update(known["env"])
        _measure(known, rate, seconds)


def _measure(known: dict[str, Any], rate: int, seconds: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    import django

    django.setup()
    from benchmarks.events import events

    _post(known, list(events(40)), 4)
    _say("idle, 4 events a second", 40)
    made = list(events(rate * seconds, start=10_000))
    began = time.monotonic()
    _post(known, made, rate)
    took = time.monotonic() - began
    _say(f"{len(made) / took:,.0f} events a second accepted (asked for {rate}) for {took:.0f} s", len(made))


def _post(known: dict[str, Any], made: list[dict[str, Any]], rate: int) -> None:
    """Posts them in order at this rate, over a few connections that are kept open, as Stripe does."""
    from tests.helpers.events import sign

    began, taken, lock = time.monotonic(), iter(enumerate(made)), threading.Lock()
    target = urlsplit(known["webhook_url"])

    def client() -> None:
        connection = http.client.HTTPConnection(target.netloc, timeout=60)
        while True:
            with lock:
                number, event = next(taken, (0, None))
            if event is None:
                return
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            body = json.dumps(event).encode()
            headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, known["webhook_secret"])}
            connection.request("POST", target.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"The webhook endpoint answered {answer.status}.")

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _say(what: str, number: int) -> None:
    from invoices.models import Event

    rows = Event.objects.filter(id__startswith="evt_bench").order_by("-received_at")[:number]
    end = time.monotonic() + 120
    while time.monotonic() < end and Event.objects.filter(state="pending", id__startswith="evt_bench").exists():
        time.sleep(0.2)
    waits = sorted(
        (done - received).total_seconds()
        for received, done in rows.values_list("received_at", "processed_at")
        if done is not None
    )
    if len(waits) < number:
        print(f"{what}: only {len(waits)} of {number} were processed within two minutes")
        return
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"{what}: received → in the mirror: median {p50:.2f} s, p99 {p99:.2f} s, slowest {waits[-1]:.2f} s")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [500, 60][len(given) :]))
