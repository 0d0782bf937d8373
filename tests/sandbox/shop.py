"""Shop: creates customers, cards and invoices for the tests through the API, and sends plain requests."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from tests.sandbox_process import SandboxProcess


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    json: Any  # None where the body is not JSON

    @property
    def error(self) -> Any:
        return self.json["error"]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


class Shop:
    """Makes what a test needs through the SDK, whose objects are typed as Any: see `SandboxProcess.client`."""

    def __init__(self, process: SandboxProcess):
        self.process = process
        self.client = process.client()
        self.v1 = self.client.v1

    def ask(self, method: str, path: str, form: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One plain request; `form` may hold names with brackets."""
        given = {"Authorization": f"Bearer {self.process.key}", **(headers or {})}
        body = urlencode(form) if form and method == "POST" else None
        if form and method != "POST":
            path = f"{path}?{urlencode(form)}"
        if body:
            given["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(urlsplit(self.process.url).netloc, timeout=20)
        try:
            connection.request(method, path, body, {name: one for name, one in given.items() if one})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), _parsed(response.read()))
        finally:
            connection.close()

    def get(self, path: str, **form: Any) -> Answer:
        return self.ask("GET", path, form)

    def post(self, path: str, form: Any = None, key: str | None = None) -> Answer:
        return self.ask("POST", path, form, {"Idempotency-Key": key} if key else None)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def customer(self, card: str | None = None, **members: Any) -> Any:
        customer = self.v1.customers.create({"email": "ada@example.com", "name": "Ada Abara", **members})
        if card:
            method = self.v1.payment_methods.attach(card, {"customer": customer.id})
            settings = {"default_payment_method": method.id}
            customer = self.v1.customers.update(customer.id, {"invoice_settings": settings})
        return customer

    def draft(self, amount: int = 1000, customer: Any = None, currency: str = "usd", **params: Any) -> Any:
        customer = customer or self.customer("pm_card_visa")
        invoice = self.v1.invoices.create({"customer": customer.id, "currency": currency, **params})
        if amount:
            item = {"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": currency}
            self.v1.invoice_items.create(item)
        return self.v1.invoices.retrieve(invoice.id)

    def open(self, amount: int = 1000, customer: Any = None, **params: Any) -> Any:
        return self.v1.invoices.finalize_invoice(self.draft(amount, customer, **params).id)

    def in_state(self, status: str) -> Any:
        if status == "draft":
            return self.draft()
        invoice = self.open()
        invoices = self.v1.invoices
        if status == "paid":
            return invoices.pay(invoice.id)
        if status == "void":
            return invoices.void_invoice(invoice.id)
        if status == "uncollectible":
            return invoices.mark_uncollectible(invoice.id)
        return invoice

    def record(self, value: int, currency: str = "usd", outcome: str | None = "guaranteed", **more: Any) -> Any:
        now = int(time.time())
        ends = {outcome: {f"{outcome}_at": now}, "outcome": outcome} if outcome else {}
        return self.v1.payment_records.report_payment(
            {
                "amount_requested": {"currency": currency, "value": value},
                "initiated_at": now,
                "payment_method_details": {"type": "custom", "custom": {"display_name": "Wire", "type": "wire"}},
                **ends,
                **more,
            }
        )

    def events(self, **filters: Any) -> list[Any]:
        """The events, oldest first."""
        return self.v1.events.list({"limit": 100, **filters}).data[::-1]

    def since(self, before: list[Any]) -> list[Any]:
        seen = {event.id for event in before}
        return [event for event in self.events() if event.id not in seen]

    def settle(self, intent: str, outcome: str) -> Any:
        return self.process.post(f"payment_intents/{intent}/settle", outcome=outcome)

    def intent_of(self, invoice: str) -> Any:
        expand = ["payments.data.payment.payment_intent"]
        return self.v1.invoices.retrieve(invoice, {"expand": expand}).payments.data[-1].payment.payment_intent
