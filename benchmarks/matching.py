"""Which invoices are proposed for bank credits: how many proposals are right, wrong or missing, by kind of credit.

    python -m benchmarks.matching [--seeds 20] [--invoices 1500] [--show 0]

Every seed makes customers, invoices, and the credits of two months, of which it knows what they pay. The first month is
proposed with an empty memory of payers. Then a person confirms the truth, and the second month is proposed with what
was learnt. A proposal is right if its invoices and amounts are the truth; where a credit pays nothing, right is that
nothing is proposed. `--show`: prints so many of the wrong ones. It ends with 1 if one of them has high confidence.

The writers, the numbers and the mistakes differ from seed to seed, and the odd seeds have spellings and numbering
schemes that the even ones do not have: rules were made with the even ones in view.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from benchmarks.setting import database

FIRST_DAY = date(2026, 9, 1)
LINE = 27  # characters of a line of MT940
FAMILIES = """Adler Baum Carlsen Dorn Ebert Falk Gruber Hauser Iversen Jansen Keller Lorenz Maurer Nilsen Otto Peters
    Quandt Reuter Sommer Thoma Ulrich Vogel Weber Xander Young Zeller Müller Mueller Miller Schmidt Schmitt Meier Meyer
    Huber Hubert Novak Novotny Rossi Russo Martin Martins""".split()
GIVEN = "Anna Bruno Clara David Emma Felix Greta Hugo Ida Jonas Karla Leo Mia Nils Olga Paul Rosa Sven Tina Udo".split()
TRADES = "Metallbau Software Logistik Design Catering Print Energie Consulting Medien Optik Dental Solar".split()
FORMS = "GmbH AG Ltd Inc KG BV Srl SAS UG Oy".split()
SERVICES = (
    "PayPal Europe S.a.r.l. et Cie S.C.A",
    "STRIPE PAYMENTS EUROPE LTD",
    "Klarna Bank AB",
    "Stichting Mollie Payments",
    "SumUp Payments Limited",
    "Wise Payments Limited",
)
STRANGERS = (
    ("Finanzamt Musterstadt", "STEUERNR {number} UST ERSTATTUNG {day}"),
    ("Stadtwerke Beispiel", "GUTSCHRIFT ABSCHLAG KD-NR {number}"),
    ("Example Insurance plc", "Policy {number} refund"),
    ("Muster Bank AG", "ZINSEN {day}"),
    ("Office Supplies Ltd", "credit note {number} returned goods"),
    ("", "BARGELDEINZAHLUNG {day} {number}"),
)


@dataclass
class Customer:
    id: str
    name: str
    account: str  # from which they pay; empty: their bank tells none
    parent: str = ""  # whose name stands on the transfer instead


@dataclass
class Bill:
    id: str
    number: str
    customer: Customer
    currency: str
    amount: int  # minor units
    month: int
    status: str = "open"

    def __post_init__(self) -> None:
        self.left = self.amount


@dataclass
class Case:
    """A credit, what it pays in truth (minor units by invoice), and what kind of case it is."""

    kind: str
    credit: Any  # invoices.statements.matching.Credit
    pays: dict[str, int] = field(default_factory=dict)


Spelling = Callable[[str, random.Random], str]


def _dividers_gone(number: str, chance: random.Random) -> str:
    return number.replace("-", chance.choice(["", " ", "/", ".", "_"]))


def _blanks_inside(number: str, chance: random.Random) -> str:
    return number if len(number) < 9 else f"{number[:5]} {number[5:]}"


SPELLINGS: Sequence[Spelling] = (
    lambda number, chance: number,
    lambda number, chance: number.lower(),
    _dividers_gone,
    lambda number, chance: f"RE-Nr. {number}",
    lambda number, chance: f"Rechnung {number} vom {chance.randint(1, 28):02}.09.2026",
    lambda number, chance: f"Invoice no.{number}",
    lambda number, chance: f"RG{number} Kunde {chance.randint(10000, 99999)}",
    lambda number, chance: f"{number} / vielen Dank",
)
OTHER_SPELLINGS: Sequence[Spelling] = (
    lambda number, chance: f"Facture {number} du {chance.randint(1, 28):02}/09/26",
    lambda number, chance: f"Betr.: {_dividers_gone(number, chance)}, Danke",
    lambda number, chance: f"SVWZ+{number} EREF+NOTPROVIDED",
    lambda number, chance: f"payment for inv {number.lower()} - thx",
    _blanks_inside,
    lambda number, chance: f"FT.{number} DEL {chance.randint(1, 28):02}/09/2026",
    lambda number, chance: f"({number}) ACCT {chance.randint(10**7, 10**8)}",
)


def _mistaken(number: str, chance: random.Random) -> str:
    """One mistake of a person who types: two characters changed places, one missing, doubled or another."""
    places = [place for place in range(len(number)) if number[place].isdigit()]
    place = chance.choice(places)
    kinds = [
        lambda: number[:place] + number[place + 1 :],
        lambda: number[:place] + number[place] + number[place:],
        lambda: number[:place] + str((int(number[place]) + chance.randint(1, 9)) % 10) + number[place + 1 :],
    ]
    if "0" in number:
        kinds.append(lambda: number.replace("0", "O", 1))
    if place + 1 < len(number) and number[place + 1].isdigit() and number[place + 1] != number[place]:
        kinds.append(lambda: number[:place] + number[place + 1] + number[place] + number[place + 2 :])
    return chance.choice(kinds)()


class World:
    """Customers, their invoices and the credits of two months."""

    def __init__(self, seed: int, invoices: int) -> None:
        self.chance = random.Random(seed)
        self.other = bool(seed % 2)
        self.scheme = self.chance.choice(
            ["stripe", "year", "prefix"] if not self.other else ["plain", "month", "stripe"]
        )
        self.spellings = SPELLINGS if not self.other else (*SPELLINGS[:3], *OTHER_SPELLINGS)
        self.customers = self._customers(max(20, invoices // 6))
        self.prices = [
            self.chance.randrange(900, 90_000, 50) for _ in range(40)
        ]  # of which many invoices have the same
        self.bills: list[Bill] = []
        self.serial = self.chance.randint(100, 900)
        for count in range(invoices):
            self._bill(0 if count % 2 else 1)
        self.by_customer: dict[str, list[Bill]] = defaultdict(list)
        for bill in self.bills:
            self.by_customer[bill.customer.id].append(bill)
        self.used: set[str] = set()
        self.counter = 0

    def _customers(self, count: int) -> list[Customer]:
        made = []
        for serial in range(count):
            family = self.chance.choice(FAMILIES)
            if self.chance.random() < 0.6:
                name = f"{family} {self.chance.choice(TRADES)} {self.chance.choice(FORMS)}"
            else:
                name = f"{self.chance.choice(GIVEN)} {family}"
            account = f"DE{serial:020}" if self.chance.random() < 0.8 else ""
            parent = f"{family} Holding AG" if self.chance.random() < 0.05 else ""
            made.append(Customer(f"cus_{serial:05}", name, account, parent))
        return made

    def _bill(self, month: int) -> None:
        self.serial += self.chance.randint(1, 3) if self.scheme != "stripe" else 1
        customer = self.chance.choice(self.customers)
        serial = self.serial
        if self.scheme == "stripe":
            word = "".join(random.Random(customer.id).choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=8))
            number = f"{word}-{sum(bill.customer.id == customer.id for bill in self.bills[-400:]) + serial % 7 + 1:04}"
            if any(bill.number == number for bill in self.bills):
                number = f"{word}-{serial:04}"
        else:
            forms = {"year": f"2026-{serial:05}", "prefix": f"INV-{serial:04}", "plain": f"{100_000 + serial}"}
            number = forms.get(self.scheme, f"R2609{serial:04}")
        amount = self.chance.choice(self.prices) if self.chance.random() < 0.7 else self.chance.randint(700, 500_000)
        currency = "eur" if self.chance.random() < 0.9 else self.chance.choice(["usd", "chf"])
        status = "open" if self.chance.random() < 0.93 else self.chance.choice(["uncollectible", "paid", "void"])
        self.bills.append(Bill(f"in_{len(self.bills):06}", number, customer, currency, amount, month, status))

    # --- credits ------------------------------------------------------------------------------------------------------

    def cases(self, month: int, count: int) -> list[Case]:
        made: list[Case] = []
        kinds = list(KINDS.items())
        while len(made) < count:
            kind, (make, weight) = self.chance.choice(kinds)
            if self.chance.random() < weight:
                made += [replace(case, kind=kind) for case in make(self, month)]
        self.chance.shuffle(made)
        return made

    def take(self, month: int, *, wanted: Callable[[Bill], bool] = lambda bill: True, status: str = "") -> Bill | None:
        """An invoice of the month that no other credit is about."""
        for _ in range(200):
            bill = self.chance.choice(self.bills)
            is_right = bill.status == status if status else bill.status in ("open", "open", "uncollectible")
            if bill.month == month and bill.id not in self.used and is_right and bill.left > 100 and wanted(bill):
                self.used.add(bill.id)
                return bill
        return None

    def spell(self, number: str) -> str:
        return self.chance.choice(self.spellings)(number, self.chance)

    def credit(self, amount: int, currency: str, text: str, payer: str, account: str, month: int) -> Any:
        from invoices.statements.matching import Credit

        self.counter += 1
        day = FIRST_DAY + timedelta(days=30 * month + self.chance.randint(3, 27))
        return Credit(self.counter, amount, currency, day, text, "", "", payer, account)

    def paid(self, bill: Bill, amount: int, text: str, *, payer: str | None = None, account: str | None = None) -> Any:
        """A credit in the name of the invoice's customer, as banks write names."""
        customer = bill.customer
        name = payer if payer is not None else customer.parent or customer.name
        if payer is None:
            name = self.chance.choice([name, name.upper(), name.replace("ü", "ue"), name[:27]])
        where = account if account is not None else customer.account
        return self.credit(amount, bill.currency, text, name, where, bill.month)


