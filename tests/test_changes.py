"""The changes feed: every change of the mirror once, in one order without gaps, also with many writers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import psycopg
import pytest
import stripe
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.test import Client

from backoffice import serving
from invoices import changes, mirror, refetch, sync, tasks, waiting_room
from invoices.models import MIRRORED, ApiToken, Change, Customer, Invoice, UnnumberedChange, change_triggers
from invoices.snapshot import ReadTime, of_read
from tests.factories import CustomerObject, InvoiceObject, PaymentIntentObject, customer_at, invoice_at, stored
from tests.helpers import asgi, asynchronous
from tests.helpers.commands import run_command, start_command
from tests.helpers.database import plain_parameters
from tests.helpers.stripe_state import drain
from tests.helpers.web import Web, running, wait_for
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
EVERYTHING = sorted(MIRRORED)
WRITE = "INSERT INTO invoices_invoice (id, data, stored_at, livemode) VALUES (%s, '{}', now(), false)"


@pytest.fixture(autouse=True)
def begins_at_one(transactional_db: None) -> None:
    """SQLite goes on counting after the tests before have emptied the table."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = 'invoices_change'")


def told(after: int = 0) -> list[str]:
    """What the feed has after this change, in short."""
    page = changes.page(after, EVERYTHING, 1000)
    assert [each.sequence for each in page.changes] == list(range(after + 1, page.next + 1))
    return [f"{each.object_id} {each.what}" for each in page.changes]


def as_it_is(kind: str, stored: str) -> str:
    return stored


def missing(kind: str, id: str) -> list[mirror.Outcome]:
    """A read of now finds that Stripe does not have it."""
    now = datetime.now(UTC)
    return mirror.store([of_read(kind, id, None, ReadTime(now, 0, now))])


# --- what is a change -------------------------------------------------------------------------------------------------


def test_every_trigger_is_in_place() -> None:
    """Also after the migrations that make a table anew on SQLite."""
    assert change_triggers.missing() == []


def test_what_is_shown_for_the_first_time_changes_and_goes() -> None:
    draft = InvoiceObject(id="in_1", status="draft")
    stored(draft)
    stored(draft, total=2000)
    missing("invoice", "in_1")
    stored(draft)
    assert told() == ["in_1 created", "in_1 updated", "in_1 deleted", "in_1 created"]


def test_what_was_only_seen_again_has_not_changed() -> None:
    invoice = InvoiceObject(id="in_1")
    stored(invoice)
    stored(invoice)
    stored(invoice, hosted_invoice_url="https://invoice.stripe.com/1")
    stored(invoice, hosted_invoice_url="https://invoice.stripe.com/2")  # signed anew for every reply
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {Invoice._meta.db_table} SET data = data, deleted_at = NULL, stored_at = seen_until")
    assert told() == ["in_1 created", "in_1 updated"]


def test_a_row_that_exists_only_to_be_locked_is_no_change() -> None:
    missing("invoice", "in_1")
    assert Invoice.rows.get().stored_at is None
    assert told() == []
    stored(InvoiceObject(id="in_1"))
    assert told() == ["in_1 created"]
    Invoice.rows.all().delete()
    missing("invoice", "in_2")
    Invoice.rows.all().delete()
    assert told(1) == ["in_1 deleted"]


def test_many_rows_at_once() -> None:
    objects = [InvoiceObject(id=f"in_{number:03}") for number in range(300)]
    now = datetime.now(UTC)
    for total in (1, 2):
        mirror.store(
            [of_read("invoice", each["id"], {**each, "total": total}, ReadTime(now, 0, now)) for each in objects]
        )
        now = datetime.now(UTC)
    assert sorted(told()) == sorted(f"{each['id']} {what}" for each in objects for what in ("created", "updated"))


def test_what_is_given_up_was_never_told() -> None:
    stored(InvoiceObject(id="in_1"))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        stored(InvoiceObject(id="in_2"))
        raise ZeroDivisionError
    stored(InvoiceObject(id="in_3"))
    assert told() == ["in_1 created", "in_3 created"]


def test_a_removed_row_and_one_that_is_changed_past_the_mirror() -> None:
    stored(InvoiceObject(id="in_1"))
    Invoice.objects.filter(pk="in_1").update(data={"id": "in_1"})
    stored(CustomerObject(id="cus_1"))
    with transaction.atomic():
        now = datetime.now(UTC)
        assert mirror.remove(of_read("customer", "cus_1", None, ReadTime(now, 0, now)))
    assert told() == ["in_1 created", "in_1 updated", "cus_1 created", "cus_1 deleted"]


def test_an_erasure_is_a_change_and_the_feed_does_not_know_what_was_erased(sandbox: SandboxProcess) -> None:
    invoice = invoice_at(sandbox, customer=customer_at(sandbox, name="Ada Lovelace").id)
    refetch.refetch("invoice", invoice.id)
    refetch.refetch("customer", invoice.customer)
    before = changes.page(0, EVERYTHING, 100)
    assert "Lovelace" in "".join(changes.as_json(before.changes, as_it_is))
    sandbox.post(f"customers/{invoice.customer}/redact")
    call_command("erase_customer", invoice.customer, "--reason", "asked by e-mail", "--yes", stdout=StringIO())
    after = changes.page(before.next, EVERYTHING, 100)
    assert {each.object_id for each in after.changes} >= {invoice.id, invoice.customer}
    assert "Lovelace" not in "".join(changes.as_json(changes.page(0, EVERYTHING, 100).changes, as_it_is))


def test_a_trigger_that_is_missing_is_named_and_made_again(client: Client) -> None:
    table = "invoices_paymentintent"
    name = f"changes_{table}" if connection.vendor == "postgresql" else f"changes_{table}_updated"
    drop = f"DROP TRIGGER {name}" + (f" ON {table}" if connection.vendor == "postgresql" else "")
    with connection.cursor() as cursor:
        cursor.execute(drop)
    try:
        assert change_triggers.missing() == [name]
        assert any("not every change reaches the feed" in each for each in client.get("/readyz").json()["reasons"])
        with pytest.raises(CommandError, match=name):
            call_command("changes")
    finally:
        change_triggers.make_missing()
    assert change_triggers.missing() == []
    stored(PaymentIntentObject(id="pi_1"))
    stored(PaymentIntentObject(id="pi_1"), amount=5)
    assert told() == ["pi_1 created", "pi_1 updated"]


def test_the_triggers_can_be_taken_back() -> None:
    with connection.schema_editor() as editor:
        change_triggers.remove(apps, editor)
        assert len(change_triggers.missing()) == len(MIRRORED) * (1 if connection.vendor == "postgresql" else 3)
        stored(InvoiceObject())
        change_triggers.make(apps, editor)
    assert change_triggers.missing() == [] and told() == []


# --- one order, with many writers -------------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_who_writes_first_and_commits_last_appears_last() -> None:
    """And delays nobody."""
    with psycopg.connect(**plain_parameters()) as slow:
        slow.execute(WRITE, ["in_slow"])
        stored(InvoiceObject(id="in_1"))
        assert told() == ["in_1 created"]
        slow.commit()
    assert told() == ["in_1 created", "in_slow created"]


@ON_POSTGRESQL
def test_of_one_object_the_order_is_that_of_its_writes() -> None:
    """Also where the transaction that began last wrote first."""
    stored(InvoiceObject(id="in_1"))
    with psycopg.connect(**plain_parameters()) as first, psycopg.connect(**plain_parameters()) as second:
        for each in (first, second):
            each.execute("SELECT pg_current_xact_id()")
        second.execute("DELETE FROM invoices_invoice")
        waits = threading.Thread(target=first.execute, args=(WRITE, ["in_1"]))
        waits.start()  # until the second has committed
        time.sleep(0.2)
        assert waits.is_alive() and told() == ["in_1 created"]
        second.commit()
        waits.join(60)
        first.commit()
    assert told() == ["in_1 created", "in_1 deleted", "in_1 created"]


@ON_POSTGRESQL
def test_who_is_killed_in_a_transaction_leaves_no_number_out() -> None:
    with psycopg.connect(**plain_parameters()) as killed, psycopg.connect(**plain_parameters()) as killer:
        killed.execute(WRITE, ["in_killed"])
        stored(InvoiceObject(id="in_1"))
        killer.execute("SELECT pg_terminate_backend(%s, 10000)", [killed.info.backend_pid])
        killed.close()
    stored(InvoiceObject(id="in_2"))
    assert told() == ["in_1 created", "in_2 created"] and not UnnumberedChange.objects.exists()


