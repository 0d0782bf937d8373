"""Whether pages stay fast while calls to Stripe hang: the API's list, alone and beside twenty hung payments.

    python -m benchmarks.hung [hung calls]

Starts `manage.py demo` on free ports. Prints the median and the slowest list page of both, and their ratio.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.systems import demo

PAGES = 60
HANG_MILLISECONDS = 8_000  # that Stripe takes for a payment


def main(hung: int) -> None:
    with demo(invoices=200) as known:
        ids = _open_invoices(known, hung)
        before = _pages(known)
        slow_payments = {"latency_ms": [HANG_MILLISECONDS] * 2, "only": ["POST /v1/invoices/*/pay"]}
        _sandbox(known, "POST", "/_sandbox/faults", slow_payments)
        threads = [threading.Thread(target=_pay, args=(known, id)) for id in ids]
        for thread in threads:
            thread.start()
        time.sleep(1.5)  # until all of them wait for Stripe
        beside = _pages(known)
        hanging = sum(thread.is_alive() for thread in threads)
        for thread in threads:
            thread.join()
    print(f"alone:                   median {_ms(statistics.median(before))}, slowest {_ms(max(before))}")
    print(
        f"beside {hanging:3} hung payments:       median {_ms(statistics.median(beside))}, slowest {_ms(max(beside))}"
    )
    print(f"ratio of the medians: {statistics.median(beside) / statistics.median(before):.2f}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _api(known: dict[str, Any], method: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(known["api_base"]).netloc, timeout=60)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {known['api_token']}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _sandbox(known: dict[str, Any], method: str, path: str, given: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection(urlsplit(known["sandbox_url"]).netloc, timeout=60)
    connection.request(method, path, json.dumps(given), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def _open_invoices(known: dict[str, Any], number: int) -> list[str]:
    """Invoices that may be paid; the customer's card does not matter: the answer comes late in any case."""
    _, page = _api(known, "GET", "/v1/invoices?status=open&limit=100")
    return [invoice["id"] for invoice in page["data"]][:number]


def _pay(known: dict[str, Any], id: str) -> None:
    _api(known, "POST", f"/v1/invoices/{id}/pay")


def _pages(known: dict[str, Any]) -> list[float]:
    took = []
    for _ in range(PAGES):
        began = time.perf_counter()
        status, _ = _api(known, "GET", "/v1/invoices?limit=50")
        took.append(time.perf_counter() - began)
        assert status == 200
    return took


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
