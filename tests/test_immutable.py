"""The journal is evidence: what was asked, decided and answered is not rewritten, by no route."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test import Client

from invoices import clock
from invoices.models import (
    AccountRecord,
    ApiToken,
    Batch,
    BatchItem,
    Contradiction,
    Disclosure,
    ErasedRow,
    Erasure,
    Event,
    EventArchive,
    JournalLink,
    Operation,
    Pause,
    RecordedCall,
    Removal,
    SignInArchive,
    SignInRecord,
    TokenRecord,
    WebhookEndpoint,
    WebhookEndpointRecord,
    triggers,
)
from invoices.models.immutable import ImmutableError, ImmutableModel

pytestmark = pytest.mark.django_db

State = Operation.State
CALL = RecordedCall("pay", "/v1/invoices/in_1/pay", {"a": "1"}, "key-pay", 1)

Rows = dict[str, Any]


def people() -> tuple[User, User]:
    return (
        User.objects.get_or_create(username="asker")[0],
        User.objects.get_or_create(username="second")[0],
    )


def operation(**given: Any) -> Operation:
    values = {"action": "pay", "invoice": "in_1", "source": "admin", "actor": people()[0], "message": "said", **given}
    return Operation.objects.create(**values)


@pytest.fixture
def rows() -> Rows:
    """One row of each table of the journal, as a dictionary by the table's name."""
    asker, _ = people()
    final = operation(state="succeeded")
    event = Event.objects.create(id="evt_1", type="invoice.paid", object_id="in_1", body='{"id": "evt_1"}')
    token, _ = ApiToken.objects.create(asker, name="a service")
    made = [
        final,
        event,
        token,
        TokenRecord.objects.create(token=token, what="created", by=asker),
        Batch.objects.create(action="void", items=[BatchItem("in_2", "open", 1)], actor=asker, reason="a wrong run"),
        Pause.objects.create(action="void", reason="an audit", paused_by=asker),
        Contradiction.objects.create(operation=final, event=event, message="Stripe says otherwise"),
        AccountRecord.objects.create(number=1, account="acct_1", livemode=False, reason="The first import."),
        Removal.objects.create(
            object_type="invoice", object_id="in_9", held={}, account="acct_1", reason="foreign", removed_by="ops@host"
        ),
        JournalLink.objects.create(
            position=1, kind="event", row="evt_1", fixed="", digest="", sealed=True, made_at=clock.now(), hash=""
        ),
        EventArchive.objects.create(month="2024-03-01", file="f", count=1, sha256="s", positions="1", reason="old"),
        erasure := Erasure.objects.create(customer="cus_1", reason="asked", shell_user="ops@host"),
        SignInRecord.objects.create(what="failed", username="nobody", address="203.0.113.9"),
        SignInArchive.objects.create(month="2024-03-01", file="g", count=1, sha256="s", positions="1", reason="old"),
        ErasedRow.objects.create(
            erasure=erasure, kind="event", row="evt_9", columns="body", kept="k", fixed_before="f", digest_before="d"
        ),
        Disclosure.objects.create(customer="cus_1", what="downloaded", by=asker, reason="a request"),
        WebhookEndpointRecord.objects.create(
            endpoint=WebhookEndpoint.objects.create(url="https://example.com/", enabled_events=["*"]),
            what="created",
            by=asker,
        ),
    ]
    return {row._meta.db_table.removeprefix("invoices_"): row for row in made}


TABLES = [
    "operation",
    "event",
    "apitoken",
    "tokenrecord",
    "batch",
    "pause",
    "contradiction",
    "accountrecord",
    "removal",
    "eventarchive",
    "erasure",
    "erasedrow",
    "disclosure",
    "signinrecord",
    "signinarchive",
    "webhookendpointrecord",
    "journallink",
]


def refused(statement: str, *values: Any) -> None:
    """The statement is refused by a trigger of ours, and changes nothing."""
    with pytest.raises(DatabaseError, match=r"journal|final|has this already"), transaction.atomic():
        execute(statement, *values)


