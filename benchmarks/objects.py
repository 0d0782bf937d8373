"""Stripe's invoices and events, each different, of the shape and size that the sandbox gives them; and signed requests.

One invoice lives its whole life at the sandbox. Its objects are the shapes from which all others are made: other ids,
people, amounts, texts and times. An event is 3 to 5 KB of compact JSON, of an invoice with two lines.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.sandbox_process import SandboxProcess

SECRET = "whsec_benchmark"
KEY = "sk_test_" + 24 * "0"  # of the form and length that dj-stripe accepts
LINES = 2
INVOICES_PER_CUSTOMER = 5
# Of one invoice. Further apart than Stripe's stamps may lag: time alone orders the events, and nothing is read again.
SECONDS_BETWEEN_STEPS = 60
STATUSES = ("draft", "open", "paid")  # each further along than the one before
Shapes = dict[str, Any]  # customer, invoice, invoice_payment, payment_intent, event


def shapes() -> Shapes:
    """The objects of one paid invoice, and the event that tells of it, as the sandbox makes them."""
    with SandboxProcess() as sandbox:
        stripe = sandbox.client()
        address = {"line1": "1 Main Street", "city": "Berlin", "postal_code": "10115", "country": "DE"}
        customer = stripe.v1.customers.create({"email": "a@example.com", "name": "A", "address": address}).id
        card = stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id
        stripe.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": card}})
        invoice = stripe.v1.invoices.create({"customer": customer, "currency": "usd"}).id
        line = {"customer": customer, "invoice": invoice, "amount": 1000, "currency": "usd", "description": "Line"}
        for _ in range(LINES):
            stripe.v1.invoice_items.create(line)
        stripe.v1.invoices.finalize_invoice(invoice)
        stripe.v1.invoices.pay(invoice)

        def read(path: str, **given: Any) -> Any:
            return json.loads(stripe.raw_request("get", path, **given).body)

        product = stripe.v1.products.create({"name": "A product"}).id
        price = stripe.v1.prices.create({"product": product, "currency": "usd", "unit_amount": 1000}).id
        return {
            "product": read(f"/v1/products/{product}"),
            "price": read(f"/v1/prices/{price}"),
            "account": read("/v1/account"),
            "customer": read(f"/v1/customers/{customer}"),
            "payment_method": read(f"/v1/payment_methods/{card}"),
            "invoice": read(f"/v1/invoices/{invoice}"),
            "invoice_payment": read("/v1/invoice_payments", invoice=invoice)["data"][0],
            "payment_intent": read("/v1/payment_intents", customer=customer)["data"][0],
            "event": next(e for e in read("/v1/events", limit=100)["data"] if e["type"] == "invoice.paid"),
        }


class Maker:
    """Makes the objects of invoice number n. The same series, number and step give the same object."""

    def __init__(self, of: Shapes, series: str) -> None:
        self.of, self.series = of, series
        self.texts = {name: json.dumps(shape, separators=(",", ":")) for name, shape in of.items()}
        self.lines = [line["id"] for line in of["invoice"]["lines"]["data"]]

    def id(self, prefix: str, n: int, of: str = "") -> str:
        """As Stripe's: the beginning grows with time, the end is by chance."""
        chance = hashlib.sha256(f"{self.series} {prefix} {of} {n}".encode()).hexdigest()
        return f"{prefix}_1{n:07d}{chance[:16]}"

    def customer(self, n: int, created: int) -> dict[str, Any]:
        """The customer of invoice number n; several invoices have the same."""
        n //= INVOICES_PER_CUSTOMER
        made: dict[str, Any] = json.loads(self.texts["customer"])
        return made | {
            "id": self.id("cus", n),
            "email": f"customer{n}@example.com",
            "name": f"Customer {n}",
            "created": created,
        }

    def invoice(self, n: int, created: int, status: str = "paid", step: int = 0) -> dict[str, Any]:
        """Invoice number n in this status. `metadata.step` tells its states apart."""
        dice = random.Random(f"{self.series} {n}")
        id, shape = self.id("in", n), self.of["invoice"]
        whole = self.texts["invoice"].replace(shape["id"], id).replace(shape["customer"], self._customer_id(n))
        for number, line in enumerate(self.lines):
            whole = whole.replace(line, self.id("il", n, str(number)))
        made: dict[str, Any] = json.loads(whole)
        total = 0
        for line in made["lines"]["data"]:
            line["quantity"] = dice.randrange(1, 20)
            line["amount"] = line["subtotal"] = line["quantity"] * dice.randrange(100, 9999)
            line["description"] = f"{line['quantity']} × {dice.randbytes(12).hex()}"
            line["period"] = {"start": created, "end": created + 2_592_000}
            total += line["amount"]
        finalized, paid = status != "draft", status == "paid"
        made |= {
            "created": created,
            "status": status,
            "number": f"{self.series.upper()}-{n:07d}" if finalized else None,
            "customer_email": f"customer{n // INVOICES_PER_CUSTOMER}@example.com",
            "customer_name": f"Customer {n // INVOICES_PER_CUSTOMER}",
            "amount_due": total,
            "amount_paid": total if paid else 0,
            "amount_remaining": 0 if paid else total,
            "attempted": paid,
            "attempt_count": int(paid),
            "effective_at": created + SECONDS_BETWEEN_STEPS if finalized else None,
            "hosted_invoice_url": made["hosted_invoice_url"] if finalized else None,
            "invoice_pdf": made["invoice_pdf"] if finalized else None,
            "metadata": {"order": dice.randbytes(8).hex(), "step": str(step)},
            "period_start": created,
            "period_end": created,
            "webhooks_delivered_at": created,
        }
        for name in ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"):
            made[name] = total
        made["status_transitions"] = dict.fromkeys(made["status_transitions"]) | {
            "finalized_at": created + SECONDS_BETWEEN_STEPS if finalized else None,
            "paid_at": created + 2 * SECONDS_BETWEEN_STEPS if paid else None,
        }
        return made

    def _customer_id(self, n: int) -> str:
        return self.id("cus", n // INVOICES_PER_CUSTOMER)

    def payment(self, n: int, created: int, amount: int) -> dict[str, Any]:
        """The payment of invoice number n, paid."""
        made: dict[str, Any] = json.loads(self.texts["invoice_payment"])
        return made | {
            "id": self.id("inpay", n),
            "invoice": self.id("in", n),
            "created": created,
            "amount_paid": amount,
            "amount_requested": amount,
            "payment": {"type": "payment_intent", "payment_intent": self.id("pi", n)},
            "status_transitions": {"canceled_at": None, "paid_at": created + 2 * SECONDS_BETWEEN_STEPS},
        }

    def payment_intent(self, n: int, created: int, amount: int) -> dict[str, Any]:
        """The PaymentIntent by which invoice number n was paid."""
        made: dict[str, Any] = json.loads(self.texts["payment_intent"])
        return made | {
            "id": self.id("pi", n),
            "client_secret": f"{self.id('pi', n)}_secret",
            "customer": self._customer_id(n),
            "created": created,
            "amount": amount,
            "amount_received": amount,
            "latest_charge": None,
        }

    def event(self, number: int, type: str, created: int, of: dict[str, Any]) -> dict[str, Any]:
        """Event number `number` of this series, about an object."""
        shape: dict[str, Any] = self.of["event"]
        request = {"id": self.id("req", number), "idempotency_key": self.id("key", number)}
        data = {"object": of}
        return shape | {
            "id": self.id("evt", number),
            "type": type,
            "created": created,
            "data": data,
            "request": request,
        }


@dataclass(frozen=True)
class Delivery:
    """One event: its body, and which invoice is then in which state."""

    event: str  # its id
    body: bytes
    invoice: str
    status: str
    step: int


def deliveries(of: Shapes, series: str, events: int, invoices: int) -> list[Delivery]:
    """So many events of so many invoices, in the order in which the changes happened.

    Every invoice has the same number of events, or one more: created, finalized, updated as often as is needed, paid.
    An invoice begins every second, and its next step comes a minute later: the events of one are apart from each other.
    """
    return [delivery for _, delivery in sorted(_changes(of, series, events, invoices), key=lambda made: made[0])]


def _changes(of: Shapes, series: str, events: int, invoices: int) -> Iterator[tuple[tuple[int, int], Delivery]]:
    maker, each, more = Maker(of, series), events // invoices, events % invoices
    begin = int(time.time()) - 3600 - invoices - SECONDS_BETWEEN_STEPS * (each + 1)
    number = 0
    for n in range(invoices):
        created = begin + n
        steps = _steps(each + (n < more))
        for step, (type, status) in enumerate(steps):
            at = created + step * SECONDS_BETWEEN_STEPS
            invoice = maker.invoice(n, created, status, step)
            event = maker.event(number, type, at, invoice)
            body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
            yield (at, number), Delivery(event["id"], body, invoice["id"], status, step)
            number += 1


def _steps(number: int) -> list[tuple[str, str]]:
    steps = [("invoice.created", "draft"), ("invoice.finalized", "open")][:number]
    if number > len(steps):
        steps += [("invoice.updated", "open")] * (number - 3) + [("invoice.paid", "paid")]
    return steps


def last_states(made: list[Delivery]) -> dict[str, tuple[str, int]]:
    """Invoice → the status and step that the mirror must have when all is applied."""
    return {delivery.invoice: (delivery.status, delivery.step) for delivery in made}


def sign(body: bytes, secret: str = SECRET) -> str:
    """A `Stripe-Signature` header for these bytes, of this moment."""
    stamp = int(time.time())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def last_objects(made: list[Delivery]) -> list[dict[str, Any]]:
    """The invoices as their last events tell them."""
    last = {delivery.invoice: delivery.body for delivery in made}
    return [json.loads(body)["data"]["object"] for body in last.values()]


def signed_request(path: str, body: bytes, secret: str = SECRET) -> bytes:
    """The whole HTTP request that delivers this body, signed now."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"User-Agent: Stripe/1.0\r\nStripe-Signature: {sign(body, secret)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