@ON_POSTGRESQL
def test_who_reads_waits_for_who_gives_numbers() -> None:
    """Else a page could be read before the numbers that another process is giving are visible."""
    stored(InvoiceObject(id="in_1"))
    with psycopg.connect(**plain_parameters()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [changes.LOCK])
        found: list[list[str]] = []

        def read() -> None:
            found.append(told())
            connection.close()

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        assert reader.is_alive()
        other.commit()
        reader.join(60)
    assert found == [["in_1 created"]]


@ON_POSTGRESQL
def test_what_is_numbered_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "NUMBERED_AT_ONCE", 2)
    for number in range(5):
        stored(InvoiceObject(id=f"in_{number}"))
    assert [len(told(after)) for after in (0, 2, 4)] == [2, 2, 1]


@ON_POSTGRESQL
def test_where_nobody_has_read_for_long_now_is_now(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lists everything after it has no old changes to follow."""
    monkeypatch.setattr(changes, "NUMBERED_AT_ONCE", 2)
    for number in range(5):
        stored(InvoiceObject(id=f"in_{number}"))
    assert api.page("after=now")["next"] == 5
    for number in range(5):
        stored(InvoiceObject(id=f"in_1{number}"))
    tasks.tend_queues()
    assert not UnnumberedChange.objects.exists() and changes.newest() == 10


class Consumer(threading.Thread):
    """Follows the feed, page by page, from several places in turn, and keeps what the newest snapshots say."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.objects: dict[str, Any] = {}
        self.ending = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                last = self.ending.is_set()
                if not self.read() and last:
                    return
                time.sleep(0.005)
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def read(self) -> bool:
        page = changes.page(self.seen[-1] if self.seen else 0, EVERYTHING, random.choice([1, 7, 100]))
        for line in changes.as_json(page.changes, as_it_is):
            change = json.loads(line)
            self.seen.append(change["sequence"])
            self.objects[change["object_id"]] = change["snapshot"]
        return page.has_more

    def end(self) -> None:
        self.ending.set()
        self.join(60)
        assert self.error is None and not self.is_alive()


def everything_is_numbered() -> bool:
    changes.number()
    return not UnnumberedChange.objects.exists()


def test_many_writers_of_which_some_are_killed(sandbox: SandboxProcess) -> None:
    """Each change is seen once, in an order without gaps, and what was seen last of each object is what it is now."""
    chance = random.Random(1)
    consumers = [Consumer() for _ in range(3)]  # who reads gives the numbers too
    for consumer in consumers:
        consumer.start()
    many = ("100000", "100000", "40", "40")  # transactions; the first two are killed
    writers = [start_command(sandbox, "tests/helpers/writer.py", *each) for each in zip("abcd", many, strict=True)]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"writes\n"
    for writer in writers[:2]:
        time.sleep(0.5 + chance.random())
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers[2:]] == [0, 0]
    wait_for(everything_is_numbered)  # PostgreSQL ends the transactions of the killed
    held = {row.pk: row.data for model in MIRRORED.values() for row in model.rows.all()}
    count = Change.objects.count()
    assert len(held) > 10 and count > 50
    for consumer in consumers:
        consumer.end()
        assert consumer.seen == list(range(1, count + 1))
        assert consumer.objects == held


# --- over HTTP --------------------------------------------------------------------------------------------------------


def token_of(group: str | None, *permissions: str, **options: Any) -> str:
    user = User.objects.create_user(f"service-{User.objects.count()}")
    if group:
        user.groups.add(Group.objects.get(name=group))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return str(ApiToken.objects.create(user, name="ledger", **options)[1])


class Api:
    def __init__(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}

    def answer(self, query: str = "") -> Any:
        return Client().get(f"/v1/changes?{query}", headers=self.headers)

    def page(self, query: str = "") -> dict[str, Any]:
        answer = self.answer(query)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def error(self, query: str) -> tuple[int, str, str]:
        answer = self.answer(query)
        error = answer.json()["error"]
        return answer.status_code, error.get("param", ""), error["message"]


