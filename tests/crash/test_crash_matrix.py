"""A part of the crash matrix, chosen by a seed; `make crash-matrix` plays all of it. CRASH_SEED chooses another part,
THOROUGH=1 a larger one."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices.operations import gate
from tests.crash import report
from tests.crash.bench import Bench, can_play
from tests.crash.cases import PAY, SEND, Case, every_case
from tests.factories import invoice_at
from tests.helpers.thorough import THOROUGH
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
PARTS = 6
EVERY = list(every_case())


def sample(dice: random.Random) -> list[Case]:
    """A share of all, and of each row in which somebody else or the database has a part, at least one more."""
    rows: dict[tuple[str, str], list[Case]] = {}
    for case in EVERY:
        if case.deed.way or case.meanwhile:
            rows.setdefault((report.heading(case), case.row), []).append(case)
    chosen = dice.sample(EVERY, len(EVERY) // (20 if THOROUGH else 50)) + [dice.choice(row) for row in rows.values()]
    return list(dict.fromkeys(chosen))


SAMPLE = sample(random.Random(int(os.environ.get("CRASH_SEED", "1"))))


@pytest.mark.parametrize("part", range(PARTS))
def test_a_part_of_the_matrix(sandbox: SandboxProcess, manager: User, part: int) -> None:
    with Bench(sandbox, manager) as bench:
        results = [bench.play(case) for case in SAMPLE[part::PARTS] if can_play(case)]
    assert not [(result.case.id, result.problems) for result in results if result.problems]
    page = report.recorded(report.DOCUMENT.read_text())
    assert {result.case.id: result.cell for result in results} == {
        result.case.id: page.get(report.place(result.case)) for result in results
    }


def test_at_moments_left_to_chance(sandbox: SandboxProcess, manager: User) -> None:
    dice = random.Random(os.environ.get("CRASH_SEED", "1"))
    without = [case for case in EVERY if not case.meanwhile]  # what happens at a point needs the point
    cases = [replace(dice.choice(without), point=f"at {dice.randint(1, 120)}") for _ in range(30 if THOROUGH else 12)]
    with Bench(sandbox, manager) as bench:
        results = [bench.play(case) for case in cases]
    assert not [(result.case.id, result.problems) for result in results if result.problems]


def test_the_page_holds_every_case() -> None:
    assert set(report.recorded(report.DOCUMENT.read_text())) == {report.place(case) for case in EVERY}


def test_every_action_is_in_the_matrix() -> None:
    from invoices.operations import ACTIONS

    assert {case.deed.action for case in EVERY} == set(ACTIONS)


def test_half_a_request_is_none(sandbox: SandboxProcess) -> None:
    """A process that is killed while sending changes nothing: like Stripe, the sandbox does not carry out a request
    of which only a part arrived."""
    invoice = invoice_at(sandbox)
    head = f"POST /v1/invoices/{invoice.id}/pay HTTP/1.1\r\nHost: stripe\r\nAuthorization: Bearer {sandbox.key}\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(f"{head}Idempotency-Key: half\r\nContent-Length: 30\r\n\r\nexpand".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert sandbox.client().v1.invoices.retrieve(invoice.id).status == "open"


def a_case(**wanted: Any) -> Case:
    return next(case for case in EVERY if all(getattr(case, name) == value for name, value in wanted.items()))


@pytest.mark.parametrize("restored", [False, True])
def test_the_bench_sees_a_double_effect(
    sandbox: SandboxProcess, manager: User, monkeypatch: pytest.MonkeyPatch, restored: bool
) -> None:
    """The bench notices a double effect. Here each repeated request has another key, so the e-mail is sent twice."""
    import importlib

    from invoices import gateway

    act, fresh = gateway.act, iter(range(1000))
    settle = importlib.import_module("invoices.operations.settle")
    case = a_case(deed=SEND, meanwhile="settled", point="read") if restored else a_case(deed=SEND, answer="drop")
    if not can_play(case):
        pytest.skip("the database is no file")

    def act_under_a_fresh_key(path: str, params: Any, *, idempotency_key: str) -> gateway.Reply:
        return act(path, params, idempotency_key=f"{idempotency_key}-{next(fresh)}")

    monkeypatch.setattr(gateway, "act", act_under_a_fresh_key)
    monkeypatch.setattr(settle.Settlement, "conclude", lambda self, evidence: False)
    with Bench(sandbox, manager) as bench:
        result = bench.play(case if restored else replace(case, point="answered 1"))
    assert "invoice.sent happened 2 times" in result.problems


def test_the_bench_sees_a_sending_without_authority(
    sandbox: SandboxProcess, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "authority_refusal", lambda operation: None)
    with Bench(sandbox, manager) as bench:
        result = bench.play(a_case(deed=PAY, meanwhile="permission", point="stored 1", goes_on=False))
    assert "charges is 1, not 0" in result.problems