Made = Iterator[Case]


def _named(world: World, month: int) -> Made:
    if bill := world.take(month):
        yield Case("", world.paid(bill, bill.left, world.spell(bill.number)), {bill.id: bill.left})


def _split_over_lines(world: World, month: int) -> Made:
    if bill := world.take(month):
        before = "Zahlung unserer Rechnung "[: world.chance.randint(8, 25)]
        text = before + bill.number + " besten Dank fuer alles"
        lines = "\n".join(text[begin : begin + LINE] for begin in range(0, len(text), LINE))
        yield Case("", world.paid(bill, bill.left, lines), {bill.id: bill.left})


def _several_named(world: World, month: int) -> Made:
    if not (first := world.take(month)):
        return
    also = [
        bill
        for bill in world.by_customer[first.customer.id]
        if bill.id not in world.used and bill.status == "open" and bill.currency == first.currency
    ][: world.chance.randint(1, 4)]
    if also:
        world.used.update(bill.id for bill in also)
        chosen = [first, *also]
        between = world.chance.choice([", ", " + ", " und ", "; ", "/", "\n"])
        text = between.join(bill.number for bill in chosen)
        yield Case("", world.paid(first, sum(each.left for each in chosen), text), {e.id: e.left for e in chosen})


def _mistyped(world: World, month: int) -> Made:
    if bill := world.take(month):
        yield Case(
            "", world.paid(bill, bill.left, world.spell(_mistaken(bill.number, world.chance))), {bill.id: bill.left}
        )