@pytest.fixture
def api() -> Api:
    return Api(token_of("Auditor"))


@pytest.mark.odd_objects
def test_a_page_has_references_and_snapshots(api: Api) -> None:
    invoice = InvoiceObject(id="in_1", number="Zoë 1", status="draft")
    invoice["lines"]["data"] = [{"id": f"il_{n}", "object": "line_item"} for n in range(12)]
    stored(invoice)
    stored(CustomerObject(id="cus_1"))
    recorded = int(Change.objects.get(object_id="in_1").recorded_at.timestamp()) if told() else 0
    assert abs(recorded - time.time()) < 60
    page = api.page()
    first, second = page.pop("data")
    cursor = page.pop("cursor")
    assert page == {"object": "list", "has_more": False, "next": 2, "url": "/v1/changes"}
    assert cursor.startswith("2.") and cursor == changes.cursor_at(2)
    snapshot = first.pop("snapshot")
    assert first == {
        "object": "change",
        "sequence": 1,
        "type": "invoice.created",
        "object_type": "invoice",
        "object_id": "in_1",
        "created": recorded,
        "deleted": False,
    }
    assert snapshot == Client().get("/v1/invoices/in_1", headers=api.headers).json()
    assert len(snapshot["lines"]["data"]) == 10
    assert (second["type"], second["snapshot"]) == ("customer.created", Customer.objects.get().data)
    missing("invoice", "in_1")
    stored(CustomerObject(id="cus_1"), name="Ada")
    page = api.page()
    assert [(each["type"], each["deleted"]) for each in page["data"]] == [
        ("invoice.created", True),  # it is gone now
        ("customer.created", False),
        ("invoice.deleted", True),
        ("customer.updated", False),
    ]
    assert [each["snapshot"] and each["snapshot"]["name"] for each in page["data"]] == [None, "Ada", None, "Ada"]


def test_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        stored(InvoiceObject(id=f"in_{number}"))
    after, seen = 0, []
    while True:
        page = api.page(f"after={after}&limit=2")
        seen += [each["object_id"] for each in page["data"]]
        after = page["cursor"]
        if not page["has_more"]:
            break
    assert (seen, after) == ([f"in_{number}" for number in range(5)], changes.cursor_at(5))
    assert api.page("after=now") == {
        "object": "list", "data": [], "has_more": False, "next": 5, "cursor": after, "url": "/v1/changes",
    }  # fmt: skip
    assert api.page("after=3") == api.page(f"after={changes.cursor_at(3)}")
    assert len(api.page("limit=0")["data"]) == 1 and len(api.page("limit=500")["data"]) == 5


def test_a_filter_passes_over_the_rest_and_need_not_read_it_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        stored(InvoiceObject(id=f"in_{number}"))
    stored(CustomerObject(id="cus_1"))
    stored(InvoiceObject(id="in_7"))
    assert [each["object_id"] for each in api.page("types[]=customer")["data"]] == ["cus_1"]
    assert api.page("types[]=customer")["next"] == 8
    page = api.page("types[]=customer&types[]=invoice&after=5&limit=2")
    assert ([each["object_id"] for each in page["data"]], page["next"], page["has_more"]) == (
        ["in_5", "cus_1"],
        7,
        True,
    )
    monkeypatch.setattr(changes, "LOOKED_THROUGH", 4)
    page = api.page("types[]=customer")
    assert (page["data"], page["next"], page["has_more"]) == ([], 4, True)
    page = api.page("types[]=customer&after=4")
    assert ([each["object_id"] for each in page["data"]], page["next"], page["has_more"]) == (["cus_1"], 8, False)


def test_whoever_comes_back_after_the_restored_desk_has_passed_its_number_is_told(api: Api) -> None:
    for number in range(4):
        stored(InvoiceObject(id=f"in_{number}"))
    early, late = api.page("limit=2")["cursor"], api.page()["cursor"]
    with connection.cursor() as cursor:  # a backup of after the second one
        cursor.execute("DELETE FROM invoices_change WHERE sequence > 2")
        if connection.vendor == "sqlite":
            cursor.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'invoices_change'")
    status, param, message = api.error(f"after={late}")
    assert (status, param) == (400, "after") and "the newest one is 2" in message
    for number in range(4, 9):
        stored(InvoiceObject(id=f"in_{number}"))
    assert [each["object_id"] for each in api.page("after=4")["data"]] == ["in_6", "in_7", "in_8"]  # in_4, in_5: missed
    status, param, message = api.error(f"after={late}")
    assert (status, param) == (400, "after") and "restored from a backup" in message
    assert len(api.page(f"after={early}")["data"]) == 5  # of what this one has seen nothing is lost


