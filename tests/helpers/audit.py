"""An auditor: makes a year of invoices at Stripe, reads its API with the official SDK, and computes each report anew.

Nothing here uses the desk. Days are found the other way round than in the reports: by the date of each moment in the
time zone, instead of by the moments between which a period lies. What was open and what was given up is what the API
said then.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import stripe

from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati")
CURRENCIES = {"usd": 1000, "eur": 1000, "jpy": 1000, "bhd": 10000}  # and a unit that is above any least charge
FIRST, LAST = date(2026, 2, 20), date(2026, 11, 15)
CLOCKS_MOVE = (date(2026, 3, 8), date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1))
WRITTEN_OFF = ("uncollectible", "forgiven")
CARDS, DEBITS = ("card",), ("us_bank_account",)
Row = tuple[str, str, int]  # group, currency and minor units


def boundaries() -> list[int]:
    """Seconds on both sides of midnight, and at it, around months' ends and the days on which clocks are moved."""
    days = {date(2026, month, 1) for month in range(3, 12)} | {
        day + timedelta(days=d) for day in CLOCKS_MOVE for d in (0, 1)
    }
    found = set()
    for zone in ZONES:
        for day in days:
            midnight = int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp())
            found |= {midnight + shift for shift in (-1800, -1, 0, 1, 1800)}
    return sorted(found)


