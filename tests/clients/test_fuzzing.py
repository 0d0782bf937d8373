"""Schemathesis against a live desk: whatever the description allows, and what it does not, is answered as described."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import reconcile
from invoices.models import ApiToken
from tests.factories import invoice_at
from tests.helpers.thorough import THOROUGH
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.django_db(transaction=True)]

HERE = Path(__file__).resolve().parent
CONFIG, CHECKS = HERE / "schemathesis.toml", "fuzzing_checks"
SEED = 13
EXAMPLES = 20 if THOROUGH else 5  # of each operation
# The phase "coverage" tries each boundary of each parameter, which takes most of the time.
PHASES = "examples,coverage,fuzzing,stateful" if THOROUGH else "fuzzing,stateful"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "0"))  # goes on until they are over, with another seed each time


@pytest.mark.timeout(SECONDS + 600)
def test_every_request_is_answered_as_described(
    client: Client, sandbox: SandboxProcess, live_server: Any, agent: User, tmp_path: Path
) -> None:
    for _ in range(3):
        invoice_at(sandbox, lines=2)
    # Something of every kind: a feed that has nothing to tell would wait for it.
    stripe = sandbox.client()
    paid = stripe.v1.invoices.pay(invoice_at(sandbox).id)
    stripe.v1.credit_notes.create({"invoice": paid.id, "amount": 100, "refund_amount": 100})
    reconcile.sweep_lists("full")
    source = tmp_path / "description.json"
    source.write_bytes(client.get("/api/schema/", headers={"Accept": "application/json"}).content)
    key = ApiToken.objects.create(agent, name="a service", scopes="read feed actions")[1]
    chance = ["--max-time", str(SECONDS)] if SECONDS else ["--seed", str(SEED)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", str(source)),
            *("--url", live_server.url, "--header", f"Authorization: Bearer {key}", "--checks", "all"),
            *(
                "--exclude-checks",
                "unsupported_method",
            ),  # it wants a 405, and Stripe answers 404: see fuzzing_checks.py
            *("--phases", PHASES, "--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color", *chance),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": CHECKS, "PYTHONPATH": str(HERE), "NO_PROXY": "127.0.0.1,localhost"},
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr
