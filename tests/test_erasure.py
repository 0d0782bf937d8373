"""Erasing a customer: no name or address is left anywhere, amounts and the journal's proof stay, nothing comes back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from invoices import clock, erasure, gateway, journal, mirror, reconcile, refetch, sync
from invoices.models import (
    Batch,
    BatchItem,
    Contradiction,
    Customer,
    Drift,
    ErasedRow,
    Erasure,
    Event,
    Invoice,
    JournalLink,
    Operation,
    PaymentIntent,
    UnchainedRow,
    personal,
)
from tests.factories import customer_at, invoice_at
from tests.helpers.commands import run_command
from tests.helpers.database import without_triggers
from tests.helpers.operations import act
from tests.helpers.stripe_state import drain, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

NAME, EARLIER_NAME = "Zoë Quistgaard", "Zoë Vandermeer"
EMAIL, EARLIER_EMAIL = "zoe.quistgaard@example.org", "zvandermeer@example.org"
PHONE, STREET, CITY = "+32 2 555 01 99", "Kerkstraat 4711", "Oudenaarde-Bevere"
VALUES = (NAME, EARLIER_NAME, EMAIL, EARLIER_EMAIL, PHONE, STREET, CITY, "Quistgaard", "Vandermeer")
ADDRESS = {"line1": STREET, "city": CITY, "postal_code": "9700", "country": "BE"}


def raw_texts() -> dict[str, str]:
    """Every row of every table, as the database itself writes it."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            of_row = "t::text" if connection.vendor == "postgresql" else "*"
            cursor.execute(f'SELECT {of_row} FROM "{table}" t')
            found[table] = "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())
    return found


def spellings(value: str) -> set[str]:
    """The value in small letters, as text and as JSON writes it, once and twice escaped."""
    escaped = json.dumps(value)[1:-1]
    return {each.lower() for each in (value, escaped, json.dumps(escaped)[1:-1])}


def left(texts: dict[str, str]) -> list[tuple[str, str]]:
    """(where, value) of each personal value that is still there."""
    return [
        (where, value)
        for where, text in texts.items()
        for value in VALUES
        if any(spelling in text.lower() for spelling in spellings(value))
    ]


@pytest.fixture(autouse=True)
def unthrottled(settings: Any) -> None:
    settings.STRIPE_REQUESTS_PER_SECOND = 0


@pytest.fixture
def customer(sandbox: SandboxProcess, deliver: Callable[[], int], manager: User) -> str:
    """A customer with a history, at Stripe and in every table here. The id."""
    stripe = sandbox.client()
    given: Any = {"phone": PHONE, "address": ADDRESS, "shipping": {"name": NAME, "address": ADDRESS}}
    id: str = customer_at(sandbox, email=EARLIER_EMAIL, name=EARLIER_NAME, metadata={"called": NAME}, **given).id
    invoice_at(sandbox, customer=id, finalize=False, description=f"For {EARLIER_NAME}")
    stripe.v1.customers.update(id, {"email": EMAIL, "name": NAME})
    paid = invoice_at(sandbox, 4200, customer=id, description=f"For {NAME.upper()}", lines=11)
    void = invoice_at(sandbox, 700, customer=id)
    deleted = invoice_at(sandbox, customer=id, finalize=False, footer=f"Send to {STREET}")
    deliver()
    drain()
    act("pay", paid.id, manager)
    Operation.objects.create(
        action="pay", invoice=void.id, customer=id, actor=manager, source="admin", state="failed",
        reason="Ms Quistgaard asked on the phone", ticket=f"T-1 {EMAIL}", message="Your card was declined.",
        decline_code="generic_decline", card_fingerprint="abcdefghijklmnop",
        params={"note": f"For {NAME}", "payment_method": "pm_1"},
        error={"code": "card_declined", "message": f"{NAME} was declined"},
    )  # fmt: skip
    batch = Batch.objects.create(
        action="void", items=[BatchItem(void.id, "open", 700, "usd")], actor=manager, reason=f"For {NAME}"
    )
    in_batch = Operation.objects.create(
        action="void", invoice=void.id, customer=id, actor=manager, source="admin", state="succeeded", batch=batch,
        reason="a wrong run",
    )  # fmt: skip
    Contradiction.objects.create(
        operation=in_batch, event=Event.objects.all()[0], message="otherwise", resolved_at=clock.now(),
        resolved_by=manager, resolution=f"Called {PHONE}",
    )  # fmt: skip
    stripe.v1.invoices.void_invoice(void.id)
    stripe.v1.invoices.delete(deleted.id)
    deliver()
    drain()
    stored = Invoice.objects.get(pk=paid.id).data
    assert stored is not None
    run = reconcile.sweep_lists("full")
    Drift.objects.create(
        run=run, kind="differs", object_type="customer", object_id=id, field="name", ours=EARLIER_NAME, theirs=NAME
    )
    Drift.objects.create(
        run=run, kind="differs", object_type="invoice", object_id=paid.id, invoice=paid.id,
        field="customer_address.line1", ours=None, theirs=STREET,
    )  # fmt: skip
    run.report = {"examples": [{"id": paid.id, "theirs": f"{NAME}, {STREET}"}]}
    run.save()
    Drift.objects.create(
        run=run, kind="missing_here", object_type="invoice", object_id=paid.id, invoice=paid.id, theirs=stored
    )
    journal.chain()
    assert {table for table, _ in left(raw_texts())} == {
        f"invoices_{table}"
        for table in (
            "customer",
            "invoice",
            "event",
            "operation",
            "batch",
            "contradiction",
            "drift",
            "reconciliationrun",
        )
    }
    return id


