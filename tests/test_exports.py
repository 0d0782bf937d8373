"""Lists as files: what they hold, how one follows on another, and what a spreadsheet makes of them."""

from __future__ import annotations

import csv
import io
import json
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from invoices import operations
from invoices.api import exports
from invoices.models import ApiToken, Invoice, Operation
from tests.factories import InvoiceObject, InvoicePaymentObject, stored

pytestmark = pytest.mark.django_db
T0 = 1_790_000_000


class Api:
    def __init__(self, group: str = "Support agent") -> None:
        user = User.objects.create_user(f"service {group}")
        user.groups.add(Group.objects.get(name=group))
        self.headers = {"Authorization": f"Bearer {ApiToken.objects.create(user, name='finance')[1]}"}

    def get(self, path: str, **query: Any) -> Any:
        answer: Any = Client().get(f"{path}?{urlencode(query)}" if query else path, headers=self.headers)
        answer.text_of_file = answer.getvalue().decode()  # of a stream, too
        return answer

    def objects(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text_of_file
        return [json.loads(line) for line in answer.text_of_file.splitlines()]

    def table(self, path: str, **query: Any) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.get(path, **query).text_of_file, newline="")))


def store(*objects: dict[str, Any]) -> None:
    for each in objects:
        stored(each)


def lines_of(number: int) -> dict[str, Any]:
    data = [{"id": f"il_{n}", "object": "line_item", "amount": n} for n in range(number)]
    return {"object": "list", "data": data, "has_more": False, "total_count": number}


def test_a_file_has_each_object_as_stripe_sent_it_with_all_its_lines() -> None:
    objects = [InvoiceObject(created=T0 + n, lines=lines_of(12), description="“ü\u2028”") for n in range(3)]
    store(*objects)
    answer = Api().get("/v1/invoices.ndjson")
    assert (
        answer["Content-Type"].startswith("application/x-ndjson") and "invoices.ndjson" in answer["Content-Disposition"]
    )
    assert "Link" not in answer and answer.text_of_file.isascii()
    assert [json.loads(line) for line in answer.text_of_file.splitlines()] == objects[::-1]


