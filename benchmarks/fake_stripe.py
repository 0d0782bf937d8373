"""A stand-in for Stripe that only lists and retrieves, fast enough not to be what limits an import.

    FAKE_SHAPES=FILE FAKE_INVOICES=20000 granian benchmarks.fake_stripe:application --interface asgi --workers 1

Its objects are made when it starts (benchmarks/objects.py) and kept as JSON text, so that a page is put together from
ready pieces. `GET /_fake/calls` tells how often each path was asked, and `DELETE /_fake/calls` forgets it. The sandbox
answers as Stripe does and changes as Stripe does, and needs twice the CPU for a page.
`POST /_fake/objects` gives it a list of further objects to be retrieved. Of a customer or a price that nobody made it
makes one up when it is asked for.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from benchmarks.objects import INVOICES_PER_CUSTOMER, Maker

DAYS = 365  # over which the invoices were made, evenly
EVENT_DAYS = 29  # Stripe lists no older events
# Of each hundred invoices. What is paid has a payment and a PaymentIntent.
DRAFTS, OPEN, PAID = 3, 10, 87
STATUSES = ["draft"] * DRAFTS + ["open"] * OPEN + ["paid"] * PAID
PATHS = ("customers", "invoices", "invoice_payments", "payment_intents", "charges", "credit_notes", "refunds", "events")
# Kinds of which one is made up when it is asked for: systems look for them beside an invoice.
MADE_UP = {"customers": "customer", "payment_methods": "payment_method", "prices": "price", "products": "product"}
RANGES = {
    "gte": lambda stamp, bound: stamp >= bound,
    "gt": lambda stamp, bound: stamp > bound,
    "lte": lambda stamp, bound: stamp <= bound,
    "lt": lambda stamp, bound: stamp < bound,
}


class Lists:
    """Every object as JSON text; and of each list the ids, stamps and what it can be filtered by, newest first."""

    def __init__(self, shapes: dict[str, Any], invoices: int) -> None:
        self.texts: dict[str, str] = {}
        self.lists: dict[str, list[tuple[str, int, dict[str, str]]]] = {path: [] for path in PATHS}
        self.shapes = shapes
        maker, now = Maker(shapes, "import"), int(time.time())
        for n in range(invoices):
            created = now - (invoices - n) * DAYS * 86_400 // max(1, invoices) - 7200
            self._add_invoice(maker, n, created)
            if n % INVOICES_PER_CUSTOMER == 0:
                self._add("customers", maker.customer(n, created))
            at = now - (invoices - n) * EVENT_DAYS * 86_400 // max(1, invoices) - 3600
            self._add_event(maker, n, at)
        for members in self.lists.values():
            members.sort(key=lambda member: member[1], reverse=True)
        self.places = {id: place for members in self.lists.values() for place, (id, *_) in enumerate(members)}

    def _add(self, path: str, made: dict[str, Any], **filters: str) -> None:
        self.texts[made["id"]] = json.dumps(made, separators=(",", ":"))
        self.lists[path].append((made["id"], made["created"], filters))

    def _add_invoice(self, maker: Maker, n: int, created: int) -> None:
        status = STATUSES[n * 37 % 100]
        invoice = maker.invoice(n, created, status)
        self._add("invoices", invoice, status=status, customer=invoice["customer"])
        if status == "paid":
            total = invoice["total"]
            self._add("invoice_payments", maker.payment(n, created, total), status="paid", invoice=invoice["id"])
            self._add("payment_intents", maker.payment_intent(n, created, total), customer=invoice["customer"])

    def _add_event(self, maker: Maker, n: int, at: int) -> None:
        invoice = json.loads(self.texts[maker.id("in", n)])
        type = {"draft": "invoice.created", "open": "invoice.finalized", "paid": "invoice.paid"}[invoice["status"]]
        self._add("events", maker.event(n, type, at, invoice), type=type)

    def retrieved(self, path: str, id: str) -> str | None:
        """The object with this id; None where there is none."""
        if id not in self.texts and path in MADE_UP:
            shape = self.shapes.get(MADE_UP[path], {"object": MADE_UP[path], "created": 0, "livemode": False})
            self.texts[id] = json.dumps(shape | {"id": id})
        return self.texts.get(id)

    def page(self, path: str, query: dict[str, list[str]]) -> str:
        """Stripe's answer to this list request."""
        members = self.lists[path]
        limit = int(query.get("limit", ["10"])[0])
        if before := query.get("ending_before"):
            found = list(_matching(members[: self.places[before[0]]][::-1], query, limit + 1))
            page = found[:limit][::-1]
        else:
            start = self.places[query["starting_after"][0]] + 1 if "starting_after" in query else 0
            found = list(_matching(members[start:] if start else members, query, limit + 1))
            page = found[:limit]
        pieces = ",".join(self.texts[id] for id in page)
        more = "true" if len(found) > limit else "false"
        return f'{{"object":"list","url":"/v1/{path}","has_more":{more},"data":[{pieces}]}}'