def erase(customer: str, *words: str) -> str:
    said = StringIO()
    call_command("erase_customer", customer, "--reason", "asked by e-mail", "--yes", *words, stdout=said)
    return said.getvalue()


def sums() -> list[Any]:
    """What must stay: amounts, states and ids of the mirror, and what the journal says of who did what."""
    return [
        list(Invoice.objects.order_by("pk").values_list("pk", "status", "total", "amount_paid", "amount_remaining")),
        list(PaymentIntent.objects.order_by("pk").values_list("pk", "status", "amount", "decline_code")),
        list(Operation.objects.order_by("pk").values_list("pk", "state", "actor", "invoice", "decline_code", "before")),
        list(Event.objects.order_by("pk").values_list("pk", "type", "created", "object_id", "state")),
        [each["key"] for operation in Operation.objects.order_by("pk") for each in map(vars_of, operation.calls)],
    ]


def vars_of(call: Any) -> dict[str, Any]:
    return dict(call.to_json())


def test_nothing_personal_is_left_and_all_else_is(
    sandbox: SandboxProcess, customer: str, manager: User, deliver: Callable[[], int]
) -> None:
    other = invoice_at(sandbox, customer=customer_at(sandbox, email="other@example.org", name="Otto Other").id)
    deliver()
    drain()
    before = sums()
    sandbox.post(f"customers/{customer}/redact")
    said = erase(customer, "--ticket", "GDPR-7", "--as", manager.username)
    assert left(raw_texts()) == []
    assert "asked by e-mail" not in said and f"Erased {customer} (erasure" in said
    assert sums() == before
    assert Invoice.objects.get(pk=other.id).customer_name == "otto other"
    # Equal to Stripe, and proved so.
    assert unequal(sandbox) == [] and unequal(sandbox, "payment_intent") == []
    assert Customer.objects.get(pk=customer).data == gateway.read(f"/v1/customers/{customer}").data
    assert run_command("reconcile", "--verify")[0] == 0
    assert run_command("reconcile", "--full")[0] == 0
    # The journal: who asked for it and why, and the chain.
    made = Erasure.objects.get()
    assert (made.reason, made.ticket, made.actor, bool(made.shell_user)) == (
        "asked by e-mail", "GDPR-7", manager, True,
    )  # fmt: skip
    assert made.finished_at is not None
    code, said = run_command("journal", "verify")
    rewritten = ErasedRow.objects.values("kind", "row").distinct().count()
    assert code == 0 and f"Of {rewritten} rows the personal data was erased, and nothing else." in said
    assert {row.kind for row in ErasedRow.objects.all()} == {"event", "operation", "batch", "contradiction"}
    # Again: nothing is left to do.
    erase(customer)
    assert ErasedRow.objects.values("kind", "row").distinct().count() == rewritten == ErasedRow.objects.count()
    # Nothing comes back: Stripe's list of events, a webhook that waited, a replay.
    deliver()
    assert left(raw_texts()) == []


