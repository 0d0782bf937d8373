"""Reconciliation runs by token: starting one, following it, and who may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from kombu.exceptions import OperationalError

from invoices import clock, tasks
from invoices.models import ApiToken, Operation, ReconciliationRun
from tests.factories import InvoiceObject, invoice_at, stored
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = "/v1/reconciliation_runs"


class Caller:
    def __init__(self, user: User, **token: Any) -> None:
        self.headers = {"Authorization": f"Bearer {ApiToken.objects.create(user, name='finance', **token)[1]}"}

    def get(self, path: str) -> Any:
        return Client().get(path, headers=self.headers)

    def start(self, **asked: Any) -> Any:
        return Client().post(f"{RUNS}?wait=5", asked, "application/json", headers=self.headers)


@pytest.fixture
def caller(manager: User) -> Caller:
    return Caller(manager)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker that carries out what is asked for: a thread, in the place of another process."""
    working: list[threading.Thread] = []

    def carry_out(*given: Any) -> None:
        def work() -> None:
            tasks.start_reconciliation(*given)
            connection.close()

        working.append(threading.Thread(target=work))
        working[-1].start()

    monkeypatch.setattr(tasks.start_reconciliation, "delay", carry_out)
    yield
    for each in working:
        each.join(timeout=60)


def error(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


@pytest.mark.usefixtures("worker")
def test_one_is_started_and_followed_to_its_end(caller: Caller, sandbox: SandboxProcess, manager: User) -> None:
    stored(dict(invoice_at(sandbox).to_dict()))
    started = caller.start(kind="sweep")
    assert started.status_code == 200, started.content
    found = started.json()
    assert (found["object"], found["kind"]) == ("reconciliation_run", "sweep")
    ended = caller.get(f"{RUNS}/{found['id']}?wait=30").json()
    assert ended["state"] == "finished" and ended["finished"]
    assert ReconciliationRun.objects.get(pk=int(found["id"])).started_by == manager


@pytest.mark.usefixtures("worker")
def test_one_invoice_is_compared(caller: Caller, sandbox: SandboxProcess) -> None:
    made = invoice_at(sandbox)
    stored(dict(made.to_dict()))
    found = caller.start(kind="invoice", invoice=made.id).json()
    assert found["kind"] == "invoice" and found["params"] == {"invoice": made.id}


def test_while_one_is_under_way_it_is_the_answer(caller: Caller) -> None:
    running = ReconciliationRun.objects.create(kind="full", started_at=clock.now(), alive_at=clock.now())
    assert caller.start(kind="full").json()["id"] == str(running.pk)
    refused = error(caller.start(kind="sweep"), 409)
    assert refused["code"] == "run_in_progress" and str(running.pk) in refused["message"]


def test_a_run_that_no_worker_begins_is_not_said_to_be_one(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.start_reconciliation, "delay", lambda *given: None)
    answer = Client().post(f"{RUNS}?wait=0", {"kind": "verify"}, "application/json", headers=caller.headers)
    assert error(answer, 503)["code"] == "run_not_begun" and answer["Stripe-Should-Retry"] == "true"

    def unreachable(*given: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.start_reconciliation, "delay", unreachable)
    assert "nothing was started" in error(caller.start(kind="verify"), 503)["message"]


def test_who_asks_again_because_nobody_answered_starts_one_run(
    caller: Caller, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an SDK does after a 503, with the same key. The workers were away, and find both messages."""
    made = invoice_at(sandbox)
    stored(dict(made.to_dict()))
    waiting: list[Any] = []
    monkeypatch.setattr(tasks.start_reconciliation, "delay", lambda *given: waiting.append(given))
    for asked in ({"kind": "sweep"}, {"kind": "invoice", "invoice": made.id}):
        for _ in range(2):
            answer = Client().post(f"{RUNS}?wait=0", asked, "application/json", headers=caller.headers)
            assert error(answer, 503)["code"] == "run_not_begun"
    assert len(waiting) == 4
    for message in waiting:
        tasks.start_reconciliation(*message)
    begun = ReconciliationRun.objects.exclude(kind="catch_up")  # which ends each sweep
    assert sorted(begun.values_list("kind", flat=True)) == ["invoice", "sweep"]
    Client().post(f"{RUNS}?wait=0", {"kind": "sweep"}, "application/json", headers=caller.headers)
    tasks.start_reconciliation(*waiting[-1])  # this was asked for after the first one had begun
    assert begun.filter(kind="sweep").count() == 2


def test_of_two_invoices_that_are_compared_at_once_each_caller_hears_of_its_own(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in ("in_1", "in_2"):
        stored(InvoiceObject(id=id))

    def begin_both(kind: str, invoice: str, *given: Any) -> None:
        for each in ("in_1", "in_2"):
            ReconciliationRun.objects.create(
                kind=kind, params={"invoice": each}, started_at=clock.now(), alive_at=clock.now()
            )

    monkeypatch.setattr(tasks.start_reconciliation, "delay", begin_both)
    for id in ("in_1", "in_2"):
        assert caller.start(kind="invoice", invoice=id).json()["params"] == {"invoice": id}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "kind"),
        ({"kind": "part"}, "kind"),
        ({"kind": ["sweep"]}, "kind"),
        ({"kind": "invoice"}, "invoice"),
        ({"kind": "invoice", "invoice": "in_none"}, "invoice"),
        ({"kind": "sweep", "invoice": "in_1"}, "invoice"),
        ({"kind": "sweep", "since": "yesterday"}, "since"),
    ],
)
def test_what_is_asked_for_wrongly_starts_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], param: str
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks.start_reconciliation, "delay", lambda *given: sent.append(given))
    assert error(caller.start(**asked), 400)["param"] == param
    assert not sent


def test_who_may_start_one(agent: User, manager: User, auditor: User) -> None:
    for user in (agent, auditor):
        assert error(Caller(user).start(kind="sweep"), 403)["code"] == "permission_denied"
    for scopes in ("read", "read feed approve pass_through", "read pay void"):
        assert error(Caller(manager, scopes=scopes).start(kind="sweep"), 403)["code"] == "permission_denied"
    assert not ReconciliationRun.objects.exists() and not Operation.objects.exists()


def test_a_wait_for_a_run_ends_with_the_wait(caller: Caller) -> None:
    stored(InvoiceObject(id="in_1"))
    running = ReconciliationRun.objects.create(kind="sweep", started_at=clock.now(), alive_at=clock.now())
    assert caller.get(f"{RUNS}/{running.pk}?wait=1").json()["state"] == "running"
    assert error(caller.get(f"{RUNS}/{running.pk}?wait=31"), 400)["param"] == "wait"
    assert error(caller.get(f"{RUNS}/{running.pk + 1}?wait=1"), 404)["code"] == "resource_missing"
