"""Plays one case in three processes: the one that dies or is stopped, the sandbox, and this one, which survives and
settles."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection

from invoices import clock, intake, operations, refetch, sync, tokens
from invoices.models import ApiToken, Batch, Invoice, InvoicePayment, Operation
from invoices.models.batch_items import sums_of
from invoices.operations import ACTIONS, Refusal, batch, decisions, manual_resolution, pauses
from tests.crash.cases import WITHDRAWALS, Case, Verdict, verdict
from tests.crash.wire import Wire
from tests.factories import customer_at, invoice_at
from tests.helpers.stripe_state import without_delivery_time
from tests.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_SECONDS = 15.0  # of a request to Stripe
SHORT_TIMEOUT_SECONDS = 0.4  # the same, where the case is that the request times out
MAX_LOOKS = 12  # how often settling is tried; no case needs so many, unless it never ends
LOOK_OF_CHANGE = 1  # before this one, counted from 0, the pause ends, or an hour passes
# By how much the clock is moved on:
PAST_LEASE_SECONDS = 150  # longer than OPERATION_LEASE and READY_FORGOTTEN: what a dead process left is taken over
NEXT_LOOK_SECONDS = 25  # longer than each of LOOK_INTERVALS, and than EVENTS_LISTED_AFTER
REFETCHES_DUE_SECONDS = 5  # longer than REFETCH_DELAY
OVER_AN_HOUR_SECONDS = 3700  # longer than RESEND_WINDOW
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
        self.stripe = sandbox.client()
        self.clock_offset_seconds = 0.0
        self.customer, self.asker = "", actor  # of the case that is played
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

    def fork(self, case: Case, point: str, *, goes_on: bool = False, **order: Any) -> str:
        """Has a process carry out the order, and be killed on the way: `killed`, or `ended 0` where it never came to
        the point. With `goes_on` it is stopped instead: `stopped`, until `go_on`."""
        order |= {"point": point, "goes_on": goes_on, "stripe": self.wire.url, "timeout": timeout_for(case)}
        return self.tell(json.dumps({**order, "thresholds": thresholds_for(case)}))

    def go_on(self) -> str:
        """Lets the process that was stopped go on to its end: `ended 0`."""
        return self.tell("go on")

    def tell(self, line: str) -> str:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    # --- one case -----------------------------------------------------------------------------------------------------

    def play(self, case: Case) -> Result:
        """Performs it, kills, settles, and holds what Stripe and the journal then say against the verdict."""
        invoice, params = self.prepare(case)
        self.wire.posts.clear()
        self.wire.arm(case.deed.path(case.call, invoice), case.fault)
        order = self.ask(case, invoice, params)
        before = copy_of_database() if case.restored else None
        died = self.fork(case, "" if case.settler else case.point, goes_on=case.goes_on, **order)
        if before is not None and died == "stopped":
            before = copy_of_database()
        if case.deed.way == "token" and "killed" in died:
            died = f"{died}, {self.fork(case, '', **order)}"  # the program asks once more, with the same key
        if case.deed.way in ("batch", "token") and not Operation.objects.filter(invoice=invoice).exists():
            with self.surviving(case):  # killed before the batch came to it
                self.clock_offset_seconds = PAST_LEASE_SECONDS
                batch.run_due()
        operation = Operation.objects.filter(invoice=invoice).first()
        if operation is None:  # killed before it was asked for
            self.wire.arm("", "")
            return Result(case, "", "", 0, ())
        if case.meanwhile in WITHDRAWALS:
            self.withdraw_authority(case, operation)
        if died == "stopped":
            died = f"stopped, {self.go_on()}"
        if before is not None:
            put_back(before)
            if case.meanwhile == "asked_again":
                died = f"{died}, {self.fork(case, '', **order)}"
            operation = Operation.objects.get(invoice=invoice)
        with self.surviving(case):
            if case.settler and operation.state not in Operation.FINAL:
                self.clock_offset_seconds = PAST_LEASE_SECONDS
                order = {"what": "settle", "clock_offset_seconds": self.clock_offset_seconds}
                died += f", {self.fork(case, case.point, **order)}"
            self.settle(case, operation)
            self.wire.arm("", "")
            result = self.judge(case, operation, died)
            self.clear_away(operation)
        return result

    def ask(self, case: Case, invoice: str, params: dict[str, Any]) -> dict[str, Any]:
        """The order for the process that performs. Somebody who has done nothing before asks for it, because what one
        person does within a day adds up."""
        deed = case.deed
        self.asker = User.objects.create(username=uuid.uuid4().hex, is_staff=True)
        self.asker.user_permissions.set(
            Permission.objects.filter(content_type__app_label="invoices", codename__endswith="_invoice")
        )
        asked: dict[str, Any] = {"action": deed.action, "invoice": invoice, "params": params}
        if not deed.way:
            self.token, _ = ApiToken.objects.create(self.asker, expiry=None, name="the shop", created_by=self.asker)
            asked |= {"source": "api", "idempotency_key": f"a key for {invoice}"}
            return {"what": "execute", "actor": self.asker.username, "token": self.token.pk, "asked": asked}
        with settings_for(self.sandbox.url, TIMEOUT_SECONDS, thresholds_for(case)):
            given: dict[str, Any] = {"actor": self.asker, "reason": "a crash is coming"}
            if deed.way == "approved":
                waiting = operations.request(source="admin", **asked, **given)
                return {"what": "approve", "actor": self.actor.username, "operation": str(waiting.pk)}
            other = invoice_at(self.sandbox, customer=self.customer)
            refetch.refetch("invoice", other.id)
            both = [Invoice.objects.get(pk=id) for id in (invoice, other.id)]
            if deed.way == "batch":
                batch.start(deed.action, both, batch_id=uuid.uuid4(), params=params, **given)
                return {"what": "batch"}
            self.token, _ = ApiToken.objects.create(self.asker, expiry=None, name="the shop", created_by=self.asker)
            asked = {"action": deed.action, "invoices": [each.pk for each in both], "params": params}
            asked |= {"sums": sums_of(both), "idempotency_key": f"a key for {invoice}"}
            return {"what": "make batch", "actor": self.asker.username, "token": self.token.pk, "asked": asked}

    def withdraw_authority(self, case: Case, operation: Operation) -> None:
        """The process stands at the point, or has died there."""
        match case.meanwhile:
            case "permission":
                self.asker.user_permissions.clear()
            case "deactivated":
                User.objects.filter(pk=self.asker.pk).update(is_active=False)
            case "token":
                tokens.revoke(self.token, by=self.actor, origin={"address": None, "request_id": ""})
            case "approver":
                User.objects.filter(pk=self.actor.pk).update(is_active=False)
            case "grown":
                more = {"customer": self.customer, "invoice": operation.invoice, "amount": 1000, "currency": "usd"}
                self.stripe.v1.invoice_items.create(more)
            case "withdrawn":
                with contextlib.suppress(Refusal):  # it is too late, where a process has claimed it
                    decisions.withdraw(operation.pk, actor=self.asker)
            case "cancelled":
                assert operation.batch is not None
                batch.cancel(operation.batch, by=self.actor)
            case "paused" | "paused_an_hour":
                pauses.begin(operation.action, "an audit", by=self.actor)

    def clear_away(self, operation: Operation) -> None:
        """What the case left, so that the cases after it do not meet it."""
        User.objects.filter(pk=self.actor.pk).update(is_active=True)
        pauses.end(operation.action, by=self.actor)
        if operation.state == State.UNKNOWN:
            manual_resolution.resolve(operation.pk, by=self.actor, took_effect=False, reason="so Stripe's books say")
        for left in Batch.objects.filter(finished_at=None):
            batch.cancel(left, by=self.actor)
        batch.run_due()

    def prepare(self, case: Case) -> tuple[str, dict[str, Any]]:
        """A new invoice that we know; what the action is told; and what others will do to it."""
        deed, params = case.deed, case.params
        terms: dict[str, Any] = {"collection_method": "send_invoice", "days_until_due": 30} if deed.due else {}
        # Of its own: the decline of another case would hold a charge of this one.
        self.customer = customer_at(self.sandbox).id
        invoice = invoice_at(self.sandbox, customer=self.customer, finalize=not deed.draft, **terms)
        if deed.intent:
            intent_params: dict[str, Any] = {"amount": 1000, "currency": "usd", "customer": self.customer}
            if deed.charges:
                intent_params |= {"confirm": True, "payment_method": "pm_card_visa"}
            intent = self.stripe.v1.payment_intents.create(intent_params)
            params["payment_intent"] = intent.id
        with settings_for(self.sandbox.url, TIMEOUT_SECONDS, thresholds_for(case)):
            refetch.refetch("invoice", invoice.id)
        self.wire.before_forward = lambda: self.overtake(case, invoice.id, params)
        self.wire.before_reply = lambda: self.bring_events(invoice.id)
        return invoice.id, params

    def overtake(self, case: Case, invoice: str, params: dict[str, Any]) -> None:
        """Somebody else does the same, or what rules it out."""
        deed = case.deed
        if deed.intent:
            self.stripe.v1.invoices.attach_payment(invoice, {"payment_intent": params["payment_intent"]})
        elif deed.calls > 1:
            self.stripe.v1.invoices.pay(invoice, {"paid_out_of_band": True})
        else:
            self.stripe.raw_request("post", deed.path(1, invoice), **deed.params)

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
        now, self.clock_offset_seconds = clock.now, 0.0
        with (
            settings_for(self.wire.url, timeout_for(case), thresholds_for(case)),
            mock.patch.object(clock, "now", lambda: now() + timedelta(seconds=self.clock_offset_seconds)),
        ):
            yield

    def settle(self, case: Case, operation: Operation) -> None:
        """Settles the operation: one look after the other, while the clock moves on. Then the scheduled refetches."""
        for look in range(MAX_LOOKS):
            operation.refresh_from_db()
            if operation.state == State.AWAITING_APPROVAL and not case.meanwhile:  # killed before he had approved it
                decisions.approve(operation.pk, approver=self.actor)
            elif self.has_ended(operation):
                break
            waits_for_takeover = operation.state != State.UNKNOWN or operation.claim_token
            self.clock_offset_seconds += PAST_LEASE_SECONDS if waits_for_takeover else NEXT_LOOK_SECONDS
            if look == LOOK_OF_CHANGE and case.meanwhile == "paused":
                pauses.end(operation.action, by=self.actor)
            elif look == LOOK_OF_CHANGE and case.meanwhile in WITHDRAWALS:
                self.clock_offset_seconds += OVER_AN_HOUR_SECONDS
            batch.run_due()
            operations.settle_due()
        self.clock_offset_seconds += REFETCHES_DUE_SECONDS
        sync.perform_refetches()
        operation.refresh_from_db()

    def has_ended(self, operation: Operation) -> bool:
        """Nothing more comes of it by itself; and the batch has come to its end, if no pause holds it."""
        if operation.batch is not None and not pauses.of_action(operation.action):
            operation.batch.refresh_from_db()
            if operation.batch.finished_at is None:
                return False
        ended = (*Operation.FINAL, State.AWAITING_APPROVAL, State.PROCESSING)
        return operation.state in ended or manual_resolution.is_needed(operation)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def judge(self, case: Case, operation: Operation, died: str) -> Result:
        expected, deed = verdict(case, operation.code), case.deed
        charges = self.sandbox.stats()["charges"].get(operation.invoice, 0)
        problems = []

        def must(what: str, found: Any, wanted: Any) -> None:
            if found != wanted:
                problems.append(f"{what} is {found}, not {wanted}")

        may_not_come_to_it = (
            case.settler or case.point in ("", "finishing", "finished") or case.point.startswith("at")
        ) or case.point.endswith(" 4")  # only what was not charged is canceled
        if ("stopped" if case.goes_on else "killed") not in died and not may_not_come_to_it:
            problems.append(f"the process did not come to the point: {died}")
        if "ended 70" in died:
            problems.append("the process failed")
        if (operation.state, operation.code) not in expected.outcomes:
            problems.append(f"{operation.state} {operation.code}: {operation.message}")
        invoice = self.stripe.raw_request("get", f"/v1/invoices/{operation.invoice}", expand=["payments"]).data
        payments = invoice.pop("payments")["data"]
        must("contradictions", [each.message for each in operation.contradictions.all()], [])
        must("who did it", operation.outcome_by, wanted_by(operation, expected.effect))
        by_us = expected.effect == "ours"
        must(
            "charges", charges, deed.charges if by_us or (expected.effect == "theirs" and not deed.makes_intent) else 0
        )
        if by_us:
            must("status", invoice["status"], deed.status)
            must("remaining", invoice["amount_remaining"], deed.remaining)
        elif expected.effect == "none" and not deed.draft:
            must("status", invoice["status"], "open")
            must("remaining", invoice["amount_remaining"], 1000)
        must("processing", operation.processing, expected.effect == "processing")
        if operation.state == State.UNKNOWN:
            must("a manager is asked", manual_resolution.is_needed(operation), True)
        problems += sending_problems(operation, self.wire.posts)
        problems += self.batch_problems(case, operation)
        problems += self.effects(case, expected, operation, payments)
        problems += mirror_problems(operation.invoice, invoice, payments)
        return Result(case, operation.state, operation.code, charges, tuple(problems))

    def batch_problems(self, case: Case, operation: Operation) -> list[str]:
        """Whether the batch went on with the other invoice, and says what became of it."""
        if operation.batch is None:
            return []
        if Batch.objects.filter(actor=self.asker).count() != 1:
            return ["there is more than one batch"]
        other = operation.batch.items[1].invoice
        its = Operation.objects.filter(invoice=other).first()
        paid = self.stripe.v1.invoices.retrieve(other).status == "paid"
        charges = self.sandbox.stats()["charges"].get(other, 0)
        if charges != paid or paid != (its is not None and its.state == State.SUCCEEDED):
            return [f"the other invoice: {its}, {charges} charges"]
        return [] if paid or case.meanwhile else ["the batch did not go on"]

    def effects(self, case: Case, expected: Verdict, operation: Operation, payments: list[Any]) -> list[str]:
        """How often it happened, by Stripe's own books: its events, records and attached payments."""
        effect = expected.effect
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
        if deed.calls == 2:
            records = [
                record["id"]
                for record in self.recent("/v1/payment_records")
                if record["metadata"].get("operation") == str(operation.pk)
            ]
            reported = by_us or expected.reported or (case.call == 2 and operation.code != "stripe_unavailable")
            if len(records) != reported:
                problems.append(f"the payment was reported {len(records)} times")
            attached = [each for each in payments if each["payment"].get("payment_record") in records]
            if len(attached) != by_us:
                problems.append(f"the payment was attached {len(attached)} times")
        if deed.makes_intent:
            problems += self.intent_problems(expected, operation, payments)
        return problems

    def intent_problems(self, expected: Verdict, operation: Operation, payments: list[Any]) -> list[str]:
        """Whether there is one PaymentIntent of the operation at most, and it is charged and credited, or neither; and
        whether nothing is left that could be charged later."""
        intents = [
            intent
            for intent in self.recent("/v1/payment_intents")
            if intent["metadata"].get("operation") == str(operation.pk)
        ]
        wanted = {"ours": ["succeeded"], "processing": ["processing"]}.get(expected.effect, ["canceled"])
        statuses = [intent["status"] for intent in intents]
        problems = [] if statuses in (wanted, []) else [f"its PaymentIntents are {statuses}, not {wanted}"]
        credited = [
            payment["id"]
            for payment in payments
            if payment["status"] == "paid"
            and payment["payment"].get("payment_intent") in {each["id"] for each in intents}
        ]
        if len(credited) != statuses.count("succeeded"):
            problems.append(f"{statuses.count('succeeded')} charged, {len(credited)} credited")
        return problems

    def recent(self, path: str, **params: Any) -> list[Any]:
        return self.stripe.raw_request("get", path, limit=10, **params).data["data"]