# --- a short history --------------------------------------------------------------------------------------------------


@pytest.fixture
def short(sandbox: SandboxProcess, deliver: Callable[[], int], manager: User) -> str:
    """A customer with one paid invoice, and an operation whose reason names her. The id."""
    id: str = customer_at(sandbox, email=EMAIL, name=NAME, phone=PHONE, address=ADDRESS).id
    invoice = invoice_at(sandbox, 4200, customer=id, description=f"For {NAME}")
    refetch.refetch("invoice", invoice.id)
    Operation.objects.create(
        action="pay", invoice=invoice.id, customer=id, actor=manager, source="admin", state="failed",
        reason="Ms Quistgaard asked",
    )  # fmt: skip
    deliver()
    drain()
    journal.chain()
    return id


def test_not_before_stripe(sandbox: SandboxProcess, short: str, deliver: Callable[[], int], manager: User) -> None:
    before = raw_texts()

    def refused(match: str, *words: str) -> None:
        with pytest.raises(CommandError, match=match):
            call_command("erase_customer", short, "--yes", *(words or ("--reason", "asked")), stdout=StringIO())
        assert raw_texts() == before  # the chain, too

    refused("Stripe still has cus_.* as it was")
    refused("names the customer", "--reason", "quistgaard wrote to us")
    refused("why", "--ticket", "T")
    Operation.objects.create(action="void", invoice=Invoice.objects.get().pk, source="admin", actor=manager)
    journal.chain()
    before = raw_texts()
    refused("The operation .* is ready")
    Operation.objects.filter(state="ready").update(state="cancelled")
    # Deleted is not redacted: the invoices at Stripe keep the name.
    sandbox.client().v1.customers.delete(short)
    deliver()
    drain()
    journal.chain()
    before = raw_texts()
    refused("Stripe still has personal data in in_.* [(]line1[)]")
    sandbox.post(f"customers/{short}/redact")
    sandbox.faults(error_500=1)
    refused("Stripe could not be asked")
    sandbox.clear_faults()
    # Stripe shows a stub of the customer, so ours is redacted here. The address of a page changes without an event.
    erase(short)
    assert left(raw_texts()) == [] and Customer.objects.get().email == personal.REDACTED
    assert unequal(sandbox) == []


def test_nothing_comes_back(
    sandbox: SandboxProcess, short: str, deliver: Callable[[], int], post_event: Callable[..., Any]
) -> None:
    # Under way: an event that was not processed, one that is delivered later, and a page that was read before.
    sandbox.client().v1.customers.update(short, {"description": f"{NAME}, of {STREET}"})
    waiting, old = [json.loads(json.dumps(event)) for event in list(gateway.walk("/v1/events"))[:2]]
    assert post_event(waiting).status_code == 200
    unseen = invoice_at(sandbox, customer=short).id
    old["id"], old["data"]["object"] = "evt_old", gateway.read(f"/v1/invoices/{unseen}").data
    unreadable = json.dumps(old).encode() + b"}"
    post_event(unreadable)
    page, _ = gateway.list_page("invoice")
    new_here = gateway.retrieve("customer", short)
    sandbox.post(f"customers/{short}/redact")
    erase(short)
    assert left(raw_texts()) == []
    assert post_event(old).status_code == 200
    assert post_event({**old, "id": "evt_card", "data": {"object": {
        "object": "payment_method", "id": "pm_1", "customer": short, "billing_details": {"name": NAME, "email": EMAIL},
    }}}).status_code == 200  # fmt: skip
    assert post_event(unreadable.replace(b"evt_old", b"evt_odd")).status_code == 400
    mirror.store(page)
    mirror.store(new_here)
    deliver()
    assert left(raw_texts()) == []
    Event.objects.update(state="failed")
    assert sync.replay() > 3
    drain()
    assert reconcile.sweep_lists("full").exit_code in (0, 3)
    assert reconcile.catch_up().exit_code == 0
    drain()
    assert left(raw_texts()) == [] and unequal(sandbox) == []
    journal.chain()
    assert run_command("journal", "verify")[0] == 0