class Books:
    """Plays the year. `open_at`: what the API said of open invoices at these moments; `given_up`: by invoice and deed,
    when, and what remained just before."""

    def __init__(self, sandbox: SandboxProcess, *, invoices: int, seed: int, ends: list[tuple[date, str]]) -> None:
        self.sandbox, self.shop, self.random = sandbox, Shop(sandbox), random.Random(seed)
        self.v1 = self.shop.v1
        self.ids: dict[int, str] = {}
        self.given_up: dict[tuple[str, str], tuple[int, int]] = {}
        self.open_at: dict[tuple[date, str], list[Any]] = {}
        self.refused: dict[str, int] = defaultdict(int)
        self.done: dict[str, int] = defaultdict(int)
        self._pool = boundaries()
        sandbox.clock(now=_noon(FIRST) - 86400, freeze=True)
        self._customers = [self.shop.customer("pm_card_visa", name=f"Customer {n}") for n in range(4)]
        self._notes: dict[int, list[str]] = defaultdict(list)
        steps = sorted((step for n in range(invoices) for step in self._plan(n)), key=lambda step: step[0])
        asked = sorted((midnight_after(day, zone), day, zone) for day, zone in ends)
        for moment, what, name in steps:
            while asked and asked[0][0] <= moment:
                self._look(*asked.pop(0))
            self._do(moment, what, name)
        for each in asked:
            self._look(*each)

    def _look(self, end: int, day: date, zone: str) -> None:
        self.sandbox.clock(now=end - 1, freeze=True)  # what the sandbox does by itself until then
        self.open_at[day, zone] = list(self._all("invoices", status="open"))

    # --- the story ----------------------------------------------------------------------------------------------------

    def _do(self, moment: int, what: Callable[[], Any], name: str) -> None:
        if self.sandbox.clock()["now"] < moment:
            self.sandbox.clock(now=moment, freeze=True)
        try:
            what()
        except (stripe.StripeError, KeyError) as error:
            self.refused[f"{name}: {error}"[:150]] += 1
        else:
            self.done[name] += 1

    def _moment(self) -> int:
        if self.random.random() < 0.75:
            return self.random.choice(self._pool)
        span = (LAST - FIRST).days * 86400
        return _noon(FIRST) + self.random.randrange(span)

    def _plan(self, n: int) -> Iterator[tuple[int, Callable[[], Any], str]]:
        pick = self.random
        currency = pick.choice(list(CURRENCIES))
        step = 40 if currency == "bhd" else 4  # so that Stripe takes a quarter of it too
        amount = CURRENCIES[currency] * pick.randint(4, 40) + pick.randint(0, 99) * step
        kind = pick.choices(("usual", "zero", "negative", "draft", "deleted"), (90, 3, 4, 4, 2))[0]
        moments = sorted({self._moment() for _ in range(6)})
        # A balance has one currency at Stripe, so each currency has a customer of its own.
        customer = self._customers[list(CURRENCIES).index(currency)]
        begun = moments[0]

        def create() -> None:
            terms: dict[str, Any] = {"collection_method": "charge_automatically"}
            if n % 2:
                terms = {"collection_method": "send_invoice", "days_until_due": pick.choice((1, 7, 30, 100))}
            given = {"zero": 0, "negative": -amount // 5}.get(kind, amount)
            self.ids[n] = self.shop.draft(given, customer, currency=currency, auto_advance=False, **terms).id

        yield begun - 7200, create, "create"
        if kind == "draft":
            return
        if kind == "deleted":
            yield begun, lambda: self.v1.invoices.delete(self.ids[n]), "delete"
            return
        yield begun, lambda: self.v1.invoices.finalize_invoice(self.ids[n]), "finalize"
        part = amount // 4
        for at in moments[1:]:
            name = pick.choices(
                ("pay", "debit", "declined", "outside", "record", "too much", "charge part", "credit", "void credit",
                 "refund", "void", "uncollectible", "nothing"),
                (14, 8, 8, 6, 14, 3, 8, 12, 5, 6, 7, 7, 8),
            )[0]  # fmt: skip
            deed = getattr(self, "_" + name.replace(" ", "_"))
            yield at, (partial(deed, n, part, currency)), name
            if name == "debit":
                outcome = pick.choice(("succeeded", "succeeded", "insufficient_funds"))
                yield at + pick.choice((1, 86400, 5 * 86400)), (partial(self._settle, n, outcome)), "settle"

    def _nothing(self, n: int, part: int, currency: str) -> None:
        pass

    def _pay(self, n: int, part: int, currency: str) -> None:
        self.v1.invoices.pay(self.ids[n], {"payment_method": "pm_card_visa"})

    def _debit(self, n: int, part: int, currency: str) -> None:
        self.v1.invoices.pay(self.ids[n], {"payment_method": "pm_usBankAccount_processing"})

    def _settle(self, n: int, outcome: str) -> None:
        for payment in self.v1.invoice_payments.list({"invoice": self.ids[n], "limit": 100}).data:
            intent = payment.payment.type == "payment_intent" and payment.payment.payment_intent
            if intent and self.v1.payment_intents.retrieve(intent).status == "processing":
                self.shop.settle(intent, outcome)

    def _declined(self, n: int, part: int, currency: str) -> None:
        card = self.random.choice(("pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"))
        self.v1.invoices.pay(self.ids[n], {"payment_method": card})

    def _outside(self, n: int, part: int, currency: str) -> None:
        self.v1.invoices.pay(self.ids[n], {"paid_out_of_band": True})

    def _record(self, n: int, part: int, currency: str) -> None:
        made = self.shop.record(part, currency)
        self.v1.invoices.attach_payment(self.ids[n], {"payment_record": made.id})

    def _too_much(self, n: int, part: int, currency: str) -> None:
        made = self.shop.record(part * 5, currency)
        self.v1.invoices.attach_payment(self.ids[n], {"payment_record": made.id})

    def _charge_part(self, n: int, part: int, currency: str) -> None:
        customer = self.v1.invoices.retrieve(self.ids[n]).customer
        intent = self.v1.payment_intents.create(
            {"amount": part, "currency": currency, "customer": customer, "payment_method": "pm_card_visa"}
        )
        self.v1.invoices.attach_payment(self.ids[n], {"payment_intent": intent.id})
        self.v1.payment_intents.confirm(intent.id)

    def _credit(self, n: int, part: int, currency: str) -> None:
        invoice = self.v1.invoices.retrieve(self.ids[n])
        amount = part if self.random.random() < 0.8 else invoice.amount_remaining or part
        after = max(amount - invoice.amount_remaining, 0)
        way = self.random.choice(("refund_amount", "credit_amount", "out_of_band_amount"))
        self._notes[n].append(
            self.v1.credit_notes.create({"invoice": invoice.id, "amount": amount, **({way: after} if after else {})}).id
        )

    def _void_credit(self, n: int, part: int, currency: str) -> None:
        for note in self._notes[n][-1:]:
            self.v1.credit_notes.void_credit_note(note)

    def _refund(self, n: int, part: int, currency: str) -> None:
        for payment in self.v1.invoice_payments.list({"invoice": self.ids[n], "status": "paid"}).data[:1]:
            if payment.payment.type == "payment_intent":
                self.v1.refunds.create({"payment_intent": payment.payment.payment_intent, "amount": part // 3})

    def _void(self, n: int, part: int, currency: str) -> None:
        before = self.v1.invoices.retrieve(self.ids[n])
        made = self.v1.invoices.void_invoice(self.ids[n])
        what = "void-after" if made.status_transitions.marked_uncollectible_at else "void"
        self.given_up[made.id, what] = (made.status_transitions.voided_at, before.amount_remaining)

    def _uncollectible(self, n: int, part: int, currency: str) -> None:
        before = self.v1.invoices.retrieve(self.ids[n])
        made = self.v1.invoices.mark_uncollectible(self.ids[n])
        moment = made.status_transitions.marked_uncollectible_at
        self.given_up[made.id, "uncollectible"] = (moment, before.amount_remaining)

    # --- what the API says --------------------------------------------------------------------------------------------

    def _all(self, what: str, **given: Any) -> Iterator[Any]:
        yield from getattr(self.v1, what).list({"limit": 100, **given}).auto_paging_iter()

    def read(self) -> None:
        """Everything, once, as it is at the end."""
        self.invoices = {each.id: each for each in self._all("invoices")}
        self.payments = list(self._all("invoice_payments"))
        self.intents = {each.id: each for each in self._all("payment_intents")}
        self.charges = {each.id: each for each in self._all("charges")}
        self.notes = list(self._all("credit_notes"))

    # --- each report, anew: invoice or other id, group, currency and minor units --------------------------------------

    def payments_received(self, within: Within) -> dict[str, Row]:
        found: dict[str, Row] = {}
        through: dict[str, int] = defaultdict(int)
        for each in self.payments:
            if each.status != "paid":
                continue
            through[each.invoice] += each.amount_paid
            if within(each.status_transitions.paid_at):
                found[each.id] = (self._way(each), each.currency, each.amount_paid)
        for each in self.invoices.values():
            rest = each.amount_paid - through[each.id]
            if each.status == "paid" and rest > 0 and within(each.status_transitions.paid_at):
                found[each.id] = ("marked", each.currency, rest)
        return found

    def _way(self, payment: Any) -> str:
        if payment.payment.type == "payment_record":
            return "outside"
        charge = self.charges[self.intents[payment.payment.payment_intent].latest_charge]
        kind = charge.payment_method_details.type
        return "card" if kind in CARDS else "bank-debit" if kind in DEBITS else "other"

    def issued(self, within: Within) -> dict[str, Row]:
        return {
            each.id: (each.status, each.currency, each.total)
            for each in self.invoices.values()
            if within(each.status_transitions.finalized_at)
        }

    def write_offs(self, within: Within) -> dict[str, Row]:
        found = {}
        for (invoice, what), (moment, remained) in self.given_up.items():
            if within(moment):
                row = what.removesuffix("-after")
                found[f"{invoice} {row}"] = (what, self.invoices[invoice].currency, remained)
        return found

    def receivables(self, day: date, zone: str) -> dict[str, Row]:
        """As the API said it then."""
        return {
            each.id: (age(each.due_date, day, zone), each.currency, each.amount_remaining)
            for each in self.open_at[day, zone]
        }

    def attempts(self, within: Within) -> dict[str, Row]:
        found = {}
        for each in self.charges.values():
            if within(each.created) and each.status in ("succeeded", "failed"):
                group = "succeeded"
                if each.status == "failed":
                    group = f"declined.{(each.outcome and each.outcome.reason) or each.failure_code}"
                found[each.id] = (group, each.currency, each.amount)
        return found

    # --- what else changes receivables --------------------------------------------------------------------------------

    def beside(self, within: Within) -> dict[str, dict[str, int]]:
        """Term → currency → minor units, of these days: what no report of received, issued and given up has."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for note in self.notes:
            lost = self._lost_at(note.invoice)
            if within(note.created) and note.created < lost:
                found["credited"][note.currency] += note.pre_payment_amount
            if note.voided_at and within(note.voided_at) and note.voided_at < lost:
                found["credited"][note.currency] -= note.pre_payment_amount
        for each in self.invoices.values():
            if within(each.status_transitions.finalized_at):
                due = max(each.total + each.starting_balance, 0)
                found["balance"][each.currency] += due - each.total
            if each.amount_overpaid:
                last = max(one.status_transitions.paid_at for one in self.payments
                           if one.invoice == each.id and one.status == "paid")  # fmt: skip
                if within(last):
                    found["overpaid"][each.currency] += each.amount_overpaid
        for key, (_group, currency, amount) in self.payments_received(within).items():
            payment = next((one for one in self.payments if one.id == key), None)
            invoice = self.invoices[payment.invoice if payment else key]
            moment = (payment or invoice).status_transitions.paid_at
            if moment >= self._lost_at(invoice.id):
                over = invoice.amount_overpaid if payment and moment == invoice.status_transitions.paid_at else 0
                found["recovered"][currency] += amount - over
        return found

    def _lost_at(self, invoice: str) -> float:
        moment, _remained = self.given_up.get((invoice, "uncollectible"), (float("inf"), 0))
        return moment


class Within:
    """Whether a moment lies in these days of this time zone."""

    def __init__(self, first: date, last: date, zone: str) -> None:
        self.first, self.last, self.zone = first, last, ZoneInfo(zone)

    def __call__(self, moment: int | None) -> bool:
        if moment is None:
            return False
        return self.first <= datetime.fromtimestamp(moment, UTC).astimezone(self.zone).date() <= self.last


def age(due: int | None, day: date, zone: str) -> str:
    if due is None:
        return "no-due-date"
    late = (day - datetime.fromtimestamp(due, UTC).astimezone(ZoneInfo(zone)).date()).days
    for name, least in (("over-90", 91), ("31-90", 31), ("8-30", 8), ("1-7", 1)):
        if late >= least:
            return name
    return "not-due"


def sums(rows: dict[str, Row]) -> dict[tuple[str, str], tuple[int, int]]:
    """Group and currency → number and minor units."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for group, currency, amount in rows.values():
        found[group, currency][0] += 1
        found[group, currency][1] += amount
    return {key: (number, amount) for key, (number, amount) in found.items()}


def midnight_after(day: date, zone: str) -> int:
    return int(datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).timestamp())


def _noon(day: date) -> int:
    return int(datetime.combine(day, time(12), UTC).timestamp())
