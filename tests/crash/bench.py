"""Plays one case in three processes: the one that dies, the sandbox, and this one, which survives and settles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import stripe
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from invoices import clock, intake, live, operations, sync
from invoices.models import Invoice, InvoicePayment, Operation
from tests.crash.cases import Case, verdict
from tests.crash.wire import Wire
from tests.factories import customer_at, invoice_at
from tests.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENT, IMPATIENT = 15.0, 0.4  # seconds until a call is given up; the second where a case wants a timeout
LOOKS = 12
State = Operation.State


@dataclass(frozen=True)
class Result:
    """What came of a case. `problems` is what must not be."""

    case: Case
    state: str
    code: str
    charges: int
    problems: tuple[str, ...]

    @property
    def cell(self) -> str:
        return f"{self.code or self.state} · {self.charges}"


class Bench:
    """The wire, the forking process, and the clock of this one."""

    def __init__(self, sandbox: SandboxProcess, actor: User) -> None:
        self.sandbox, self.actor = sandbox, actor
        self.wire = Wire(sandbox)
        self.stripe = stripe.StripeClient(sandbox.key, base_addresses={"api": sandbox.url})
        self.later = 0.0
        self.customer = customer_at(sandbox).id
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()},
        )
        assert self.child.stdin and self.child.stdout
        assert self.child.stdout.readline() == "ready\n"

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *problem: object) -> None:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.close()
        self.child.wait(timeout=15)
        self.child.stdout.close()
        self.wire.__exit__()

    def fork(self, what: str, case: Case, point: str, **more: Any) -> str:
        """Has a process do it and die on the way: `killed`, or `ended 0` where it never came to the point."""
        assert self.child.stdin and self.child.stdout
        order = {"what": what, "point": point, "stripe": self.wire.url, "timeout": patience(case), **more}
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    # --- one case -----------------------------------------------------------------------------------------------------

    def play(self, case: Case) -> Result:
        """Performs it, kills, settles, and holds what Stripe and the journal then say against the verdict."""
        invoice, params = self.prepare(case)
        self.wire.posts.clear()
        self.wire.arm(case.deed.paths[case.call - 1], case.fault)
        asked = {"action": case.deed.action, "invoice": invoice, "params": params}
        died = self.fork("perform", case, "" if case.settler else case.point, asked=asked, actor=self.actor.username)
        operation = Operation.objects.filter(invoice=invoice).first()
        if operation is None:  # killed before it was asked for
            self.wire.arm("", "")
            return Result(case, "", "", 0, ())
        with self.surviving(case):
            if case.settler and operation.state not in Operation.FINAL:
                self.later = 150
                died += " " + self.fork("settle", case, case.point, later=self.later)
            self.settle(operation)
        self.wire.arm("", "")
        return self.judge(case, operation, died)

    def prepare(self, case: Case) -> tuple[str, dict[str, Any]]:
        """A new invoice that we know; what the action is told; and what others will do to it."""
        deed, params = case.deed, case.params
        terms = {"collection_method": "send_invoice", "days_until_due": 30} if deed.due else {}
        invoice = invoice_at(self.sandbox, customer=self.customer, finalize=not deed.draft, **terms)
        if deed.intent:
            how: dict[str, Any] = {"confirm": True, "payment_method": "pm_card_visa"}
            intent = self.stripe.v1.payment_intents.create(
                {"amount": 1000, "currency": "usd", "customer": self.customer, **(how if deed.charges else {})}
            )
            params["payment_intent"] = intent.id
        with settings_for(self.sandbox.url, PATIENT):
            live.read_now("invoice", invoice.id)
        self.wire.before = lambda: self.overtake(case, invoice.id, params)
        self.wire.meanwhile = lambda: self.bring_events(invoice.id)
        return invoice.id, params

    def overtake(self, case: Case, invoice: str, params: dict[str, Any]) -> None:
        """Somebody else does the same, or what rules it out."""
        deed = case.deed
        if deed.intent:
            self.stripe.v1.invoices.attach_payment(invoice, {"payment_intent": params["payment_intent"]})
        elif len(deed.paths) == 2:
            self.stripe.v1.invoices.pay(invoice, {"paid_out_of_band": True})
        else:
            self.stripe.raw_request("post", f"/v1/invoices/{invoice}{deed.paths[0]}", **deed.params)

    def bring_events(self, invoice: str) -> None:
        """Its webhooks, processed at once."""
        try:
            events = [event.to_dict() for event in self.stripe.v1.events.list({"limit": 30}).data]
            mine = [event for event in reversed(events) if invoice in json.dumps(event["data"]["object"])]
            intake.journal([intake.event_row(event) for event in mine])
            sync.process_events()
        finally:
            connection.close()

    @contextmanager
    def surviving(self, case: Case) -> Iterator[None]:
        """This process is a worker now: on the same wire, and on a clock that can be pushed."""
        now, self.later = clock.now, 0.0
        with (
            settings_for(self.wire.url, patience(case)),
            mock.patch.object(clock, "now", lambda: now() + timedelta(seconds=self.later)),
        ):
            yield

    def settle(self, operation: Operation) -> None:
        """Settling, look after look, as the clock goes on; then the reads that were asked for."""
        for _ in range(LOOKS):
            operation.refresh_from_db()
            if operation.state in Operation.FINAL:
                break
            self.later += 150 if operation.state != State.UNKNOWN or operation.claim_token else 25
            operations.settle_due()
        self.later += 5
        sync.perform_reads()
        operation.refresh_from_db()

    # --- what came of it ----------------------------------------------------------------------------------------------

    def judge(self, case: Case, operation: Operation, died: str) -> Result:
        expected, deed = verdict(case, operation.code), case.deed
        charges = self.sandbox.stats()["charges"].get(operation.invoice, 0)
        problems = []

        def must(what: str, found: Any, wanted: Any) -> None:
            if found != wanted:
                problems.append(f"{what} is {found}, not {wanted}")

        reached = case.settler or case.point in ("", "finishing", "finished") or case.point.startswith("at")
        if "killed" not in died and not reached:
            problems.append(f"the process was not killed: {died}")
        if "ended 70" in died:
            problems.append("the process failed")
        if (operation.state, operation.code) not in expected.outcomes:
            problems.append(f"{operation.state} {operation.code}: {operation.message}")
        invoice = self.stripe.raw_request("get", f"/v1/invoices/{operation.invoice}", expand=["payments"]).data
        payments = invoice.pop("payments")["data"]
        must("who did it", operation.outcome_by, wanted_by(operation, expected.effect))
        by_us = expected.effect == "ours"
        must("charges", charges, deed.charges if by_us or (expected.effect == "theirs" and deed.charges) else 0)
        if by_us:
            must("status", invoice["status"], deed.status)
            must("remaining", invoice["amount_remaining"], deed.remaining)
        elif expected.effect == "none" and not deed.draft:
            must("status", invoice["status"], "open")
            must("remaining", invoice["amount_remaining"], 1000)
        must("processing", operation.processing, expected.effect == "processing")
        problems += sending_problems(operation, self.wire.posts)
        problems += self.effects(case, expected.effect, operation, payments)
        problems += mirror_problems(operation.invoice, invoice, payments)
        return Result(case, operation.state, operation.code, charges, tuple(problems))

    def effects(self, case: Case, effect: str, operation: Operation, payments: list[Any]) -> list[str]:
        """How often it happened, by Stripe's own books: its events, records and attached payments."""
        problems, deed, by_us = [], case.deed, effect == "ours"
        happened = [
            event["request"]["idempotency_key"]
            for event in self.recent("/v1/events", types=[deed.event] if deed.event else ["invoice.nothing"])
            if operation.invoice in (event["data"]["object"]["id"], event["data"]["object"].get("invoice"))
        ]
        once = 1 if effect in ("ours", "theirs") and deed.event else 0
        if deed.event == "invoice_payment.paid" and effect == "theirs":
            once = 0  # paid out of band by somebody else: no payment of its own
        if len(happened) != once:
            problems.append(f"{deed.event} happened {len(happened)} times")
        if by_us and happened and happened[0] and not happened[0].startswith(str(operation.pk)):
            problems.append("somebody else did it")
        if len(deed.paths) == 2:
            records = [
                record["id"]
                for record in self.recent("/v1/payment_records")
                if record["metadata"].get("operation") == str(operation.pk)
            ]
            reported = by_us or (case.call == 2 and operation.code != "stripe_unavailable")
            if len(records) != reported:
                problems.append(f"the payment was reported {len(records)} times")
            attached = [each for each in payments if each["payment"].get("payment_record") in records]
            if len(attached) != by_us:
                problems.append(f"the payment was attached {len(attached)} times")
        return problems

    def recent(self, path: str, **params: Any) -> list[Any]:
        return self.stripe.raw_request("get", path, limit=10, **params).data["data"]