@pytest.mark.parametrize("where", ["the first rows", "later rows", "the mirror", "the end"])
def test_interrupted_at_any_moment_it_goes_on(
    sandbox: SandboxProcess, short: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    sandbox.post(f"customers/{short}/redact")
    name, after = {
        "the first rows": ("_rewrite_locked", 0),
        "later rows": ("_rewrite_locked", 2),
        "the mirror": ("_erase_mirrored", 1),
        "the end": ("_erase_drift", 0),
    }[where]
    whole, calls = getattr(erasure, name), iter(range(100))
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 3)

    def cut(*args: Any) -> Any:
        if next(calls) >= after:
            whole(*args)  # what it did in its own transaction is rolled back with it, or stays
            raise KeyboardInterrupt
        return whole(*args)

    with monkeypatch.context() as patch:
        patch.setattr(erasure, name, cut)
        with pytest.raises(KeyboardInterrupt):
            erase(short)
    journal.chain()
    assert run_command("journal", "verify")[0] == 0
    assert Erasure.objects.get().finished_at is None
    erase(short)
    assert Erasure.objects.get().finished_at is not None
    assert left(raw_texts()) == [] and run_command("journal", "verify")[0] == 0


def test_only_an_erasure_rewrites_and_only_what_is_personal(sandbox: SandboxProcess, short: str, manager: User) -> None:
    operation, event = Operation.objects.get(), Event.objects.filter(type="invoice.finalized").get()
    row = operation.pk.hex if connection.vendor == "sqlite" else str(operation.pk)

    def sql(statement: str, *values: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            assert cursor.rowcount == 1

    def refused(statement: str, *values: Any) -> None:
        with pytest.raises(DatabaseError, match="journal is not rewritten"):
            sql(statement, *values)

    key = operation.pk.hex if connection.vendor == "sqlite" else operation.pk
    to_placeholder = "UPDATE invoices_operation SET reason = '[redacted]' WHERE id = %s"
    refused(to_placeholder, key)
    refused("UPDATE invoices_event SET body = '{}' WHERE id = %s", event.pk)
    # A thief with the application's login can record an erasure. He can remove texts, and nothing else.
    theft = Erasure.objects.create(customer=short, reason="theft", shell_user="thief")
    record = {"erasure": theft, "fixed_before": "f", "digest_before": "d", "kept": "k"}
    ErasedRow.objects.create(kind="operation", row=row, **record)
    journal.chain()
    code, said = run_command("journal", "verify")
    assert code == 3 and f"{row} is open to be rewritten" in said
    for column, value in (("state", "succeeded"), ("invoice", "in_2"), ("actor_id", None), ("reason", "nobody asked")):
        refused(f"UPDATE invoices_operation SET {column} = %s WHERE id = %s", value, key)
    refused("UPDATE invoices_operation SET reason = '[redacted]', state = 'succeeded' WHERE id = %s", key)
    refused("UPDATE invoices_event SET body = '{}' WHERE id = %s", event.pk)
    sql(to_placeholder, key)
    # And the chain says that it was no erasure of ours.
    journal.chain()
    code, said = run_command("journal", "verify")
    assert code == 3 and f"{row} was changed" in said
    forged = ErasedRow.objects.get()
    forged.rewritten_at = clock.now()
    forged.save(update_fields=["rewritten_at"])
    refused(to_placeholder.replace("[redacted]", ""), key)
    journal.chain()
    code, said = run_command("journal", "verify")
    assert code == 3 and f"{row} was changed" in said


@pytest.mark.parametrize("changed", ["an amount", "a text alone"])
def test_a_record_that_is_right_hides_no_other_change(sandbox: SandboxProcess, short: str, changed: str) -> None:
    """Whoever owns the database can also write a record with the right hashes."""
    event = Event.objects.filter(type="invoice.finalized").get()
    before = dict(journal.content.contents("event", [event.pk]))[event.pk]
    body = json.loads(event.body)
    body["data"]["object"]["description"] = personal.REDACTED
    if changed == "an amount":
        body["data"]["object"]["total"] = 1
    record = ErasedRow.objects.create(
        erasure=Erasure.objects.create(customer=short, reason="theft", shell_user="thief"),
        kind="event", row=event.pk, kept=before.kept, fixed_before=before.fixed, digest_before=before.digest,
    )  # fmt: skip
    with without_triggers():
        Event._base_manager.filter(pk=event.pk).update(body=json.dumps(body))
    after = dict(journal.content.contents("event", [event.pk]))[event.pk]
    record.fixed_after, record.digest_after, record.rewritten_at = after.fixed, after.digest, clock.now()
    record.save()
    UnchainedRow.objects.create(kind="event", row=event.pk)
    journal.chain()
    code, said = run_command("journal", "verify")
    assert (code, "changed more than personal data" in said) == ((3, True) if changed == "an amount" else (0, False))


def test_links_of_before_and_a_restored_backup(
    sandbox: SandboxProcess, short: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a version without the second hash left the chain.
    with without_triggers():
        JournalLink._base_manager.update(kept="")
        hash = journal.GENESIS
        for link in JournalLink.objects.order_by("position"):
            hash = journal.links.hash_of(link, hash)
            JournalLink._base_manager.filter(pk=link.pk).update(hash=hash)
    assert run_command("journal", "verify")[0] == 0
    archive = tmp_path / "events-2026-10.jsonl.gz"
    rows = list(Event.objects.order_by("pk").values("id", "type", "object_id", "body"))
    with gzip.open(archive, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    sandbox.post(f"customers/{short}/redact")
    # The backup is older than the erasure: only the list that was kept with it knows of it.
    kept = tmp_path / "erasures.jsonl"
    kept.write_text(json.dumps({"customer": short, "reason": "asked by e-mail"}) + "\n")
    said = StringIO()
    call_command("erase_customer", "--again", str(kept), "--archive", str(archive), stdout=said)
    assert "1 erasures were made again." in said.getvalue()
    assert left(raw_texts()) == [] and run_command("journal", "verify")[0] == 0
    with gzip.open(archive, "rt") as file:
        archived = [json.loads(line) for line in file]
    assert left({"archive": json.dumps(archived)}) == []
    bodies = dict(Event.objects.values_list("pk", "body"))
    assert [(row["id"], row["body"]) for row in archived] == [(row["id"], bodies[row["id"]]) for row in rows]
    # And the list of this database says what to make again after the next restore.
    said = StringIO()
    call_command("erase_customer", "--list", stdout=said)
    assert [json.loads(line)["reason"] for line in said.getvalue().splitlines()] == ["Again: asked by e-mail"]
    # A later version knows of one more personal member.
    rewritten = ErasedRow.objects.count()
    monkeypatch.setitem(personal.PERSONAL, "account_name", personal.WHO)
    call_command("erase_customer", "--again", stdout=StringIO())
    assert Erasure.objects.count() == 2 and ErasedRow.objects.count() > rewritten
    assert "Sandbox" not in "".join(Event.objects.values_list("body", flat=True))
    assert run_command("journal", "verify")[0] == 0


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's files are the server's")
def test_the_file_has_nothing_either(sandbox: SandboxProcess, short: str) -> None:
    sandbox.post(f"customers/{short}/redact")
    erase(short)
    path = Path(str(connection.settings_dict["NAME"]))
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    bytes_of = {file.name: file.read_bytes().decode("latin-1") for file in files if file.exists()}
    in_utf8 = {value: value.encode().decode("latin-1").lower() for value in VALUES}
    assert [v for text in bytes_of.values() for v, raw in in_utf8.items() if raw in text.lower()] == []