def test_a_table_has_amounts_twice_and_the_currency_beside_them() -> None:
    store(
        InvoiceObject(id="in_usd", created=T0, total=123450, amount_remaining=-5, customer_name="Ann Ö"),
        InvoiceObject(id="in_jpy", created=T0 - 1, currency="jpy", total=500, due_date=T0),
        InvoiceObject(id="in_bhd", created=T0 - 2, currency="bhd", total=1500, customer_email=None),
    )
    usd, jpy, bhd = Api().table("/v1/invoices.csv")
    assert (usd["id"], usd["currency"], usd["total"], usd["total_minor"]) == ("in_usd", "usd", "1234.50", "123450")
    assert (usd["amount_remaining"], usd["amount_remaining_minor"], usd["customer_name"]) == ("-0.05", "-5", "Ann Ö")
    assert (jpy["total"], jpy["total_minor"], jpy["due_date"]) == ("500", "500", "2026-09-21T14:13:20Z")
    assert (bhd["total"], bhd["customer_email"], bhd["due_date"]) == ("1.500", "", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_table_is_a_formula(name: str) -> None:
    store(InvoiceObject(customer_name=name, number=name))
    (row,) = Api().table("/v1/invoices.csv")
    assert row["customer_name"] == f"'{name}" and row["number"] == f"'{name}"


def test_one_file_goes_on_where_the_other_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_ROWS", 7)
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 3)
    store(*(InvoiceObject(id=f"in_{n:02}", created=T0 + n // 3, status="open" if n % 5 else "paid") for n in range(20)))
    api, path, found = Api(), "/v1/invoices.ndjson?status=open", []
    for _ in range(5):
        answer = api.get(path)
        found += [json.loads(line)["id"] for line in answer.text_of_file.splitlines()]
        if "Link" not in answer:
            break
        address, _, relation = answer["Link"].partition("; ")
        assert relation == 'rel="next"'
        path = address.strip("<>")
    else:
        pytest.fail("The files do not end.")
    assert found == [f"in_{n:02}" for n in reversed(range(20)) if n % 5]


def test_the_filters_are_those_of_the_list() -> None:
    store(InvoiceObject(id="in_1", customer="cus_1"), InvoiceObject(id="in_2", customer="cus_2"))
    api = Api()
    assert [each["id"] for each in api.objects("/v1/invoices.ndjson", customer="cus_2")] == ["in_2"]
    for query in ({"colour": "red"}, {"limit": 10}, {"ending_before": "in_1"}, {"amount_due": 5}, {"status": "nice"}):
        answer = api.get("/v1/invoices.csv", **query)
        assert answer.status_code == 400 and json.loads(answer.text_of_file)["error"]["param"] == next(iter(query))
    assert api.get("/v1/invoices.csv", starting_after="in_none").status_code == 400


def test_an_empty_list_is_a_table_with_its_head_alone() -> None:
    answer = Api().get("/v1/invoices.csv")
    assert answer.status_code == 200 and answer.text_of_file.startswith("id,created,livemode,customer,")
    assert answer.text_of_file.count("\n") == 1 and Api("Auditor").get("/v1/invoices.ndjson").text_of_file == ""


def test_payments_and_the_journal_come_as_files_too(agent: User) -> None:
    store(InvoicePaymentObject(id="inpay_1", amount_requested=250, currency="eur"))
    operation = Operation.objects.create(
        action="void", invoice="in_1", actor=agent, source="admin", reason="=cmd", state=Operation.State.SUCCEEDED
    )
    api = Api()
    assert [each["id"] for each in api.objects("/v1/invoice_payments.ndjson")] == ["inpay_1"]
    (payment,) = api.table("/v1/invoice_payments.csv")
    assert (payment["amount_requested"], payment["amount_requested_minor"], payment["currency"]) == (
        "2.50",
        "250",
        "eur",
    )
    assert [each["id"] for each in api.objects("/v1/operations.ndjson")] == [str(operation.pk)]
    (row,) = api.table("/v1/operations.csv", state="succeeded")
    assert row["id"] == str(operation.pk) and row["reason"] == "'=cmd" and row["created"].endswith("Z")
    for name in ("reconciliation_runs", "drift"):
        assert api.get(f"/v1/{name}.csv").text_of_file.startswith("id,object,")


def test_a_file_is_no_newer_than_its_list() -> None:
    """Whoever must not be shown what is older than this moment is told that a file cannot promise it."""
    api = Api()
    api.headers["Invoice-Desk-Not-Before"] = "1"
    for path in ("/v1/invoices", "/v1/invoices.ndjson", "/v1/customers.csv"):
        answer = api.get(path)
        assert answer.status_code == 400 and "Invoice-Desk-Not-Before is for single objects" in answer.text_of_file
    api.headers["Invoice-Desk-Not-Before"] = "never"
    assert api.get("/v1/invoices.ndjson").status_code == 400


def test_a_file_needs_the_permission_of_its_list() -> None:
    user = User.objects.create_user("nobody")
    key = ApiToken.objects.create(user, name="none")[1]
    for path in ("/v1/invoices.csv", "/v1/operations.ndjson"):
        assert Client().get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 403
        assert Client().get(path).status_code == 401


def test_batches_are_listed_with_their_sums_and_one_with_its_progress(agent: User) -> None:
    store(InvoiceObject(id="in_1", amount_remaining=500), InvoiceObject(id="in_2", amount_remaining=700))
    batch = operations.batch.start(
        "void", Invoice.objects.order_by("pk"), actor=agent, reason="doubled", batch_id=uuid.uuid4()
    )
    api = Api()
    (listed,) = json.loads(api.get("/v1/batches").text_of_file)["data"]
    assert (listed["id"], listed["invoices"], listed["sums"]) == (str(batch.pk), 2, {"usd": 1200})
    assert (listed["actor"], listed["reason"], listed["finished"]) == (agent.username, "doubled", None)
    one = json.loads(api.get(f"/v1/batches/{batch.pk}").text_of_file)
    assert one == listed | {"progress": {"waiting": 2}}
    assert [row["id"] for row in api.table("/v1/batches.csv")] == [str(batch.pk)]
    assert api.get("/v1/batches/none").status_code == 404