def execute(statement: str, *values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount


# --- nothing is deleted, emptied or replaced --------------------------------------------------------------------------


def test_every_trigger_is_in_place() -> None:
    """Also after the migrations that make a table anew on SQLite."""
    assert triggers.missing() == []


@pytest.mark.parametrize("table", TABLES)
def test_no_row_is_deleted(rows: Rows, table: str) -> None:
    row = rows[table]
    refused(f"DELETE FROM invoices_{table}")
    for attempt in (row.delete, type(row).objects.all().delete, lambda: type(row).objects.all()._raw_delete(None)):
        with pytest.raises(ImmutableError):
            attempt()
    with pytest.raises((DatabaseError, ProtectedError)), transaction.atomic():
        type(row)._base_manager.filter(pk=row.pk).delete()
    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_emptied(rows: Rows, table: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    refused(f"TRUNCATE invoices_{table} CASCADE")
    refused("TRUNCATE auth_user CASCADE")


@pytest.mark.parametrize("table", TABLES)
def test_no_row_is_replaced(rows: Rows, table: str) -> None:
    row = rows[table]
    before = type(row).objects.values().get(pk=row.pk)
    key = row._meta.pk.column
    columns = ", ".join(f'"{column.column}"' for column in row._meta.concrete_fields)
    if connection.vendor == "sqlite":
        refused(f"INSERT OR REPLACE INTO invoices_{table} ({columns}) SELECT {columns} FROM invoices_{table}")
        refused(f"REPLACE INTO invoices_{table} ({columns}) SELECT {columns} FROM invoices_{table}")
    else:
        column = next(name for name in row.rules.never(type(row)) if name != key and before[name] is not None)
        with pytest.raises(DatabaseError), transaction.atomic():
            execute(
                f"INSERT INTO invoices_{table} ({columns}) SELECT {columns} FROM invoices_{table} "
                f"ON CONFLICT ({key}) DO UPDATE SET {column} = NULL"
            )
    with pytest.raises(ImmutableError):
        type(row).objects.bulk_create([row], update_conflicts=True, unique_fields=[key], update_fields=["kind"])
    assert type(row).objects.values().get(pk=row.pk) == before


def test_no_row_is_displaced_by_a_unique_column(rows: Rows) -> None:
    """SQLite's OR REPLACE deletes whatever stands in the way, and fires no trigger of deletion."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has OR REPLACE")
    ready = operation(invoice="in_9", state="ready")
    waiting = operation(invoice="in_9", state="awaiting_approval")
    columns = ", ".join(f'"{column.column}"' for column in Operation._meta.concrete_fields)
    others = columns.replace('"id"', "'00000000000000000000000000000001'", 1)
    table = "invoices_operation"
    refused(f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {others} FROM {table} WHERE id = %s", ready.pk.hex)
    refused(
        f"UPDATE OR REPLACE {table} SET state = 'ready', approver_id = %s, decided_at = created_at WHERE id = %s",
        people()[1].pk,
        waiting.pk.hex,
    )
    refused("INSERT OR REPLACE INTO invoices_pause (action, reason, paused_at) VALUES ('void', 'x', '2026-01-01')")
    assert Operation.objects.filter(pk=ready.pk).exists() and Pause.objects.get().reason == "an audit"


@pytest.mark.parametrize("table", ["event", "operation", "apitoken", "batch", "journallink"])
def test_no_row_is_displaced_by_its_number(rows: Rows, table: str) -> None:
    """SQLite numbers the rows of these tables beside their key, and OR REPLACE makes room at that number too."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has OR REPLACE")
    row = rows[table]
    key = row._meta.pk.column
    columns = [column.column for column in row._meta.concrete_fields]
    other = {key: "99"}
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(other.get(name, f'"{name}"') for name in columns)
    refused(f"INSERT OR REPLACE INTO invoices_{table} (rowid, {names}) SELECT rowid, {values} FROM invoices_{table}")
    refused(f"UPDATE OR REPLACE invoices_{table} SET rowid = rowid + 1")
    assert type(row).objects.filter(pk=row.pk).exists()


def test_what_is_recorded_once_is_left_out_the_second_time(rows: Rows) -> None:
    """Its writers ask for that, with ON CONFLICT DO NOTHING."""
    used = {"token": rows["apitoken"], "what": "used", "day": "2026-11-02", "address": "10.0.0.1"}
    found = {"operation": rows["operation"], "event": rows["event"], "message": "again"}
    for _ in range(2):
        TokenRecord.objects.bulk_create([TokenRecord(**used)], ignore_conflicts=True)
        Contradiction.objects.bulk_create([Contradiction(**found)], ignore_conflicts=True)
    assert TokenRecord.objects.filter(what="used").count() == 1
    assert Contradiction.objects.get().message == "Stripe says otherwise"


def test_what_stands_already_is_an_integrity_error() -> None:
    """Callers that lose a race for the same place see what Django always raises."""
    operation(state="ready")
    with pytest.raises(IntegrityError), transaction.atomic():
        operation(state="ready")


# --- columns ----------------------------------------------------------------------------------------------------------


def _save(row: Any, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


def _save_as_new(row: Any, **changes: Any) -> None:
    values = {field.name: getattr(row, field.name) for field in row._meta.concrete_fields}
    type(row)(**{**values, **changes}).save()


def _bulk(row: Any, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
    type(row).objects.bulk_update([row], list(changes))


def _update(row: Any, **changes: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**changes)


def _update_or_create(row: Any, **changes: Any) -> None:
    type(row).objects.update_or_create(pk=row.pk, defaults=changes)


def _past_the_code(row: Any, **changes: Any) -> None:
    with transaction.atomic():
        type(row)._base_manager.filter(pk=row.pk).update(**changes)


WRITES = [_save, _save_as_new, _bulk, _update, _update_or_create, _past_the_code]
Write = Callable[..., None]

FIXED: dict[str, list[dict[str, Any]]] = {
    "signinrecord": [
        {"what": "signed_in"},
        {"username": "somebody"},
        {"user_key": 7},
        {"by": "somebody"},
        {"detail": "another"},
        {"reason": "another"},
        {"address": "198.51.100.1"},
        {"request_id": "req_1"},
        {"at": "2026-01-01T00:00:00Z"},
    ],
    "signinarchive": [
        {"month": "2024-04-01"},
        {"file": "h"},
        {"count": 2},
        {"sha256": "t"},
        {"positions": "2"},
        {"reason": "another"},
        {"shell_user": "ops@host"},
        {"made_at": "2026-01-01T00:00:00Z"},
    ],
    "event": [
        {"body": "{}"},
        {"type": "invoice.voided"},
        {"object_id": "in_2"},
        {"object_type": "customer"},
        {"created": "2026-01-01T00:00:00Z"},
        {"received_at": "2026-01-01T00:00:00Z"},
        {"livemode": False},
        {"account": "acct_1"},
        {"api_version": "2020-01-01"},
        {"request_id": "req_1"},
        {"idempotency_key": "key"},
        {"source": "catch_up"},
    ],
    "operation": [{"message": "not paid at all"}, {"state": "failed"}, {"claim_token": uuid.UUID(int=1)}],
    "tokenrecord": [{"what": "revoked"}, {"at": "2026-01-01T00:00:00Z"}, {"address": "10.0.0.1"}],
    "batch": [
        {"action": "pay"},
        {"reason": "another"},
        {"items": [BatchItem("in_3", "open", 1)]},
        {"params": {"amount": 1}},
        {"created_at": "2026-01-01T00:00:00Z"},
        {"request_id": "another"},
    ],
    "pause": [{"action": ""}, {"reason": "another"}, {"paused_at": "2026-01-01T00:00:00Z"}],
    "contradiction": [{"message": "all is well"}, {"found_at": "2026-01-01T00:00:00Z"}],
    "accountrecord": [{"account": "acct_2"}, {"livemode": True}, {"reason": "another"}, {"recorded_by": "root@host"}],
    "removal": [{"object_id": "in_8"}, {"held": {"id": "in_8"}}, {"reason": "another"}, {"removed_by": "root@host"}],
    "eventarchive": [{"file": "another"}, {"sha256": "another"}, {"positions": "1-9"}, {"changed": "evt_1"}],
    "erasure": [{"customer": "cus_2"}, {"reason": "another"}, {"requested_at": "2026-01-01T00:00:00Z"}],
    "erasedrow": [{"kind": "operation"}, {"columns": "reason"}, {"kept": "another"}, {"digest_before": "another"}],
    "disclosure": [{"customer": "cus_2"}, {"what": "viewed"}, {"reason": "another"}, {"at": "2026-01-01T00:00:00Z"}],
    "webhookendpointrecord": [{"what": "deleted"}, {"detail": "another"}, {"at": "2026-01-01T00:00:00Z"}],
    "journallink": [{"hash": "another"}, {"digest": "another"}],
    "apitoken": [{"token_key": "another"}, {"created": "2026-01-01T00:00:00Z"}],
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("table", TABLES)
def test_what_never_changes(rows: Rows, table: str, write: Write) -> None:
    model: type[ImmutableModel] = type(rows[table])
    before = model.objects.values().get(pk=rows[table].pk)
    for changes in FIXED[table]:
        with pytest.raises((ImmutableError, DatabaseError)):
            write(model.objects.get(pk=rows[table].pk), **changes)
    assert model.objects.values().get(pk=rows[table].pk) == before


ASKED: list[dict[str, Any]] = [
    {"action": "void"},
    {"invoice": "in_2"},
    {"actor": None},
    {"source": "command"},
    {"reason": "another"},
    {"ticket": "another"},
    {"address": "10.0.0.1"},
    {"shell_user": "root@host"},
    {"request_id": "another"},
    {"created_at": "2026-01-01T00:00:00Z"},
    {"params": {"amount": 1}},
    {"fingerprint": "another"},
    {"idempotency_key": "another"},
    {"key_base": uuid.UUID(int=1)},
]


@pytest.mark.parametrize("write", WRITES)
def test_what_was_asked_never_changes(write: Write) -> None:
    unfinished = operation(state="ready")
    for changes in ASKED:
        with pytest.raises((ImmutableError, DatabaseError)):
            write(Operation.objects.get(pk=unfinished.pk), **changes)
    assert Operation.objects.get(pk=unfinished.pk).reason == ""


def test_what_we_made_of_an_event_may_change(rows: Rows) -> None:
    _save(rows["event"], state=Event.State.DONE)
    _update(rows["event"], state=Event.State.PENDING, attempts=0)
    _bulk(rows["event"], state=Event.State.FAILED, error="why")
    assert Event.objects.get().state == "failed"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoices_operation SET message = 'x'",
        "UPDATE invoices_operation SET state = 'ready'",
        "UPDATE invoices_event SET state = 'done', body = '{}'",
        "UPDATE invoices_event SET received_at = '2026-01-01'",
        "UPDATE invoices_event SET livemode = NULL, account = 'acct_2'",
        "UPDATE invoices_batch SET items = '[]'",
        "UPDATE invoices_batch SET actor_id = actor_id + 1",
        "UPDATE invoices_pause SET reason = 'x'",
        "UPDATE invoices_tokenrecord SET by_id = NULL",
        "UPDATE invoices_contradiction SET message = 'x'",
        "UPDATE invoices_apitoken SET user_id = user_id + 1",
        "UPDATE invoices_journallink SET hash = 'x'",
        "UPDATE auth_user SET username = 'nobody' WHERE username = 'asker'",
    ],
)
def test_not_even_by_sql(rows: Rows, statement: str) -> None:
    refused(statement)


# --- states, calls and decisions of operations ------------------------------------------------------------------------


def test_the_moves_of_the_table_and_no_others() -> None:
    """Code and database agree on every pair of states."""
    _, second = people()
    for before in State:
        for after in State:
            row = operation(state=before, invoice=f"in_{before}_{after}")
            changes = {"state": after, "approver": second, "decided_at": clock.now()}
            legal = before == after or after in Operation.rules.moves.get(before, frozenset())
            legal = legal and before not in Operation.FINAL
            for write in (_past_the_code, _update):
                try:
                    with transaction.atomic():
                        write(row, **changes)
                        allowed = True
                        transaction.set_rollback(True)
                except (ImmutableError, DatabaseError):
                    allowed = False
                assert allowed == legal, (before, after, write)


def test_what_waits_is_not_made_ready_without_a_second_person() -> None:
    asker, second = people()
    waiting = operation(state="awaiting_approval")
    refused("UPDATE invoices_operation SET state = 'ready'")
    refused("UPDATE invoices_operation SET state = 'ready', approver_id = %s", second.pk)
    for changes in ({}, {"approver": second}, {"approver": asker, "decided_at": clock.now()}):
        with pytest.raises((ImmutableError, IntegrityError)), transaction.atomic():
            _update(waiting, state="ready", **changes)
    _update(waiting, state="ready", approver=second, decided_at=clock.now())


def test_a_decision_is_made_once() -> None:
    _, second = people()
    third = User.objects.create(username="third")
    decided = operation(state="ready", approver=second, decided_at=clock.now(), decision_reason="fine")
    for changes in ({"approver": third}, {"approver": None}, {"decided_at": clock.now()}, {"decision_reason": "no"}):
        for write in (_update, _past_the_code):
            with pytest.raises((ImmutableError, DatabaseError)):
                write(decided, **changes)
    cleared = {"approver": None, "decided_at": None, "decision_reason": ""}
    with pytest.raises(ImmutableError):
        _update(decided, state="running", **cleared)
    _update(decided, state="running")
    _update(decided, state="awaiting_approval", **cleared)  # the gate found more at stake
    assert Operation.objects.get(pk=decided.pk).approver is None


def test_a_recorded_call_stays_as_it_was_sent() -> None:
    sent = operation(state="running", calls=[CALL])
    other = RecordedCall("attach", "/v1/invoices/in_1/attach_payment", {}, "key-attach", 1)
    for calls in ([], [other], [replace(CALL, params={"a": "2"})], [replace(CALL, key="another")]):
        for write in (_update, _past_the_code):
            with pytest.raises((ImmutableError, DatabaseError)):
                write(sent, calls=calls)
    _update(sent, calls=[replace(CALL, sendings=1, first_sent_at=clock.now()), other])
    odd = RecordedCall("odd", "/v1", {"note": "a\x00b \ud800"}, "key-odd", 1)
    _update(sent, calls=[CALL, other, odd])
    _update(sent, calls=[odd, CALL, other], state="unknown")


def test_what_was_sent_does_not_go_back_to_waiting() -> None:
    for after in ("awaiting_approval", "ready", "cancelled", "expired"):
        sent = operation(state="running", calls=[CALL], invoice=f"in_{after}")
        for write in (_update, _past_the_code):
            with pytest.raises((ImmutableError, DatabaseError)):
                write(sent, state=after)


# --- batches, pauses --------------------------------------------------------------------------------------------------


def test_a_batch_that_waits_needs_a_second_person(rows: Rows) -> None:
    _, second = people()
    batch = rows["batch"]
    _update(batch, awaiting_approval=True)
    refused("UPDATE invoices_batch SET awaiting_approval = false")
    with pytest.raises(ImmutableError):
        _update(batch, awaiting_approval=False)
    _update(batch, awaiting_approval=False, approver=second, decided_at=clock.now())
    with pytest.raises(ImmutableError):
        _update(batch, approver=None)


def test_cancelled_and_finished_once_stays(rows: Rows) -> None:
    batch = rows["batch"]
    _update(batch, cancelled_at=clock.now(), cancelled_by=people()[0])
    for changes in ({"cancelled_at": None}, {"cancelled_by": people()[1]}):
        with pytest.raises(ImmutableError):
            _update(batch, **changes)
    _update(batch, finished_at=clock.now())
    refused("UPDATE invoices_batch SET cancelled_at = NULL")
    refused("UPDATE invoices_batch SET finished_at = NULL")
    refused("UPDATE invoices_batch SET confirmed_at = created_at")


def test_a_pause_ends_once(rows: Rows) -> None:
    pause = rows["pause"]
    _update(pause, resumed_at=clock.now())
    for changes in ({"resumed_at": None}, {"resumed_by": people()[0]}):
        for write in (_update, _past_the_code):
            with pytest.raises((ImmutableError, DatabaseError)):
                write(pause, **changes)


# --- people -----------------------------------------------------------------------------------------------------------


def test_who_stands_in_the_journal_keeps_the_name(rows: Rows, client: Client) -> None:
    asker, second = people()
    for changes in ("username = 'another'", "id = id + 1000"):
        with pytest.raises(DatabaseError), transaction.atomic():
            execute(f"UPDATE auth_user SET {changes} WHERE username = 'asker'")
    asker.username = "another"
    with pytest.raises(DatabaseError, match="The journal names this user"), transaction.atomic():
        asker.save()
    with pytest.raises(ProtectedError):
        asker.delete()
    assert execute("UPDATE auth_user SET username = 'free', first_name = 'x' WHERE username = 'second'") == 1
    assert execute("UPDATE auth_user SET first_name = 'x' WHERE username = 'asker'") == 1
    client.force_login(User.objects.create_superuser("root", "root@example.com", "a long enough password"))
    page = client.get(f"/admin/auth/user/{asker.pk}/change/").content.decode()
    assert 'name="username"' not in page and "stands in the journal" in page
    assert 'name="username"' in client.get(f"/admin/auth/user/{second.pk}/change/").content.decode()


def test_who_stands_in_the_journal_is_not_offered_for_deletion(rows: Rows, client: Client) -> None:
    asker, _ = people()
    newcomer = User.objects.create(username="newcomer")
    client.force_login(User.objects.create_superuser("root", password="x"))
    for user, may_be_deleted in ((asker, False), (newcomer, True)):
        page = client.get(f"/admin/auth/user/{user.pk}/change/").content.decode()
        assert (f"/admin/auth/user/{user.pk}/delete/" in page) == may_be_deleted


def test_who_stands_in_the_journal_is_not_replaced(rows: Rows) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has no OR REPLACE, and always checks its foreign keys")
    columns = ", ".join(f'"{column.column}"' for column in User._meta.concrete_fields)
    others = columns.replace('"id"', "999", 1)
    for chosen in (columns, others):
        refused(f"INSERT OR REPLACE INTO auth_user ({columns}) SELECT {chosen} FROM auth_user WHERE username = 'asker'")
    refused("UPDATE OR REPLACE auth_user SET username = 'asker' WHERE username = 'second'")
    refused("DELETE FROM auth_user WHERE username = 'asker'")


def test_stored_calls_are_compared_as_they_were_written() -> None:
    """A row of an earlier version lacks members, and can still be worked on."""
    with connection.cursor() as cursor:
        row = operation(state="unknown")
        old = json.dumps([{"name": "pay", "key": "k"}], separators=(",", ":"))
        key = row.pk.hex if connection.vendor == "sqlite" else row.pk
        cursor.execute("UPDATE invoices_operation SET calls = %s WHERE id = %s", [old, key])
    row.refresh_from_db()
    _update(row, calls=[replace(row.calls[0], sendings=2)])
