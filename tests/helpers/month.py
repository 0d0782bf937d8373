"""An autumn at Stripe for reports: every way to be paid, given up and credited, each at a known second, and what
Stripe's API said at the end of days.

Its sums are made of the API's objects alone, over HTTP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from invoices.models import Invoice, InvoicePayment
from tests.factories import InvoiceObject, InvoicePaymentObject, stored
from tests.sandbox.books import everything
from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess

Sums = dict[str, int]  # currency in small letters → minor units


def at(month: int, day: int, hour: int = 12, minute: int = 0) -> int:
    """Seconds since 1970 of a moment of 2026, UTC."""
    return int(datetime(2026, month, day, hour, minute, tzinfo=UTC).timestamp())


class Autumn:
    """Plays the story. `open_at[moment]`: invoice id → (currency, what remained) of the invoices open then."""

    def __init__(self, sandbox: SandboxProcess, moments: list[int]) -> None:
        self.sandbox, self.shop = sandbox, Shop(sandbox)
        self.ids: dict[str, str] = {}
        self.open_at: dict[int, dict[str, tuple[str, int]]] = {}
        steps = sorted(self._steps(), key=lambda step: step[0])
        for moment in sorted(moments):
            while steps and steps[0][0] < moment:
                self._do(*steps.pop(0))
            self.open_at[moment] = self._open_now()
        for step in steps:
            self._do(*step)

    def _do(self, moment: int, what: Callable[[], Any]) -> None:
        self.sandbox.clock(now=moment, freeze=True)
        what()

    def _steps(self) -> list[tuple[int, Callable[[], Any]]]:
        v1 = self.shop.v1
        of = self.ids.__getitem__

        def issue(name: str, amount: int, currency: str = "usd", **given: Any) -> Callable[[], Any]:
            def make() -> None:
                customer = self.shop.customer("pm_card_visa", email=f"{name.lower()}@example.com", name=name)
                self.ids[name] = self.shop.open(amount, customer, currency=currency, **given).id

            return make

        def pay(name: str, **given: Any) -> Callable[[], Any]:
            return lambda: v1.invoices.pay(of(name), given)

        def record(name: str, amount: int, currency: str) -> Callable[[], Any]:
            def attach() -> None:
                made = self.shop.record(amount, currency)
                v1.invoices.attach_payment(of(name), {"payment_record": made.id})

            return attach

        def credit(name: str, amount: int) -> Callable[[], Any]:
            def make() -> None:
                self.ids[f"{name} credit"] = v1.credit_notes.create({"invoice": of(name), "amount": amount}).id

            return make

        def settle_debit() -> None:
            self.shop.settle(self.shop.intent_of(of("Debit")).id, "succeeded")

        def declined() -> None:
            self.shop.post(f"/v1/invoices/{of('Kept')}/pay", {"payment_method": "pm_card_visa_chargeDeclined"})

        send = {"collection_method": "send_invoice"}
        return [
            (at(9, 28), issue("Card", 1000)),
            (at(9, 28, 12, 1), issue("Part", 5000, "eur", days_until_due=10, **send)),
            (at(9, 28, 12, 2), issue("Late", 500, "jpy")),
            (at(9, 28, 12, 3), issue("Back", 12340, "kwd")),
            (at(9, 28, 12, 4), issue("Void", 700)),
            (at(9, 28, 12, 5), issue("Less", 900, days_until_due=30, **send)),
            (at(9, 28, 12, 6), issue("Credited", 800)),
            (at(9, 28, 12, 7), issue("Marked", 400, "eur")),
            (at(9, 28, 12, 8), issue("Debit", 600)),
            (at(9, 28, 12, 9), issue("Much", 1000, "eur")),
            (at(9, 28, 12, 10), issue("Bad", 250)),
            (at(9, 28, 12, 11), issue("Kept", 1200, days_until_due=1, **send)),
            (at(10, 5), pay("Card")),
            (at(10, 6), declined),
            (at(10, 8), pay("Debit", payment_method="pm_usBankAccount")),
            (at(10, 9), credit("Kept", 200)),
            (at(10, 10), lambda: v1.invoices.void_invoice(of("Void"))),
            (at(10, 12), settle_debit),
            (at(10, 12, 13), pay("Marked", paid_out_of_band=True)),
            (at(10, 15), lambda: v1.invoices.mark_uncollectible(of("Back"))),
            (at(10, 20), record("Part", 2000, "eur")),
            (at(10, 31, 22, 30), issue("Evening", 333)),
            (at(10, 31, 23, 30), pay("Late")),
            (at(10, 31, 23, 40), issue("Night", 444)),
            (at(11, 2), lambda: v1.invoices.mark_uncollectible(of("Bad"))),
            (at(11, 3), credit("Less", 300)),
            (at(11, 4), credit("Credited", 800)),
            (at(11, 5), pay("Back", paid_out_of_band=True)),
            (at(11, 6), record("Much", 1500, "eur")),
            (at(11, 7), lambda: v1.credit_notes.void_credit_note(of("Kept credit"))),
            (at(11, 9), record("Part", 3000, "eur")),
        ]

    def _open_now(self) -> dict[str, tuple[str, int]]:
        found = everything(self.shop, "/v1/invoices", status="open")
        return {each["id"]: (each["currency"], each["amount_remaining"]) for each in found}

    # --- sums of the API's objects ------------------------------------------------------------------------------------

    def received(self, begin: int, end: int) -> Sums:
        """What was paid from `begin` until before `end`."""
        sums: Sums = defaultdict(int)
        through: Sums = defaultdict(int)  # by invoice
        for payment in everything(self.shop, "/v1/invoice_payments"):
            if payment["status"] == "paid":
                through[payment["invoice"]] += payment["amount_paid"]
                if begin <= payment["status_transitions"]["paid_at"] < end:
                    sums[payment["currency"]] += payment["amount_paid"]
        for invoice in everything(self.shop, "/v1/invoices", status="paid"):
            rest = invoice["amount_paid"] - through[invoice["id"]]
            if rest > 0 and begin <= invoice["status_transitions"]["paid_at"] < end:
                sums[invoice["currency"]] += rest
        return dict(sums)

    def issued(self, begin: int, end: int) -> Sums:
        sums: Sums = defaultdict(int)
        for invoice in everything(self.shop, "/v1/invoices"):
            finalized = invoice["status_transitions"]["finalized_at"]
            if finalized is not None and begin <= finalized < end:
                sums[invoice["currency"]] += invoice["total"]
        return dict(sums)

    def remaining_at(self, moment: int) -> Sums:
        sums: Sums = defaultdict(int)
        for currency, remaining in self.open_at[moment].values():
            sums[currency] += remaining
        return dict(sums)


def day(written: str) -> date:
    return date.fromisoformat(written)


# --- single objects of the mirror, with the moments that are given ---------------------------------------------------


def invoice(status: str = "open", *, created: int = at(9, 1), amount: int = 1000, **given: Any) -> Invoice:
    moments = {name: given.pop(name, None) for name in ("paid_at", "voided_at", "marked_uncollectible_at")}
    moments["finalized_at"] = given.pop("finalized_at", created)
    paid = given.pop("amount_paid", amount if status == "paid" else 0)
    remaining = given.pop("amount_remaining", 0 if status == "paid" else amount - paid)
    made: Invoice = stored(
        InvoiceObject(
            status=status,
            created=created,
            amount_due=amount,
            total=amount,
            amount_paid=paid,
            amount_remaining=remaining,
            status_transitions=moments,
            **given,
        )
    )
    return made


def payment(of: Invoice, amount: int, paid_at: int | None) -> InvoicePayment:
    made: InvoicePayment = stored(
        InvoicePaymentObject(
            invoice=of.pk,
            status="paid",
            created=at(9, 2),
            amount_requested=amount,
            amount_paid=amount,
            status_transitions={"paid_at": paid_at, "canceled_at": None},
        )
    )
    return made