def _number_of_another(world: World, month: int) -> Made:
    """The text names another customer's open invoice of the same amount: the payer mistook it."""
    if bill := world.take(month):
        others = [
            each
            for each in world.bills
            if each.left == bill.left and each.customer.id != bill.customer.id and each.status == "open"
            and each.currency == bill.currency and each.id not in world.used
        ]  # fmt: skip
        if others:
            other = world.chance.choice(others)
            world.used.add(other.id)
            yield Case("", world.paid(bill, bill.left, world.spell(other.number)), {bill.id: bill.left})


def _unnamed(world: World, month: int) -> Made:
    if bill := world.take(month):
        text = world.chance.choice(["", "Zahlung", "thank you", "NOTPROVIDED", "Rechnung September", "monthly fee"])
        yield Case("", world.paid(bill, bill.left, text), {bill.id: bill.left})


def _unnamed_other_payer(world: World, month: int) -> Made:
    """Always the same relative or company pays for a customer: the memory of payers is for this."""
    few = world.customers[: max(5, len(world.customers) // 10)]
    if bill := world.take(month, wanted=lambda bill: bill.customer in few):
        serial = int(bill.customer.id.removeprefix("cus_"))
        payer = f"{GIVEN[serial % len(GIVEN)]} {FAMILIES[(serial * 7) % len(FAMILIES)]}"
        credit = world.paid(bill, bill.left, "payment", payer=payer, account=f"AT{serial:018}")
        yield Case("", credit, {bill.id: bill.left})


def _part(world: World, month: int) -> Made:
    if bill := world.take(month):
        amount = world.chance.randint(1, bill.left - 1)
        yield Case("", world.paid(bill, amount, world.spell(bill.number)), {bill.id: amount})


def _part_unnamed(world: World, month: int) -> Made:
    if bill := world.take(month):
        amount = world.chance.randint(1, bill.left - 1)
        yield Case("", world.paid(bill, amount, "Anzahlung"), {bill.id: amount})


def _deducted(world: World, month: int) -> Made:
    if bill := world.take(month, wanted=lambda bill: bill.left > 5000):
        amount = bill.left - world.chance.choice([bill.left * 2 // 100, bill.left * 3 // 100, 150, 1500])
        yield Case("", world.paid(bill, amount, world.spell(bill.number)), {bill.id: amount})


def _too_much(world: World, month: int) -> Made:
    if bill := world.take(month):
        amount = bill.left + world.chance.randint(1, 5000)
        yield Case("", world.paid(bill, amount, world.spell(bill.number)), {bill.id: bill.left})


def _several_unnamed(world: World, month: int) -> Made:
    made = list(_several_named(world, month))
    for case in made:
        yield replace(case, credit=replace(case.credit, text="Sammelzahlung"))


def _in_two_parts(world: World, month: int) -> Made:
    if bill := world.take(month):
        first = bill.left * 2 // 5
        for amount in (first, bill.left - first):
            yield Case("", world.paid(bill, amount, world.spell(bill.number)), {bill.id: amount})


def _twice(world: World, month: int) -> Made:
    """Two equal payments: the second pays nothing, and which is the second nobody can tell."""
    if bill := world.take(month):
        text = world.spell(bill.number)
        first, second = (world.paid(bill, bill.left, text) for _ in range(2))
        day = first.booked_on
        yield Case("", first, {bill.id: bill.left})
        yield Case("", replace(second, booked_on=day + timedelta(days=1), payer_name=first.payer_name), {})


def _paid_already(world: World, month: int) -> Made:
    status = world.chance.choice(["paid", "void"])
    if bill := world.take(month, status=status):
        yield Case("", world.paid(bill, bill.left, world.spell(bill.number)), {})


def _other_currency(world: World, month: int) -> Made:
    if bill := world.take(month, wanted=lambda bill: bill.currency == "eur"):
        credit = world.paid(bill, bill.left, world.spell(bill.number))
        yield Case("", replace(credit, currency="gbp"), {})


def _stranger(world: World, month: int) -> Made:
    """Money that pays no invoice, with an open invoice's amount and with numbers that are something else's."""
    bill, (payer, text) = world.chance.choice(world.bills), world.chance.choice(STRANGERS)
    digits = "".join(filter(str.isdigit, world.chance.choice(world.bills).number)) or "1"
    said = text.format(number=digits, day=f"{world.chance.randint(1, 28):02}.09.2026")
    yield Case("", world.credit(bill.left, bill.currency, said, payer, "", month), {})


def _service(world: World, month: int) -> Made:
    """A payment service passes the money of many customers on: its name and account say nothing of whose it is."""
    if bill := world.take(month):
        place = world.chance.randrange(len(SERVICES))
        text = world.spell(bill.number) if world.chance.random() < 0.5 else f"PP.{world.chance.randint(1000, 9999)}.PP"
        credit = world.paid(bill, bill.left, text, payer=SERVICES[place], account=f"LU{place:018}")
        yield Case("", credit, {bill.id: bill.left})


def _short_number(world: World, month: int) -> Made:
    """Only the end of the number, without its zeros."""
    if bill := world.take(month):
        end = bill.number.rpartition("-")[2].lstrip("0")
        said = world.chance.choice(["RE {}", "Rechnung {}", "invoice {}", "Rg.Nr. {}"]).format(end)
        yield Case("", world.paid(bill, bill.left, said), {bill.id: bill.left})


def _other_numbers(world: World, month: int) -> Made:
    """What the text names is a customer's number, an order or a phone, which is another invoice's number too."""
    if bill := world.take(month):
        other = world.chance.choice(world.bills)
        digits = "".join(filter(str.isdigit, other.number)) or "17"
        said = world.chance.choice(["Kd.-Nr. {}", "Order {}", "Tel. {}", "Vertrag {}", "customer no {}"]).format(digits)
        yield Case("", world.paid(bill, bill.left, said), {bill.id: bill.left})


# What is made, and with which chance when its turn comes.
KINDS: dict[str, tuple[Callable[[World, int], Made], float]] = {
    "number, right": (_named, 1),
    "number, split over lines": (_split_over_lines, 0.6),
    "several numbers": (_several_named, 0.8),
    "number, one mistake": (_mistyped, 0.6),
    "number of another's invoice, same amount": (_number_of_another, 0.4),
    "no number": (_unnamed, 0.8),
    "no number, another pays": (_unnamed_other_payer, 0.6),
    "part, with the number": (_part, 0.5),
    "part, no number": (_part_unnamed, 0.3),
    "fee or discount deducted": (_deducted, 0.5),
    "more than remains": (_too_much, 0.3),
    "several invoices, no number": (_several_unnamed, 0.4),
    "one invoice in two parts": (_in_two_parts, 0.3),
    "paid twice": (_twice, 0.3),
    "paid or void already": (_paid_already, 0.3),
    "in another currency": (_other_currency, 0.2),
    "pays no invoice": (_stranger, 0.5),
    "through a payment service": (_service, 0.4),
    "end of the number alone": (_short_number, 0.4),
    "numbers of other things": (_other_numbers, 0.5),
}


# --- one world --------------------------------------------------------------------------------------------------------


def fill(world: World) -> None:
    from tests.factories import CustomerObject

    store([CustomerObject(id=each.id, name=each.name, email=None) for each in world.customers])
    store([invoice_of(bill) for bill in world.bills])


def invoice_of(bill: Bill) -> Any:
    from tests.factories import InvoiceObject

    made = datetime(2026, 8, 15, tzinfo=UTC) + timedelta(days=30 * bill.month)
    left = 0 if bill.status == "paid" else bill.left
    return InvoiceObject(
        id=bill.id,
        number=bill.number,
        status=bill.status,
        customer=bill.customer.id,
        customer_name=bill.customer.name,
        currency=bill.currency,
        collection_method="send_invoice",
        created=int(made.timestamp()),
        total=bill.amount,
        amount_due=bill.amount,
        amount_paid=bill.amount - left,
        amount_remaining=left,
    )


def store(objects: Sequence[Any]) -> None:
    """As reads of this moment bring them."""
    from invoices import clock, mirror
    from invoices.snapshot import Snapshot

    now, span = datetime.now(UTC).replace(microsecond=0), timedelta(seconds=3)
    for begin in range(0, len(objects), 500):
        mirror.store(
            [
                Snapshot(data["object"], data["id"], data, now - span, now + span, begun_at=clock.now())
                for data in objects[begin : begin + 500]
            ]
        )


def propose(cases: Sequence[Case], memory: dict[str, Counter[str]]) -> dict[Any, Any]:
    """The best proposal of each credit, as the job proposes: 500 at a time."""
    from invoices.statements.matching import propose as matching

    found: dict[Any, Any] = {}
    for begin in range(0, len(cases), 500):
        some = [case.credit for case in cases[begin : begin + 500]]
        known = {credit.id: dict(memory[payer]) for credit in some if (payer := payer_of(credit)) in memory}
        for id, proposals in matching(some, known).items():
            found[id] = next((each for each in proposals if each.parts), None)
    return found


def payer_of(credit: Any) -> str:
    from invoices.models import BankTransaction
    from invoices.statements import payers

    return payers.payer_of(BankTransaction(payer_account=credit.payer_account, payer_name=credit.payer_name))


def confirm(cases: Sequence[Case], world: World, memory: dict[str, Counter[str]]) -> None:
    """What a person does at the end of the month: all that is true is recorded, and its payers are learnt."""
    bills = {bill.id: bill for bill in world.bills}
    for case in cases:
        for invoice, amount in case.pays.items():
            bills[invoice].left -= amount
        for customer in {bills[invoice].customer.id for invoice in case.pays}:
            if payer := payer_of(case.credit):
                memory.setdefault(payer, Counter())[customer] += 1
    paid = [bills[id] for id in dict.fromkeys(invoice for case in cases for invoice in case.pays)]
    for bill in paid:
        bill.status = bill.status if bill.left else "paid"
    store([invoice_of(bill) for bill in paid])


Score = dict[tuple[str, int], Counter[str]]  # by kind and month


def judge(case: Case, proposal: Any) -> str:
    """right, none, or wrong with its confidence."""
    parts = {part.invoice: part.amount for part in proposal.parts} if proposal else {}
    if parts == case.pays:
        return f"right {proposal.confidence.label}" if parts else "right"
    return f"wrong {proposal.confidence.label}" if parts else "none"


def run(seed: int, invoices: int, score: Score, wrong: list[str]) -> tuple[int, float]:
    """How many credits it was, and seconds of matching."""
    from django.db import transaction

    memory: dict[str, Counter[str]] = {}
    world, number, seconds = World(seed, invoices), 0, 0.0
    with transaction.atomic():
        fill(world)
        for month in (0, 1):
            cases = world.cases(month, invoices // 5)
            began = time.perf_counter()
            found = propose(cases, memory)
            seconds, number = seconds + time.perf_counter() - began, number + len(cases)
            for case in cases:
                said = judge(case, found[case.credit.id])
                score[case.kind, month][said] += 1
                if said.startswith("wrong"):
                    wrong.append(f"{said} | seed {seed} month {month + 1} | {case.kind} | {_told(case, found, world)}")
            confirm(cases, world, memory)
        transaction.set_rollback(True)
    return number, seconds


def _told(case: Case, found: dict[Any, Any], world: World) -> str:
    bills, proposal = {bill.id: bill for bill in world.bills}, found[case.credit.id]

    def shown(parts: dict[str, int]) -> str:
        return ", ".join(f"{bills[id].number} {amount} of {bills[id].customer.name}" for id, amount in parts.items())

    credit = case.credit
    proposed = {part.invoice: part.amount for part in proposal.parts}
    codes = " ".join(reason.code for reason in proposal.reasons)
    said = f"{credit.amount} {credit.currency} {credit.text!r} by {credit.payer_name!r}"
    return f"{said} | pays {shown(case.pays) or 'nothing'} | proposed {shown(proposed)} | {codes}"


COLUMNS = ("right High", "right Medium", "right Low", "right", "none", "wrong Low", "wrong Medium", "wrong High")


def table(score: Score) -> list[str]:
    """As Markdown. Of all months; the sums by month below."""
    head = "| credits | number | right: high | medium | low | nothing, rightly | none | wrong: low | medium | high |"
    lines = [head, "| --- |" + " ---: |" * 9]

    def line(title: str, counts: Counter[str]) -> str:
        total = sum(counts.values()) or 1
        shares = [f"{counts[name] * 100 / total:.1f} %" if counts[name] else "–" for name in COLUMNS]
        return f"| {title} | {sum(counts.values()):,} | {' | '.join(shares)} |"

    lines += [line(kind, score[kind, 0] + score[kind, 1]) for kind in KINDS]
    for month in (0, 1):
        of_month = sum((score[kind, month] for kind in KINDS), Counter())
        lines.append(line(f"**month {month + 1}**", of_month))
    return lines


def main(seeds: int, invoices: int, show: int, first: int) -> int:
    score: Score = defaultdict(Counter)
    wrong: list[str] = []
    number, seconds = 0, 0.0
    for seed in range(first, first + seeds):
        credits, took = run(seed, invoices, score, wrong)
        number, seconds = number + credits, seconds + took
    print("\n".join(table(score)))
    high = [each for each in wrong if each.startswith("wrong High")]
    print(
        f"{number:,} credits, {seconds * 1000 / number:.1f} ms each; {len(wrong)} wrong, {len(high)} of high confidence"
    )
    for each in [*high, *sorted(each for each in wrong if each not in high)[-show:]][: max(show, len(high))]:
        print(each)
    return 1 if high else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--invoices", type=int, default=1500, help="of each seed")
    parser.add_argument("--show", type=int, default=0, help="so many of the wrong proposals are printed")
    given = parser.parse_args()
    with database():
        code = main(given.seeds, given.invoices, given.show, given.first)
    sys.exit(code)
