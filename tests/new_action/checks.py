"""Played inside a copy of the project that has the made-up action: what must follow from its one file."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from invoices import intake, operations, sync
from invoices.models import ApiToken, Invoice, Operation
from invoices.refetch import refetch
from tests.crash.bench import Bench
from tests.crash.cases import Case, Deed, cases_of
from tests.factories import invoice_at
from tests.helpers.admin_pages import action_url, hidden
from tests.helpers.events import stripe_event
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
NAME, DAY, SECONDS = "update_due_date", "2030-01-31", 1896048000
DEED = Deed("update due date", NAME, "draft", "", {"due_date": DAY}, draft=True, due=True, repeatable=True)


@pytest.fixture
def invoice(sandbox: SandboxProcess) -> Invoice:
    """A draft of what the customer is to pay within thirty days."""
    made = invoice_at(sandbox, finalize=False, collection_method="send_invoice", days_until_due=30)
    refetch("invoice", made.id)
    return Invoice.objects.get(pk=made.id)


def due_at_stripe(sandbox: SandboxProcess, invoice: Invoice) -> int | None:
    return sandbox.client().v1.invoices.retrieve(invoice.pk).due_date


def test_its_permission_and_groups(agent: User, manager: User, auditor: User) -> None:
    permission = operations.ACTIONS[NAME].permission
    assert permission == "invoices.update_due_date_invoice"
    assert agent.has_perm(permission) and manager.has_perm(permission) and not auditor.has_perm(permission)


def test_its_button_and_its_form(sandbox: SandboxProcess, invoice: Invoice, agent: User, client: Client) -> None:
    client.force_login(agent)
    address = action_url(invoice.pk, NAME)
    assert address in client.get(f"/admin/invoices/invoice/{invoice.pk}/").content.decode()
    page = client.get(address).content.decode()
    assert 'name="due_date"' in page and "The invoice is due on" in page
    sent = client.post(address, {**hidden(page), "reason": "he asked for more time", "due_date": DAY})
    assert sent.status_code == 302
    assert due_at_stripe(sandbox, invoice) == SECONDS
    assert "given a new due date" in client.get(sent["Location"]).content.decode()


def test_its_form_is_not_for_everyone(invoice: Invoice, auditor: User, client: Client) -> None:
    client.force_login(auditor)
    assert client.get(action_url(invoice.pk, NAME)).status_code == 403


def test_its_endpoint_and_its_schema(sandbox: SandboxProcess, invoice: Invoice, agent: User, client: Client) -> None:
    _, token = ApiToken.objects.create(agent, name="billing")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    address = f"/v1/invoices/{invoice.pk}/{NAME}"
    answers = [client.post(address, {"due_date": DAY}, "application/json", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].content
    assert answers[0].json()["due_date"] == SECONDS == due_at_stripe(sandbox, invoice)
    assert Operation.objects.count() == 1
    missing = client.post(address, {}, "application/json", headers={"Authorization": f"Bearer {token}"})
    assert missing.json()["error"]["param"] == "due_date"
    paths = json.loads(client.get("/api/schema/?format=json").content)["paths"]
    body = paths[f"/v1/invoices/{{id}}/{NAME}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["due_date"]["format"] == "date" and body["required"] == ["due_date"]


def test_its_command(sandbox: SandboxProcess, invoice: Invoice, agent: User) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("perform", NAME, invoice.pk, "--due-date", DAY, "--reason", "asked", "--as", "agent")
    assert ended.value.code == 0
    assert due_at_stripe(sandbox, invoice) == SECONDS


def test_its_contradictions(sandbox: SandboxProcess, invoice: Invoice, agent: User) -> None:
    """Its own effect tells them: the normal course does not ring, a late effect and a second one do."""

    def tell(operation: Operation, request: str, **changes: str) -> int:
        key = f"{operation.pk}-{NAME}"
        event = stripe_event(dict(invoice.data or {}), request={"id": request, "idempotency_key": key}, **changes)
        intake.journal([intake.event_row(event)])
        sync.process_events()
        return operation.contradictions.count()

    done = operations.execute(NAME, invoice.pk, actor=agent, source="admin", reason="asked", params={"due_date": DAY})
    assert tell(done, done.stripe_request_id, id="evt_1") == 0
    assert tell(done, "req_of_another_one", id="evt_2") == 1
    failed = Operation.objects.create(action=NAME, invoice=invoice.pk, source="admin", state="failed")
    assert tell(failed, "req_3", id="evt_3", type="invoice.finalized") == 0
    assert tell(failed, "req_3", id="evt_4") == 1


def a_quarter_of(cases: list[Case]) -> list[Case]:
    """A fixed spread of the rows: every answer, and every kill point, with either process that dies."""
    chosen = []
    for settler in (False, True):
        rows = [case for case in cases if case.settler == settler]
        answers = list(dict.fromkeys(case.answer for case in rows))
        points = list(dict.fromkeys(case.point for case in rows))
        chosen += [case for case in rows if (answers.index(case.answer) - points.index(case.point)) % 4 == 0]
    return chosen


def test_its_rows_of_the_crash_matrix(sandbox: SandboxProcess, manager: User) -> None:
    """A quarter of them, with every kill point and every answer of Stripe's: settling finds out what came of it."""
    every = list(cases_of(DEED))
    cases = a_quarter_of(every)
    for rows in (lambda case: (case.settler, case.answer), lambda case: (case.settler, case.point)):
        assert set(map(rows, cases)) == set(map(rows, every))
    assert len({case.answer for case in cases}) > 9 and len({case.point for case in cases}) > 7
    with Bench(sandbox, manager) as bench:
        results = [bench.play(case) for case in cases]
    assert not [(result.case.id, result.problems) for result in results if result.problems]
    assert {"succeeded", "failed"} <= {result.state for result in results}