def test_what_is_refused(api: Api) -> None:
    stored(InvoiceObject())
    for query, expected in {
        "after=2": (400, "after", "No such change: '2' (the newest one is 1)."),
        "after=-1": (400, "after", "Invalid non-negative integer"),
        f"after=1.{16 * 'a'}": (400, "after", "No such change: '1' (another one has this number now; the newest one"),
        f"after=0.{16 * 'a'}": (400, "after", "No such change: '0'"),
        "after=1.a": (400, "after", "Invalid integer: 1.a"),
        "after=x": (400, "after", "Invalid integer: x"),
        "after=": (400, "after", "You passed an empty string"),
        "wait=x": (400, "wait", "Invalid integer: x"),
        "limit=1.5": (400, "limit", "Invalid integer: 1.5"),
        "types[]=dispute": (400, "types[0]", "Invalid types[0]: must be one of charge"),
        "types=invoice": (400, "types", "Invalid array"),
        "starting_after=in_1": (400, "starting_after", "Received unknown parameter: starting_after"),
        "after[gt]=1": (400, "after", 'Invalid integer: {:gt=>"1"}'),
    }.items():
        status, param, message = api.error(query)
        assert (status, param) == expected[:2] and message.startswith(expected[2]), (query, message)
    assert Client().get("/v1/changes").status_code == 401


def test_a_caller_sees_what_its_user_may_see(api: Api) -> None:
    stored(InvoiceObject(id="in_1"))
    stored(CustomerObject(id="cus_1"))
    some = Api(token_of(None, "view_customer"))
    page = some.page()
    assert ([each["object_id"] for each in page["data"]], page["next"]) == (["cus_1"], 2)
    status, _, message = some.error("types[]=customer&types[]=invoice")
    assert status == 403 and "invoices.view_invoice" in message
    assert Api(token_of(None)).answer().status_code == 403
    assert len(Api(token_of("Auditor", read_only=True)).page()["data"]) == 2


def test_a_token_that_is_not_for_the_feed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiToken, "allows", lambda token, scope: scope != "feed")
    status, _, message = api.error("")
    assert status == 403 and "feed" in message


def test_the_description_has_the_feed(client: Client, settings: Any) -> None:
    settings.INTERNAL_PAGES_OPEN = True
    found = client.get("/api/schema/?format=json").json()
    described = found["paths"]["/v1/changes"]["get"]
    assert {each["name"] for each in described["parameters"]} == {"after", "types[]", "limit", "wait"}
    envelope = described["responses"]["200"]["content"]["application/json"]["schema"]
    assert envelope["type"] == "object" and "next" in envelope["required"]
    assert envelope["properties"]["data"]["items"] == {"$ref": "#/components/schemas/change"}
    stored(InvoiceObject())
    [change] = Api(token_of("Auditor")).page()["data"]
    assert set(change) == set(found["components"]["schemas"]["change"]["required"])


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_its_time_is_over(api: Api) -> None:
    begun = time.monotonic()
    page = api.page("wait=1")
    assert 1 <= time.monotonic() - begun < 20
    assert (page["data"], page["next"]) == ([], 0)
    begun = time.monotonic()
    assert api.page("after=now&wait=30")["data"] == []
    stored(InvoiceObject())
    assert api.page("wait=30")["data"] and time.monotonic() - begun < 20


@pytest.fixture
def web(sandbox: SandboxProcess) -> Iterator[Web]:
    """With two threads for all requests."""
    os.environ["REQUEST_THREADS"] = "2"
    try:
        with running(sandbox) as server:
            yield server
    finally:
        del os.environ["REQUEST_THREADS"]