def sending_problems(operation: Operation, posts: list[tuple[str, str, bytes]]) -> list[str]:
    """What is sent again is sent verbatim, under the operation's own key, and nothing under any other."""
    first: dict[str, tuple[str, bytes]] = {}
    problems = []
    for path, key, body in posts:
        if key != f"{operation.pk}-{path.rsplit('/', 1)[1]}":
            problems.append(f"{path} was sent under {key}")
        if first.setdefault(key, (path, body)) != (path, body):
            problems.append(f"{path} was sent again with other parameters")
    return problems


def wanted_by(operation: Operation, effect: str) -> str:
    if effect in ("ours", "processing"):
        return "us"
    return "someone_else" if operation.code == "invoice_changed" else "nobody"


def mirror_problems(id: str, invoice: dict[str, Any], payments: list[dict[str, Any]]) -> list[str]:
    def plain(data: Any) -> Any:
        return {name: value for name, value in (data or {}).items() if name != "webhooks_delivered_at"}

    problems = []
    if plain(Invoice.objects.get(pk=id).data) != plain(invoice):
        problems.append("the mirrored invoice is not Stripe's")
    ours = {payment.pk: payment.data for payment in InvoicePayment.objects.filter(invoice_id=id)}
    if ours != {payment["id"]: payment for payment in payments}:
        problems.append("the mirrored payments are not Stripe's")
    return problems


def patience(case: Case) -> float:
    return IMPATIENT if case.answer.startswith("timeout") else PATIENT


@contextmanager
def settings_for(stripe_url: str, timeout: float) -> Iterator[None]:
    with (
        mock.patch.object(settings, "STRIPE_API_BASE", stripe_url),
        mock.patch.object(settings, "STRIPE_TIMEOUT_SECONDS", timeout),
    ):
        yield


def database_url() -> str:
    """The database that this process uses, for another one."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    credentials = f"{found['USER']}:{found['PASSWORD']}" if found["PASSWORD"] else found["USER"]
    return f"postgres://{credentials}@{found['HOST']}:{found['PORT'] or 5432}/{found['NAME']}"