def _matching(members: list[tuple[str, int, dict[str, str]]], query: dict[str, list[str]], most: int) -> Iterator[str]:
    bounds = [
        (RANGES[name], int(float(query[key][0]))) for name in RANGES for key in [f"created[{name}]"] if key in query
    ]
    types = {value for key, values in query.items() if re.fullmatch(r"types?(\[\d*\])?", key) for value in values}
    wanted = {name: query[name][0] for name in ("status", "customer", "invoice") if name in query}
    for id, stamp, filters in members:
        if not all(holds(stamp, bound) for holds, bound in bounds):
            continue
        if types and not any(_matches(filters.get("type", ""), type) for type in types):
            continue
        if any(filters.get(name) != value for name, value in wanted.items()):
            continue
        yield id
        most -= 1
        if not most:
            return


def _matches(type: str, wanted: str) -> bool:
    return type == wanted or (wanted.endswith("*") and type.startswith(wanted[:-1]))


class Application:
    """The ASGI application. The objects are made at the first request."""

    def __init__(self) -> None:
        self.lists: Lists | None = None
        self.calls: Counter[str] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if self.lists is None:
            shapes = json.loads(Path(os.environ["FAKE_SHAPES"]).read_text())
            self.lists = Lists(shapes, int(os.environ.get("FAKE_INVOICES", "0")))
        given, more = b"", True
        while more:
            message = await receive()
            given += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/_fake/objects":
            self.lists.texts.update((each["id"], json.dumps(each)) for each in json.loads(given))
        status, body = self.answer(scope["method"], scope["path"], scope["query_string"].decode())
        headers = [
            (b"content-type", b"application/json"),
            (b"request-id", f"req_fake{sum(self.calls.values())}".encode()),
            (b"date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answer(self, method: str, path: str, query_string: str) -> tuple[int, bytes]:
        assert self.lists
        if path == "/_fake/objects":
            return 200, b"{}"
        if path == "/_fake/calls":
            told = json.dumps(self.calls).encode()
            if method == "DELETE":
                self.calls.clear()
            return 200, told
        parts = path.strip("/").split("/")
        self.calls[f"{method} /{'/'.join(parts[:2])}" + ("/:id" if len(parts) > 2 else "")] += 1
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(query_string, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        if parts[1:] == ["account"] or (len(parts) == 3 and parts[1] == "accounts"):
            return 200, json.dumps(self.lists.shapes["account"]).encode()
        if len(parts) == 2 and parts[1] in PATHS:
            return 200, self.lists.page(parts[1], query).encode()
        if len(parts) == 3 and (found := self.lists.retrieved(*parts[1:])):
            return 200, found.encode()
        if len(parts) == 2:
            return 200, f'{{"object":"list","url":"{path}","has_more":false,"data":[]}}'.encode()
        error = {"type": "invalid_request_error", "code": "resource_missing", "message": f"No such object: {path}"}
        return 404, json.dumps({"error": error}).encode()


application = Application()
