"""A tenth of the crash matrix, chosen by a seed; `make crash-matrix` plays all of it. CRASH_SEED chooses another."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.crash import report
from tests.crash.bench import Bench
from tests.crash.cases import Case, every_case
from tests.factories import invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
PARTS = 6
EVERY = list(every_case())
TENTH = random.Random(int(os.environ.get("CRASH_SEED", "1"))).sample(EVERY, len(EVERY) // 10)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_tenth_of_the_matrix(sandbox: SandboxProcess, manager: User, part: int) -> None:
    with Bench(sandbox, manager) as bench:
        results = [bench.play(case) for case in TENTH[part::PARTS]]
    assert not [(result.case.id, result.problems) for result in results if result.problems]
    page = report.recorded(report.DOCUMENT.read_text())
    assert {result.case.id: result.cell for result in results} == {
        result.case.id: page.get(report.place(result.case)) for result in results
    }


def test_at_moments_left_to_chance(sandbox: SandboxProcess, manager: User) -> None:
    dice = random.Random(os.environ.get("CRASH_SEED", "1"))
    cases = [replace(dice.choice(EVERY), point=f"at {dice.randint(1, 120)}") for _ in range(40)]
    with Bench(sandbox, manager) as bench:
        results = [bench.play(case) for case in cases]
    assert not [(result.case.id, result.problems) for result in results if result.problems]


def test_the_page_holds_every_case() -> None:
    assert set(report.recorded(report.DOCUMENT.read_text())) == {report.place(case) for case in EVERY}


def test_every_action_of_the_catalog_is_in_the_matrix() -> None:
    from invoices.operations import ACTIONS

    assert {case.deed.action for case in EVERY} == set(ACTIONS)


def test_half_a_request_is_none(sandbox: SandboxProcess) -> None:
    """Who is killed while sending has sent nothing: as at Stripe, what arrives in part is never carried out."""
    invoice = invoice_at(sandbox)
    head = f"POST /v1/invoices/{invoice.id}/pay HTTP/1.1\r\nHost: stripe\r\nAuthorization: Bearer {sandbox.key}\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(f"{head}Idempotency-Key: half\r\nContent-Length: 30\r\n\r\nexpand".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert sandbox.client().v1.invoices.retrieve(invoice.id).status == "open"


def a_case(**wanted: Any) -> Case:
    return next(case for case in EVERY if all(getattr(case, name) == value for name, value in wanted.items()))


def test_the_bench_sees_a_double_effect(
    sandbox: SandboxProcess, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof would notice: with a fresh key for what is sent again, an e-mail goes out twice."""
    import importlib

    from invoices import gateway

    act, keys = gateway.act, iter(range(1000))
    settle = importlib.import_module("invoices.operations.settle")
    monkeypatch.setattr(gateway, "act", lambda path, params, *, key: act(path, params, key=f"{key}-{next(keys)}"))
    monkeypatch.setattr(settle, "_concluded", lambda *given: False)
    with Bench(sandbox, manager) as bench:
        result = bench.play(a_case(answer="drop", point="answered 1", deed=next(c.deed for c in EVERY if c.deed.due)))
    assert "invoice.sent happened 2 times" in result.problems