class Waiting(threading.Thread):
    """One request to a web server, and how long it took."""

    def __init__(self, web: Web, token: str, query: str) -> None:
        super().__init__(daemon=True)
        self.web, self.token, self.query = web, token, query
        self.status, self.answer, self.seconds = 0, dict[str, Any](), 0.0
        self.start()

    def run(self) -> None:
        begun = time.monotonic()
        status, body = self.web.ask("GET", f"/v1/changes?{self.query}", Authorization=f"Bearer {self.token}")
        self.seconds = time.monotonic() - begun
        self.answer, self.status = json.loads(body), status

    def end(self) -> dict[str, Any]:
        self.join(60)
        assert self.status == 200, self.answer
        return self.answer


def test_many_wait_without_a_thread_and_are_told_soon(web: Web) -> None:
    token = token_of("Auditor")
    many = [Waiting(web, token, "wait=30&types[]=invoice") for _ in range(60)]
    others = [Waiting(web, token, "wait=3&types[]=customer") for _ in range(3)]
    time.sleep(1)
    begun = time.monotonic()
    assert web.ask("GET", "/admin/login/")[0] == 200
    assert time.monotonic() - begun < 5  # a thread was free, though there are two
    assert not any(each.status for each in many)
    stored(InvoiceObject(id="in_1"))
    written = time.monotonic()
    assert {each["object_id"] for one in many for each in one.end()["data"]} == {"in_1"}
    assert time.monotonic() - written < 10
    for one in others:
        assert one.end()["data"] == [] and one.seconds >= 2.9


def in_the_server(*queries: str, then: Callable[[serving.Server, list[asgi.Client]], Any]) -> list[asgi.Client]:
    """So many requests that wait in a server without a socket, and what happens to them."""
    headers = {"authorization": f"Bearer {token_of('Auditor')}", "host": "localhost"}
    clients = [asgi.Client("GET", "/v1/changes", headers=headers) for _ in queries]

    async def ask() -> None:
        server = serving.Server(get_wsgi_application())
        for client, query in zip(clients, queries, strict=True):
            client.scope["query_string"] = query.encode()
        asked = [asyncio.create_task(client.ask(server)) for client in clients]
        while len(server.waiting_room.waiting) < min(len(clients), waiting_room.MOST_WAITING):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(then, server, clients)
        await asyncio.gather(*asked)
        assert not server.waiting_room.waiting

    asynchronous.run(ask())
    return clients


def test_who_hangs_up_is_forgotten_at_once() -> None:
    def hang_up(server: serving.Server, clients: list[asgi.Client]) -> None:
        for client in clients:
            client.hang_up()

    begun = time.monotonic()
    clients = in_the_server(*["wait=30"] * 3, then=hang_up)
    assert not any(client.sent for client in clients) and time.monotonic() - begun < 20


def test_who_waits_for_another_kind_is_not_asked_again() -> None:
    def write(server: serving.Server, clients: Any) -> None:
        stored(InvoiceObject(id="in_1"))
        connection.close()

    invoices, customers = in_the_server("wait=30&types[]=invoice", "wait=2&types[]=customer", then=write)
    assert [each["object_id"] for each in json.loads(invoices.body)["data"]] == ["in_1"]
    assert json.loads(customers.body) == {
        "object": "list", "data": [], "has_more": False, "next": 0, "cursor": "0", "url": "/v1/changes",
    }  # fmt: skip


def test_more_than_can_wait_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "MOST_WAITING", 2)
    clients = in_the_server(*["wait=1"] * 3, then=lambda server, clients: None)
    assert sorted(client.status for client in clients) == [200, 200, 503]
    [refused] = [client for client in clients if client.status == 503]
    assert refused.headers["retry-after"] == "5" and "wait for a change" in json.loads(refused.body)["error"]["message"]


def test_one_token_leaves_others_room_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "MOST_OF_ONE_TOKEN", 2)
    room, wanted = waiting_room.WaitingRoom(), waiting_room.Wanted(0, frozenset({"invoice"}), 30, "one")

    async def wait() -> None:
        for _ in range(2):
            room.enter(wanted)
        with pytest.raises(waiting_room.Full):
            room.enter(wanted)
        assert not room.enter(replace(wanted, token="another")).done()
        room.close()

    asynchronous.run(wait())


