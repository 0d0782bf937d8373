"""What people do in another language stands in the journal in English, and is shown in theirs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import sign_ins
from invoices.models import Batch, Operation, Pause, SignInRecord, TokenRecord
from tests.factories import InvoiceObject, stored

pytestmark = pytest.mark.django_db
What = SignInRecord.What


@pytest.fixture
def german(client: Client) -> Client:
    client.cookies["language"] = "de"
    return client


def details(what: SignInRecord.What) -> list[str]:
    return list(SignInRecord.objects.filter(what=what).order_by("pk").values_list("detail", flat=True))


def test_a_sign_in_and_its_end(german: Client, manager: User, settings: Any) -> None:
    german.post("/admin/login/", {"username": manager.username, "password": "a long enough password"})
    assert details(What.SIGNED_IN) == ["with a password"]
    settings.SESSION_IDLE_MINUTES = 0
    german.get("/admin/")
    assert details(What.SESSION_ENDED) == ["after 0 minutes in which you asked for no page"]


def test_what_a_list_showed_that_was_downloaded(german: Client, auditor: User) -> None:
    german.force_login(auditor)
    file = german.get("/admin/invoices/signinrecord/download.csv?what=failed&at_from=2026-11-01")
    assert next(csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"))))[:3] == ["When (UTC)", "What", "Account"]
    assert details(What.LIST_DOWNLOADED) == ["Sign-ins as CSV: What: Sign-in failed · When: from 1 Nov 2026"]


def test_the_reason_of_a_pause(german: Client, manager: User) -> None:
    german.force_login(manager)
    form = {"action": "pay", "reason_choice": "An audit", "until": "1h"}
    assert german.post("/admin/invoices/pause/add/", form).status_code == 302
    assert Pause.objects.get().reason == "An audit"


def test_a_token(german: Client, manager: User) -> None:
    german.force_login(manager)
    form = {"name": "x", "user": manager.pk, "days": 3, "scopes": ["read"]}
    assert german.post("/admin/invoices/apitoken/add/", form).status_code == 200
    assert TokenRecord.objects.exists() and details(What.TOKEN_MADE) == ["“x” for read"]


def test_a_rejection(german: Client, agent: User, manager: User) -> None:
    invoice = stored(InvoiceObject())
    operation = Operation.objects.create(
        action="void", actor=agent, invoice=invoice.pk, source="admin", state="awaiting_approval", reason="x"
    )
    german.force_login(manager)
    german.post(f"/admin/invoices/operation/{operation.pk}/decide/reject/", {"reason": "no"})
    operation.refresh_from_db()
    assert operation.state == "cancelled" and operation.message.startswith("Rejected")


def test_a_batch_as_a_file_is_read_by_programs(german: Client, agent: User) -> None:
    invoice = stored(InvoiceObject(total=123400, amount_remaining=123400))
    items: Any = [[invoice.pk, invoice.status, invoice.amount_remaining]]
    batch = Batch.objects.create(action="void", actor=agent, reason="x", items=items)
    german.force_login(agent)
    answer: Any = german.get(f"/admin/invoices/batch/{batch.pk}/table.csv")
    (row,) = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert row["state"] == "waiting" and row["amount"] == "USD 1,234.00"


def test_what_changes_about_a_user(german: Client) -> None:
    root = User.objects.create_superuser("root", "root@example.com", "x")
    german.force_login(root)
    with sign_ins.not_recorded():
        person = User.objects.create_user("person")
    fields = {"username": "person", "is_staff": "on", "is_active": "on", "date_joined_0": "01.01.2026"}
    answer = german.post(f"/admin/auth/user/{person.pk}/change/", {**fields, "date_joined_1": "10:00:00"})
    assert answer.status_code == 302 and details(What.USER_CHANGED)[-1] == "staff status given"
