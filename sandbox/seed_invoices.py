"""One planted invoice: the same members that the calls would have left, written down at once."""

import random
from typing import Any, NamedTuple

from sandbox import amounts, cards, refusals, shapes
from sandbox.ids import ids
from sandbox.store import HIDDEN, Obj, visible

DAY, HOUR = 86400, 3600
WORK = (
    "Consulting, two days", "Hosting", "Support plan", "Licences", "Design review", "Data export", "Training",
    "Translation", "Onboarding", "Extra seats", "Storage", "Audit", "Workshop", "Installation", "Travel",
)  # fmt: skip
PLANS = (("Starter", 900), ("Team", 2900), ("Business", 9900))


class Ground(NamedTuple):
    """What all planted invoices share."""

    rows: dict[str, list[Obj]]
    prices: dict[int, Obj]
    now: int
    dice: random.Random


class Planted:
    """An invoice on its way from draft to whatever it is to become; `rows` takes what it leaves behind."""

    def __init__(self, ground: Ground, customer: Obj, at: int):
        self.rows, self.prices, self.now, self.dice = ground
        self.customer, self.at = customer, at
        self.invoice = shapes.invoice(at, customer, customer["currency"], delivered=True)
        self.invoice[HIDDEN] = {}
        self.method: Obj | None = customer[HIDDEN].get("method")

    def items(self, count: int) -> None:
        lines = []
        for _ in range(count):
            unit = self.dice.randrange(500, 60_000, 100)
            quantity = self.dice.choice((1, 1, 1, 2, 3))
            item = shapes.invoiceitem(
                self.at,
                self.customer["id"],
                self.invoice["currency"],
                unit * quantity,
                description=self.dice.choice(WORK),
                invoice=self.invoice["id"],
                quantity=quantity,
                quantity_decimal=str(quantity),
                pricing=self.price_of(unit),
            )
            self.rows["invoiceitem"].append(item)
            lines.append(shapes.line(self.invoice["id"], item))
        self.fill(lines)

    def price_of(self, unit: int) -> Obj:
        """As shapes.price_details mints one, but the same for the same amount: ids are a good part of the work."""
        details = self.prices.get(unit)
        if details is None:
            details = self.prices[unit] = shapes.price_details(unit)
        return details

    def fill(self, lines: list[Obj]) -> None:
        amounts.set_lines(self.invoice, lines)
        amounts.total_up(self.invoice, 0)

    def subscription(self, subscription: Obj, reason: str) -> None:
        name = subscription[HIDDEN]["plan"]
        self.invoice.update(
            billing_reason=reason,
            parent=shapes.subscription_parent(subscription),
            rendering=None,
            period_start=self.at if reason == "subscription_create" else self.at - 30 * DAY,
        )
        item = subscription["items"]["data"][0]
        line = shapes.subscription_line(self.invoice["id"], subscription, item, name, (self.at, self.at + 30 * DAY))
        self.fill([line])

    def send(self, days: int) -> None:
        self.invoice.update(collection_method="send_invoice", due_date=self.at + days * DAY)

    def finalize(self) -> None:
        at = min(self.at + self.dice.randrange(60, 2 * HOUR), self.now - 60)
        self.finalized_at = at
        customer = self.customer
        self.invoice.update(
            status="open",
            number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
            effective_at=at,
            ending_balance=0,
            **shapes.hosted_urls(self.invoice),
        )
        customer["next_invoice_sequence"] += 1
        if self.invoice["rendering"]:
            self.invoice["rendering"]["pdf"]["page_size"] = "letter"
        self.invoice["status_transitions"]["finalized_at"] = at
        self.intent = shapes.payment_intent(
            at,
            self.invoice["amount_due"],
            self.invoice["currency"],
            customer["id"],
            capture_method="automatic",
            description="Payment for Invoice",
            payment_details={"customer_reference": None, "order_reference": self.invoice["id"]},
        )
        self.intent[HIDDEN] = {"invoice": self.invoice["id"]}
        payer = {"payment_intent": self.intent["id"], "type": "payment_intent"}
        self.payment = shapes.invoice_payment(at, self.invoice, payer, self.invoice["amount_due"], True)
        self.rows["payment_intent"].append(self.intent)
        self.rows["invoice_payment"].append(self.payment)

    def close(self, at: int) -> None:
        self.invoice.update(
            status="paid", auto_advance=False, amount_remaining=0, amount_paid=self.invoice["amount_due"]
        )
        self.invoice["status_transitions"]["paid_at"] = at

    def pay(self) -> None:
        method, at = self.method, min(self.finalized_at + self.dice.randrange(60, 3 * DAY), self.now - 30)
        charge = shapes.charge(at, self.intent, method, "succeeded")
        self.rows["charge"].append(charge)
        self.intent.update(
            status="succeeded",
            amount_received=self.intent["amount"],
            latest_charge=charge["id"],
            payment_method=method["id"] if method else None,
        )
        self.payment.update(status="paid", amount_paid=self.intent["amount"])
        self.payment["status_transitions"]["paid_at"] = at
        self.invoice.update(attempted=True, attempt_count=1)
        self.close(at)

    def decline(self) -> None:
        """As intents.fail would have left it."""
        method, at = self.method, min(self.finalized_at + HOUR, self.now - 30)
        assert method
        card = cards.of(method)
        outcome: dict[str, Any] = {"failure_code": card.code, "failure_message": card.message}
        charge = shapes.charge(at, self.intent, method, "failed", **outcome)
        self.rows["charge"].append(charge)
        error = {
            "advice_code": card.advice,
            "charge": charge["id"],
            "code": card.code,
            "decline_code": card.decline or "generic_decline",
            "doc_url": refusals.DOC_URL + card.code.replace("_", "-"),
            "message": card.message,
            "network_decline_code": card.network,
            "payment_method": visible(method),
            "type": "card_error",
        }
        self.intent.update(latest_charge=charge["id"], last_payment_error=error)
        self.invoice.update(attempted=True, attempt_count=1)

    def cancel_payment(self, at: int, reason: str) -> None:
        self.payment["status"] = "canceled"
        self.payment["status_transitions"]["canceled_at"] = at
        self.intent.update(status="canceled", canceled_at=at, cancellation_reason=reason)

    def out_of_band(self) -> None:
        at = min(self.finalized_at + 5 * DAY, self.now - 30)
        self.cancel_payment(at, "automatic")
        self.invoice[HIDDEN]["off_stripe"] = self.invoice["amount_due"]
        self.close(at)

    def record(self, amount: int) -> None:
        """Part of it came by bank transfer."""
        at = min(self.finalized_at + 2 * DAY, self.now - 30)
        record = payment_record(at, amount, self.invoice["currency"], self.customer)
        self.rows["payment_record"].append(record)
        payer = {"payment_record": record["id"], "type": "payment_record"}
        payment = shapes.invoice_payment(at, self.invoice, payer, amount, False)
        payment.update(status="paid", amount_paid=amount)
        payment["status_transitions"]["paid_at"] = at
        self.rows["invoice_payment"].append(payment)
        self.invoice["amount_paid"] += amount
        self.invoice["amount_remaining"] -= amount
        self.invoice[HIDDEN]["off_stripe"] = amount
        self.payment["amount_requested"] = self.intent["amount"] = self.invoice["amount_remaining"]

    def end(self, status: str, stamp: str) -> None:
        at = min(self.finalized_at + 10 * DAY, self.now - 20)
        self.invoice["status"] = status
        self.invoice["status_transitions"][stamp] = at
        if status == "void":
            self.cancel_payment(at, "void_invoice")


def payment_record(at: int, amount: int, currency: str, customer: Obj) -> Obj:
    value, zero = {"currency": currency, "value": amount}, {"currency": currency, "value": 0}
    return {
        "id": ids.new("payment_record"),
        "object": "payment_record",
        "amount": value,
        "amount_authorized": zero,
        "amount_canceled": zero,
        "amount_failed": zero,
        "amount_guaranteed": value,
        "amount_refunded": zero,
        "amount_requested": value,
        "application": None,
        "created": at,
        "customer_details": {"customer": customer["id"], "email": customer["email"], "name": None, "phone": None},
        "customer_presence": None,
        "description": "Bank transfer",
        "latest_payment_attempt_record": ids.new("payment_attempt_record"),
        "livemode": False,
        "metadata": {},
        "payment_method_details": {
            "billing_details": None,
            "custom": {"display_name": "Bank transfer", "type": None},
            "payment_method": None,
            "type": "custom",
        },
        "processor_details": {"custom": {"payment_reference": "TRANSFER-" + ids.new("charge")[5:13]}, "type": "custom"},
        "reported_by": "self",
        "shipping_details": None,
    }