def test_a_server_that_stops_sends_the_answers_for_which_clients_wait(sandbox: SandboxProcess) -> None:
    token = token_of("Auditor")
    with running(sandbox) as web:
        one = Waiting(web, token, "wait=30")
        time.sleep(2)
        assert not one.status
        begun = time.monotonic()
        web.stop()
        assert time.monotonic() - begun < 15
        assert one.end() == {
            "object": "list", "data": [], "has_more": False, "next": 0, "cursor": "0", "url": "/v1/changes",
        }  # fmt: skip


# --- consumers --------------------------------------------------------------------------------------------------------


def test_the_official_sdk_follows_while_stripe_delivers(
    sandbox: SandboxProcess, live_server: Any, settings: Any
) -> None:
    """The loop of docs/api.md, with Stripe's SDK."""
    desk = stripe.StripeClient(token_of("Auditor"), base_addresses={"api": live_server.url})
    objects: dict[str, Any] = {}
    done = threading.Event()

    def follow() -> None:
        after = "0"
        while True:
            last = done.is_set()
            page = json.loads(desk.raw_request("get", "/v1/changes", after=after, wait=1).body)
            for change in page["data"]:
                objects[change["object_id"]] = change["snapshot"]
            after = page["cursor"]
            if last and not page["data"]:
                return

    consumer = threading.Thread(target=follow)
    consumer.start()
    sandbox.webhook(f"{live_server.url}/webhooks/stripe")
    invoices = [invoice_at(sandbox).id for _ in range(3)]
    sandbox.client().v1.invoices.pay(invoices[0])
    sandbox.client().v1.invoices.void_invoice(invoices[1])
    sandbox.settled()
    sync.process_events()
    drain()
    done.set()
    consumer.join(60)
    assert not consumer.is_alive()
    held = {row.pk: row.data for model in MIRRORED.values() for row in model.objects.filter(deleted_at=None)}
    assert set(held) == set(objects) and set(invoices) <= set(objects)
    assert {id: found for id, found in objects.items() if found != held[id]} == {}
    assert objects[invoices[0]]["status"] == "paid" and objects[invoices[1]]["status"] == "void"


def lines_of(process: subprocess.Popen[bytes], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_the_command_prints_what_is_there_and_ends() -> None:
    stored(InvoiceObject(id="in_1"))
    stored(CustomerObject(id="cus_1"))
    code, output = run_command("changes", "--types", "customer")
    [change] = map(json.loads, output.splitlines())
    assert (code, change["sequence"], change["snapshot"]["id"]) == (0, 2, "cus_1")
    assert run_command("changes", "--after", "2") == (0, "")
    assert run_command("changes", "--after", "now") == (0, "")
    for words, message in ((["--after", "x"], "a number or `now`"), (["--after", "3"], "No such change: '3'")):
        with pytest.raises(CommandError, match=message) as error:
            call_command("changes", *words)
        assert error.value.returncode == 2


def test_a_killed_command_goes_on_where_it_was(sandbox: SandboxProcess) -> None:
    stored(InvoiceObject(id="in_1"))
    follow = ("manage.py", "changes", "--follow", "--after")
    first = start_command(sandbox, *follow, "0")
    assert [each["object_id"] for each in lines_of(first, 1)] == ["in_1"]
    stored(InvoiceObject(id="in_2"))
    [second] = lines_of(first, 1)
    first.kill()
    first.communicate()
    stored(InvoiceObject(id="in_3"))
    again = start_command(sandbox, *follow, str(second["sequence"]))
    assert [each["object_id"] for each in lines_of(again, 1)] == ["in_3"]
    again.send_signal(signal.SIGTERM)
    assert again.communicate(timeout=60)[1] == b"" and again.returncode == 0


def test_the_command_ends_by_ctrl_c_and_when_nobody_reads_any_more(sandbox: SandboxProcess) -> None:
    stored(InvoiceObject(id="in_1"))
    interrupted, unread = (start_command(sandbox, "manage.py", "changes", "--follow") for _ in range(2))
    for process in (interrupted, unread):
        lines_of(process, 1)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.communicate(timeout=60)[1] == b"" and interrupted.returncode == 130
    assert unread.stdout is not None and unread.stderr is not None
    unread.stdout.close()
    stored(InvoiceObject(id="in_2"))
    assert unread.wait(60) == 0 and unread.stderr.read() == b""