class Known(dict[str, str]):
    """The ids of what a path names. What is not known is no path that anything was sent to."""

    def __missing__(self, name: str) -> str:
        return f"no {name}"


def sending_problems(operation: Operation, posts: list[tuple[str, str, bytes]]) -> list[str]:
    """What is sent again is sent verbatim, under the operation's own key, and nothing under any other."""
    first: dict[str, tuple[str, bytes]] = {}
    problems = []
    made = {call.name: call.result.id for call in operation.calls if call.result}
    names = {call.path: call.name for call in operation.calls} | {
        call.path.format_map(Known(made, invoice=operation.invoice)): call.name
        for call in ACTIONS[operation.action].calls
    }
    for path, key, body in posts:
        if path.startswith("/v1/invoices/") and operation.invoice not in path:  # of the batch's other invoice
            continue
        if key != f"{operation.pk}-{names.get(path)}":
            problems.append(f"{path} was sent under {key}")
        if first.setdefault(key, (path, body)) != (path, body):
            problems.append(f"{path} was sent again with other parameters")
    return problems


def wanted_by(operation: Operation, effect: str) -> str:
    if effect in ("ours", "processing") and operation.code != "invoice_not_open":
        return "us"
    if operation.state not in Operation.FINAL:
        return ""
    return "someone_else" if operation.code == "invoice_changed" else "nobody"


