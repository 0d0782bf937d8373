"""One planted invoice, with the members that the same API calls would have left on it."""

import random
from typing import NamedTuple

from sandbox import amounts, cards, refusals, shapes
from sandbox.ids import ids
from sandbox.store import HIDDEN, StripeObject, visible

DAY_SECONDS, HOUR_SECONDS = 86400, 3600
DESCRIPTIONS = (
    "Consulting, two days", "Hosting", "Support plan", "Licences", "Design review", "Data export", "Training",
    "Translation", "Onboarding", "Extra seats", "Storage", "Audit", "Workshop", "Installation", "Travel",
)  # fmt: skip
PLANS = (("Starter", 900), ("Team", 2900), ("Business", 9900))  # name, minor units a month


class SharedState(NamedTuple):
    """What all planted invoices of a run share."""

    rows: dict[str, list[StripeObject]]
    prices: dict[int, StripeObject]  # unit amount → its price details
    now: int
    dice: random.Random


class PlantedInvoice:
    """An invoice on its way from draft to its last status. `rows` collects the objects that it leaves, by kind."""

    def __init__(self, shared: SharedState, customer: StripeObject, at: int):
        """A draft of this customer, created `at` (Unix seconds)."""
        self.rows, self.prices, self.now, self.dice = shared
        self.customer, self.at = customer, at
        self.invoice = shapes.invoice(at, customer, customer["currency"], delivered=True)
        self.invoice[HIDDEN] = {}
        self.method: StripeObject | None = customer[HIDDEN].get("method")

    def add_items(self, count: int) -> None:
        lines = []
        for _ in range(count):
            unit = self.dice.randrange(500, 60_000, 100)
            quantity = self.dice.choice((1, 1, 1, 2, 3))
            item = shapes.invoiceitem(
                self.at,
                self.customer["id"],
                self.invoice["currency"],
                unit * quantity,
                description=self.dice.choice(DESCRIPTIONS),
                invoice=self.invoice["id"],
                quantity=quantity,
                quantity_decimal=str(quantity),
                pricing=self.price_of(unit),
            )
            self.rows["invoiceitem"].append(item)
            lines.append(shapes.line(self.invoice["id"], item))
        self.set_lines_and_totals(lines)

    def price_of(self, unit: int) -> StripeObject:
        """One price for each amount: making a new id for every item would slow planting down."""
        details = self.prices.get(unit)
        if details is None:
            details = self.prices[unit] = shapes.price_details(unit)
        return details

    def set_lines_and_totals(self, lines: list[StripeObject]) -> None:
        amounts.set_lines(self.invoice, lines)
        amounts.set_totals(self.invoice, 0)

    def bill_subscription(self, subscription: StripeObject, reason: str) -> None:
        """Make this the invoice of one month. `reason` is the billing_reason."""
        name = subscription[HIDDEN]["plan"]
        self.invoice.update(
            billing_reason=reason,
            parent=shapes.subscription_parent(subscription),
            rendering=None,
            period_start=self.at if reason == "subscription_create" else self.at - 30 * DAY_SECONDS,
        )
        item = subscription["items"]["data"][0]
        line = shapes.subscription_line(
            self.invoice["id"], subscription, item, name, (self.at, self.at + 30 * DAY_SECONDS)
        )
        self.set_lines_and_totals([line])

    def set_due_in(self, days: int) -> None:
        """Collect by send_invoice, due so many days after creation."""
        self.invoice.update(collection_method="send_invoice", due_date=self.at + days * DAY_SECONDS)

    def finalize(self) -> None:
        at = min(self.at + self.dice.randrange(60, 2 * HOUR_SECONDS), self.now - 60)
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

    def close_as_paid(self, at: int) -> None:
        self.invoice.update(
            status="paid", auto_advance=False, amount_remaining=0, amount_paid=self.invoice["amount_due"]
        )
        self.invoice["status_transitions"]["paid_at"] = at

    def pay(self) -> None:
        method, at = self.method, min(self.finalized_at + self.dice.randrange(60, 3 * DAY_SECONDS), self.now - 30)
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
        self.close_as_paid(at)

    def decline(self) -> None:
        """A declined charge, as payment_attempts.fail would have left it."""
        method, at = self.method, min(self.finalized_at + HOUR_SECONDS, self.now - 30)
        assert method
        card = cards.card_of(method)
        decline = card.decline or "generic_decline"
        outcome = shapes.declined_outcome(decline, card.advice, card.network)
        failed = {"failure_code": card.code, "failure_message": card.message, "outcome": outcome}
        charge = shapes.charge(at, self.intent, method, "failed", **failed)
        self.rows["charge"].append(charge)
        error = {
            "advice_code": card.advice,
            "charge": charge["id"],
            "code": card.code,
            "decline_code": decline,
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

    def pay_out_of_band(self) -> None:
        at = min(self.finalized_at + 5 * DAY_SECONDS, self.now - 30)
        self.cancel_payment(at, "automatic")
        self.invoice[HIDDEN]["off_stripe"] = self.invoice["amount_due"]
        self.close_as_paid(at)

    def pay_part(self, amount: int) -> None:
        """Part of the amount was paid by bank transfer."""
        at = min(self.finalized_at + 2 * DAY_SECONDS, self.now - 30)
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

    def end(self, status: str, transition: str) -> None:
        """Set void or uncollectible; `transition` is the member of status_transitions."""
        at = min(self.finalized_at + 10 * DAY_SECONDS, self.now - 20)
        self.invoice["status"] = status
        self.invoice["status_transitions"][transition] = at
        if status == "void":
            self.cancel_payment(at, "void_invoice")

    def refund(self, amount: int) -> StripeObject:
        """So many minor units of what was paid went back to the card."""
        charge = self.rows["charge"][-1]
        at = min(charge["created"] + self.dice.randrange(DAY_SECONDS, 5 * DAY_SECONDS), self.now - 20)
        made = shapes.refund(at, charge, amount, "requested_by_customer", "succeeded")
        charge.update(amount_refunded=amount, refunded=amount == charge["amount"])
        self.rows["refund"].append(made)
        return made

    def credit(self, line: StripeObject, refunds: bool) -> None:
        """A credit note over this line of the invoice. What it credits was paid, and is refunded; or it is not to be
        paid any more."""
        amount = line["amount"]
        at = min(self.finalized_at + self.dice.randrange(4 * DAY_SECONDS, 8 * DAY_SECONDS), self.now - 10)
        credited = shapes.credit_note_line("invoice_line_item", amount, line["description"], quantity=line["quantity"])
        credited["invoice_line_item"] = line["id"]
        note = shapes.credit_note(at, self.invoice, [credited], 0 if refunds else amount, 1)
        note["reason"] = "order_change"
        self.rows["credit_note"].append(note)
        if refunds:
            made = self.refund(amount)
            note["refunds"] = [shapes.refund_of_credit_note(made)]
            note["created"] = note["effective_at"] = made["created"]
            self.invoice["post_payment_credit_notes_amount"] = amount
            return
        self.invoice["pre_payment_credit_notes_amount"] = amount
        self.invoice["amount_due"] -= amount
        self.invoice["amount_remaining"] -= amount
        self.payment["amount_requested"] = self.intent["amount"] = self.invoice["amount_remaining"]


def payment_record(at: int, amount: int, currency: str, customer: StripeObject) -> StripeObject:
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
