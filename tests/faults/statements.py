"""Two people who upload the same bank statement again and again and confirm its credits; and what must hold."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from html import unescape
from typing import Any

import requests

from tests.faults.bench import Bench
from tests.faults.servers import LOCALHOST, wait_until
from tests.helpers import bank_files

ACCOUNT = "DE02120300000000202051"
ROOM = "/admin/invoices/"
UPLOADS = 5  # of each file by each person
PASSWORD = "of one run of the faults, and of nothing else"
PEOPLE = f"""
from django.contrib.auth.models import Group, User
for name in ("ada", "ben"):
    person = User.objects.create_user(name, f"{{name}}@example.com", "{PASSWORD}", is_staff=True)
    person.groups.add(Group.objects.get(name="Finance"))
"""


def make_people(bench: Bench) -> None:
    done = bench.desk.manage("shell", "-c", PEOPLE)
    assert done.returncode == 0, done.stderr[-1500:]


class Refused(Exception):
    """The desk answered, and said no."""


class Person:
    """A browser: its cookies, its forms, and patience while a process is away."""

    def __init__(self, name: str, ports: list[int], load: Statements):
        self.name, self.ports, self.load = name, ports, load
        self.session, self.turn = requests.Session(), 0

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """Until there is an answer, of one web process or the other. A page that says 5xx is counted as such."""
        while True:
            self.turn += 1
            port = self.ports[self.turn % len(self.ports)]
            try:
                answer = self.session.request(
                    method, f"http://{LOCALHOST}:{port}{path}", timeout=40, allow_redirects=False, **given
                )
            except requests.RequestException:
                time.sleep(0.3)
                continue
            if answer.status_code < 500:
                return answer
            self.load.count(f"{answer.status_code} {method} {path}")
            time.sleep(0.5)

    def page(self, path: str) -> str:
        answer = self.ask("GET", path)
        if "/login/" in answer.headers.get("Location", ""):
            self.sign_in()
            answer = self.ask("GET", path)
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code} {path}")
        return answer.text

    def sign_in(self) -> None:
        form = self.ask("GET", "/admin/login/").text
        given = _hidden(form) | {"username": self.name, "password": PASSWORD}
        answer = self.ask("POST", "/admin/login/", data=given, headers={"Referer": f"http://{LOCALHOST}/"})
        if answer.status_code != 302:
            raise Refused(f"sign-in: {answer.status_code}")

    def upload(self, name: str, content: bytes) -> str:
        form = self.page(f"{ROOM}bankstatement/upload/")
        answer = self.ask("POST", f"{ROOM}bankstatement/upload/", data=_hidden(form), files={"file": (name, content)})
        return f"upload {answer.status_code}"

    def confirm(self) -> str:
        """Everything of high confidence, with the sum typed as the page says it."""
        form = self.page(f"{ROOM}banktransaction/confirm/")
        sum = re.search(r'<td class="num strong">USD ([\d.,]+)</td>', form)
        if not sum:
            return "nothing to confirm"
        given = _hidden(form) | {"sum_usd": sum[1].replace(",", ""), "reason": "on our account"}
        answer = self.ask("POST", f"{ROOM}banktransaction/confirm/", data=given)
        if answer.status_code == 200:
            raise Refused(f"confirming: {unescape(re.sub('<[^>]+>', ' ', answer.text))[-400:]}")
        return f"confirm {answer.status_code} to {answer.headers.get('Location', '').split('/')[3:4]}"


class Statements:
    """As `Load`: what it made and what its people were told. It charges nobody."""

    def __init__(self, bench: Bench, invoices: int = 60):
        self.bench = bench
        self.answers: Counter[str] = Counter()
        self.paid: set[str] = set()
        self.lock, self._end = threading.Lock(), threading.Event()
        self.amounts = self._invoices(invoices)
        self.made = list(self.amounts)
        self.files = self._files()
        self.threads = [
            threading.Thread(target=self._work, args=(Person(name, bench.ports[::step], self),), daemon=True)
            for name, step in (("ada", 1), ("ben", -1))
        ]

    def start(self) -> Statements:
        for thread in self.threads:
            thread.start()
        return self

    def no_more(self, seconds: float) -> None:
        """The uploads go on to their end; who confirms stops when nothing is left, or after so many seconds."""
        for thread in self.threads:
            thread.join(seconds)
        self._end.set()
        for thread in self.threads:
            thread.join(60)

    def count(self, answer: str) -> None:
        with self.lock:
            self.answers[answer] += 1

    # --- what there is ------------------------------------------------------------------------------------------------

    def _invoices(self, number: int) -> dict[str, tuple[str, int]]:
        """Open invoices at Stripe: id → number and minor units."""
        stripe = self.bench.sandbox.client(max_network_retries=2)
        made: dict[str, tuple[str, int]] = {}
        for place in range(number):
            customer = stripe.v1.customers.create({"name": f"Customer {place} Ltd"})
            terms = {"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 14}
            draft = stripe.v1.invoices.create({**terms, "currency": "usd"})
            item = {"customer": customer.id, "invoice": draft.id, "amount": 100 + 7 * place, "currency": "usd"}
            stripe.v1.invoice_items.create(item)
            final = stripe.v1.invoices.finalize_invoice(draft.id)
            made[str(final.id)] = (str(final.number), 100 + 7 * place)
        question = "SELECT count(*) FROM invoices_invoice WHERE status = 'open' AND amount_remaining > 0"
        wait_until(lambda: self.bench.ask(question) >= number, 120, "the mirror has the invoices")
        return made

    def _files(self) -> list[tuple[str, bytes]]:
        """The statement of two days, and one of the second day with some more: the second half of the first."""
        from invoices.statements.formats.parsed import Line

        day = datetime.now(UTC).date()
        lines = [
            Line(
                number=place + 1,
                booked_on=day,
                valued_on=day,
                amount=amount,
                currency="usd",
                text=f"Invoice {number}",
                payer_name=f"Customer {place} Ltd",
                bank_reference=f"BANK-{place:05}",
            )
            for place, (number, amount) in enumerate(self.amounts.values())
        ]
        half, most = len(lines) // 2, len(lines) * 3 // 4
        opening = 50_000
        until_half = opening + sum(line.amount for line in lines[:half])
        return [
            ("first.xml", bank_files.camt053(ACCOUNT, "usd", opening, lines[:most], number="1", day=day)),
            ("second.xml", bank_files.camt053(ACCOUNT, "usd", until_half, lines[half:], number="2", day=day)),
        ]

    # --- what the people do -------------------------------------------------------------------------------------------

    def _work(self, person: Person) -> None:
        todo = [file for _ in range(UPLOADS) for file in self.files]
        idle = 0
        while not self._end.is_set() and (todo or idle < 12):
            try:
                if todo:
                    said = person.upload(*todo.pop(0))
                    self.count(f"{said}")
                said = person.confirm()
                idle = idle + 1 if said.startswith("nothing") else 0
                self.count(said)
            except Refused as refused:
                self.count(str(refused))
            self._end.wait(1.5)

    # --- what must hold -----------------------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        return not self.bench.ask("SELECT count(*) FROM invoices_bankmatch WHERE state = 'confirmed'")

    def problems(self) -> list[str]:
        """Of Stripe's books and of ours, when everything is settled."""
        found = []
        with suppress(AssertionError):
            wait_until(self.is_settled, 120, "every match has ended")
        if not self.is_settled():
            found.append("matches are being recorded still")
        stripe = self.bench.sandbox.client()
        records = self._payment_records()
        of_invoice = Counter(record["metadata"].get("invoice", record["id"]) for record in records)
        if len(records) > len(self.amounts):
            most = of_invoice.most_common(3)
            found.append(f"{len(records)} payments were reported for {len(self.amounts)} credits: {most}")
        for id, (number, amount) in self.amounts.items():
            invoice = stripe.v1.invoices.retrieve(id)
            payments = [each for each in stripe.v1.invoice_payments.list({"invoice": id}).data if each.status == "paid"]
            if (invoice.status, invoice.amount_paid, len(payments)) != ("paid", amount, 1):
                paid = [each.amount_paid for each in payments]
                found.append(f"{number} of {amount} is {invoice.status}, and paid by {paid}")
        ours = "SELECT count(*) FROM invoices_banktransaction WHERE state {} 'done' OR \"left\" {} 0"
        if wrong := self.bench.ask(ours.format("<>", "<>")):
            found.append(f"{wrong} bank transactions are not done")
        if (kept := self.bench.ask("SELECT count(*) FROM invoices_banktransaction")) != len(self.amounts):
            found.append(f"{kept} bank transactions were kept of {len(self.amounts)}")
        if (kept := self.bench.ask("SELECT count(*) FROM invoices_bankstatement")) != len(self.files):
            found.append(f"{kept} statements were kept of {len(self.files)}")
        if (recorded := self.recorded()) != len(self.amounts):
            found.append(f"{recorded} matches are recorded of {len(self.amounts)}")
        return found

    def recorded(self) -> int:
        return int(self.bench.ask("SELECT count(*) FROM invoices_bankmatch WHERE state = 'recorded'"))

    def _payment_records(self) -> list[Any]:
        """All of them, by the sandbox's own list."""
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            answer = requests.get(
                f"{self.bench.sandbox.url}/v1/payment_records",
                params={"limit": "100", **after},
                auth=(self.bench.sandbox.key, ""),
                timeout=30,
            ).json()
            found += answer["data"]
            if not answer.get("has_more"):
                return found
            after = {"starting_after": found[-1]["id"]}


def _hidden(html: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', html)
    return {name: unescape(value) for name, value in found}