def mirror_problems(id: str, invoice: dict[str, Any], payments: list[dict[str, Any]]) -> list[str]:
    problems = []
    if without_delivery_time(Invoice.objects.get(pk=id).data) != without_delivery_time(invoice):
        problems.append("the mirrored invoice is not Stripe's")
    ours = {payment.pk: payment.data for payment in InvoicePayment.objects.filter(invoice_id=id)}
    if ours != {payment["id"]: payment for payment in payments}:
        problems.append("the mirrored payments are not Stripe's")
    return problems


def timeout_for(case: Case) -> float:
    return SHORT_TIMEOUT_SECONDS if case.answer.startswith("timeout") else TIMEOUT_SECONDS


def thresholds_for(case: Case) -> dict[str, float]:
    """The invoices are of 10.00: below the threshold, unless it is the case that a second person must agree."""
    return {"default": 5 if case.deed.way == "approved" else 15}


@contextmanager
def settings_for(stripe_url: str, timeout: float, thresholds: dict[str, float]) -> Iterator[None]:
    with (
        mock.patch.object(settings, "STRIPE_API_BASE", stripe_url),
        mock.patch.object(settings, "STRIPE_TIMEOUT_SECONDS", timeout),
        mock.patch.object(settings, "APPROVAL_THRESHOLDS", thresholds),
    ):
        yield


def can_play(case: Case) -> bool:
    """Whether the database can lose its tail: it must be a file."""
    return connection.vendor == "sqlite" or not case.restored


def copy_of_database() -> sqlite3.Connection:
    """What is committed now, while other processes go on."""
    copy = sqlite3.connect(":memory:")
    connection.ensure_connection()
    connection.connection.backup(copy)
    return copy


def put_back(copy: sqlite3.Connection) -> None:
    copy.backup(connection.connection)
    copy.close()


def database_url() -> str:
    """The database that this process uses, for another one."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    credentials = f"{found['USER']}:{found['PASSWORD']}" if found["PASSWORD"] else found["USER"]
    return f"postgres://{credentials}@{found['HOST']}:{found['PORT'] or 5432}/{found['NAME']}"
