"""A client that openapi-python-client generates from `/api/schema/` reads every list, and understands every reply."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import operations, reconcile
from invoices.models import ApiToken, Drift, ReconciliationRun
from tests.clients import environments
from tests.factories import customer_at, invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

HERE = Path(__file__).resolve().parent
GENERATE = "from openapi_python_client.cli import app; app()"


SCOPES = "read feed actions webhook_endpoints"
LISTS = [  # with something in them
    "GET /v1/drift",
    "GET /v1/invoice_payments",
    "GET /v1/invoices",
    "GET /v1/operations",
    "GET /v1/reconciliation_runs",
]


def lists_that_need_no_parameter(description: dict[str, Any]) -> Iterator[str]:
    for address, of_address in description["paths"].items():
        reply = of_address.get("get", {"responses": {}})["responses"].get("200", {})
        schema = reply.get("content", {}).get("application/json", {}).get("schema", {})
        if "data" in schema.get("properties", {}) and not any(
            parameter.get("required") for parameter in of_address["get"].get("parameters", ())
        ):
            yield f"GET {address}"


@pytest.fixture
def generated(client: Client, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the client, and the description from which it was generated."""
    description = client.get("/api/schema/", headers={"Accept": "application/json"}).json()
    source, config = tmp_path / "description.json", tmp_path / "config.yaml"
    source.write_text(json.dumps(description))
    config.write_text("post_hooks: []\n")
    options = ["--path", str(source), "--config", str(config), "--output-path", str(tmp_path / "desk")]
    done = subprocess.run(
        [sys.executable, "-c", GENERATE, "generate", "--meta", "none", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    modules = {path.stem.replace("_", "") for path in (tmp_path / "desk" / "api").glob("*/*.py")}
    ids = {operation["operationId"] for one in description["paths"].values() for operation in one.values()}
    assert {id.lower() for id in ids} <= modules  # the generator leaves out what it does not understand
    return tmp_path, description


def test_a_generated_client_reads_every_list_and_acts(
    generated: tuple[Path, dict[str, Any]], sandbox: SandboxProcess, live_server: Any, agent: User, manager: User
) -> None:
    folder, description = generated
    customer = customer_at(sandbox, name="Ann Example").id
    ids = {"customer": customer, "long": invoice_at(sandbox, customer=customer, lines=12).id}
    ids["paid"] = sandbox.client().v1.invoices.pay(invoice_at(sandbox, customer=customer).id).id
    ids |= {"pay": invoice_at(sandbox).id, "decline": invoice_at(sandbox, card="pm_card_chargeCustomerFail").id}
    for name, card in (("voided", "pm_card_visa"), ("declined", "pm_card_chargeCustomerFail")):
        ids[name] = invoice_at(sandbox, customer=customer_at(sandbox, card).id).id
    reconcile.sweep_lists("full")
    for action, name in (("void", "voided"), ("pay", "declined")):
        operations.execute(action, ids[name], actor=manager, source="api", params={}, reason="so")
    run = ReconciliationRun.objects.latest("pk")
    Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id=ids["pay"], field="status", ours="a")

    by_address = {
        f"{method.upper()} {address}": {"id": operation["operationId"], "tag": operation["tags"][0]}
        for address, of_address in description["paths"].items()
        for method, operation in of_address.items()
    }
    given = {
        "address": live_server.url,
        "key": ApiToken.objects.create(manager, name="a service", scopes=SCOPES)[1],
        "ids": ids,
    }
    given |= {"operations": by_address, "wrong_key": "wrong", "idempotency_key": str(uuid.uuid4())}
    given["lists"] = sorted(lists_that_need_no_parameter(description))
    found = environments.run([sys.executable, str(HERE / "generated_scenario.py"), str(folder)], given)

    for name, reply in found.items():
        assert reply["parsed"] == reply["came"], name  # understood, and nothing lost
    assert set(LISTS) <= set(given["lists"]) <= found.keys()
    assert {found[address]["status"] for address in given["lists"]} == {200}
    for address in LISTS:
        assert found[address]["came"]["data"], address
        assert found[f"{address}/{{id}}"]["status"] == 200, address
    at_stripe = sandbox.client().v1.invoices.list({"customer": customer, "limit": 100})
    assert found["page by page"]["came"] == json.loads(str(at_stripe))["data"]
    assert found["expanded"]["came"]["customer"]["name"] == "Ann Example"
    assert found["expanded"]["came"]["payments"]["data"]
    assert len(found["lines"]["came"]["data"]) == 12
    statuses = {name: found[name]["status"] for name in ("pay", "decline", "unknown", "wrong key")}
    assert statuses == {"pay": 200, "decline": 402, "unknown": 404, "wrong key": 401}
    assert found["pay"]["came"]["status"] == "paid"
    assert found["decline"]["parsed"]["error"]["decline_code"] == "generic_decline"
