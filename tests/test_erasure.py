"""Erasing a customer: no name or address is left anywhere, amounts and the journal's proof stay, nothing comes back."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as settings_of_django
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from invoices import clock, erasure, exports, gateway, journal, mirror, notes, reconcile, refetch, sync
from invoices.journal import archives
from invoices.models import (
    Batch,
    BatchItem,
    Charge,
    Contradiction,
    CreditNote,
    Customer,
    Disclosure,
    Drift,
    Email,
    ErasedRow,
    Erasure,
    Event,
    EventArchive,
    ExportChunk,
    Invoice,
    JournalLink,
    Operation,
    Pause,
    PaymentIntent,
    Refund,
    ScheduledRefetch,
    UnchainedRow,
    partitions,
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
    return {each.lower() for each in (value, escaped, json.dumps(escaped)[1:-1], value.replace("@", "%40"))}


def left(texts: dict[str, str]) -> list[tuple[str, str]]:
    """(where, value) of each personal value that is still there."""
    return [
        (where, value)
        for where, text in texts.items()
        for value in VALUES
        if any(spelling in text.lower() for spelling in spellings(value))
    ]


@pytest.fixture(autouse=True)
def of_this_test(settings: Any, tmp_path: Path) -> None:
    settings.STRIPE_REQUESTS_PER_SECOND = 0
    settings.ARCHIVE_DIR = tmp_path / "none"


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
    credit: Any = {"invoice": paid.id, "amount": 100, "refund_amount": 100, "memo": f"For {NAME}"}
    note = stripe.v1.credit_notes.create(credit)
    (charge,) = stripe.v1.charges.list({"customer": id}).data
    stripe.v1.charges.update(charge.id, {"description": f"For {NAME}", "receipt_email": EMAIL})
    stripe.v1.refunds.update(str(note.refunds[0].refund), {"metadata": {"called": NAME}})
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
    Event.objects.filter(object_id=paid.id).update(error=f"a database said: {NAME}")
    ScheduledRefetch.objects.create(
        object_type="customer", object_id=id, asked_at=clock.now(), due_at=clock.now() + timedelta(days=9),
        error=f"No such page: /v1/customers?email={EMAIL.replace('@', '%40')}",
    )  # fmt: skip
    Drift.objects.filter(field="name").update(reason=f"ours {json.dumps(EARLIER_NAME)}")
    Drift.objects.create(
        run=run, kind="missing_here", object_type="invoice", object_id=paid.id, invoice=paid.id, theirs=stored
    )
    notes.write(paid.id, "A word without any name", author=manager)
    notes.write(paid.id, f"{NAME} called", author=manager)
    Disclosure.objects.create(customer=id, what="downloaded", by=manager, reason="Quistgaard asked what there is")
    about = {"kind": "batch_approval", "about": str(batch.pk), "recipient": "boss@example.com"}
    Email.objects.create(
        **about, subject=f"Void of {NAME}", body=f"Reason: for Ms Quistgaard\nLook: https://desk/{batch.pk}"
    )
    asked = {"format": "csv", "title": "Invoices", "file_name": "invoices.csv"}
    exports.ask(manager, "list.invoice", {"query": urlencode({"q": NAME})}, **asked)
    exports.ask(manager, "list.invoice", {"query": ""}, **asked)
    exports.run_due()
    assert ExportChunk.objects.count() == 2
    journal.chain()
    assert {table for table, _ in left(raw_texts())} == {
        f"invoices_{table}"
        for table in (
            "customer",
            "invoice",
            "charge",
            "creditnote",
            "refund",
            "event",
            "operation",
            "batch",
            "contradiction",
            "noteversion",
            "drift",
            "reconciliationrun",
            "scheduledrefetch",
            "disclosure",
            "email",
            "export",
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
        list(Charge.objects.order_by("pk").values_list("pk", "status", "amount", "amount_refunded", "failure_code")),
        list(CreditNote.objects.order_by("pk").values_list("pk", "status", "amount", "number")),
        list(Refund.objects.order_by("pk").values_list("pk", "status", "amount", "charge")),
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
    assert left(raw_texts()) == [] and not ExportChunk.objects.exists()  # compressed, they would not be found
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
    assert {row.kind for row in ErasedRow.objects.all()} == {
        *("event", "operation", "batch", "contradiction", "disclosure", "note_version")
    }
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


def test_what_nothing_rewrites_is_named(sandbox: SandboxProcess, short: str, manager: User) -> None:
    """People's reasons that belong to no customer, and what clients chose as their keys."""
    pause = Pause.objects.create(action="void", reason="Until Ms Zoë Quistgaard has paid", paused_by=manager)
    keyed = Operation.objects.create(
        action="pay", invoice=Invoice.objects.get().pk, customer=short, actor=manager, source="api", state="failed",
        idempotency_key=f"reminder-{EMAIL}",
    )  # fmt: skip
    sandbox.post(f"customers/{short}/redact")
    said = erase(short)
    assert f"pause {pause.pk} (reason), operation {keyed.pk} (idempotency_key)" in said
    assert "name the customer" in said and EMAIL not in said


def test_what_sessions_keep_is_erased_too(sandbox: SandboxProcess, short: str, desk: Client) -> None:
    """A form that could not be sent, and a message that waits for the next page, may name the customer."""
    form = {"back": "/", "to": "/", "user": 1, "at": 0, "text": urlencode({"reason": "ms quistgaard asks"})}
    other_form = {**form, "text": urlencode({"reason": "Nobody in particular"})}
    for held in (
        {"typed_text": form},
        {"_messages": json.dumps([["__json_message", 0, 20, f"Void for {NAME}.", ""]])},
        {"after_enrolment": "/admin/find/?" + urlencode({"q": EMAIL})},
        {"typed_text": other_form},
    ):
        store = SessionStore()
        store.update({**held, "seen_at": 1})
        store.save()
    sandbox.post(f"customers/{short}/redact")
    assert "3 session" in erase(short)
    kept = [session.get_decoded() for session in Session.objects.all() if session.pk != desk.session.session_key]
    assert kept.count({"seen_at": 1}) == 3 and {"typed_text": other_form, "seen_at": 1} in kept
    assert desk.get("/admin/").status_code == 200  # who is signed in stays so


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
    sandbox.post(f"customers/{short}/redact")
    # The backup is older than the erasure: only the list that was kept with it knows of it.
    kept = tmp_path / "erasures.jsonl"
    kept.write_text(json.dumps({"customer": short, "reason": "asked by e-mail"}) + "\n")
    said = StringIO()
    call_command("erase_customer", "--again", str(kept), stdout=said)
    assert "1 erasures were made again." in said.getvalue()
    assert left(raw_texts()) == [] and run_command("journal", "verify")[0] == 0
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


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def archived(short: str, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that came of the customer until now is in an archive, as if it were long ago, under her earlier name too; an
    operation has that name, and a later event is in the table. The folder."""
    settings.ARCHIVE_DIR = tmp_path / "archive"
    of_customer = Event.objects.get(type="customer.created")
    body = of_customer.body.replace(NAME, EARLIER_NAME)
    Event.objects.create(id="evt_earlier", type="customer.updated", created=of_customer.created, object_id=short,
                         body=body.replace(of_customer.pk, "evt_earlier"), state="done")  # fmt: skip
    monkeypatch.setattr(archives, "KEPT", timedelta(days=-70))
    monkeypatch.setattr(archives, "_drop_partition", lambda row: 0)  # the tables of the other tests
    archive()
    assert not Event.objects.exists() and EventArchive.objects.exists()
    Operation.objects.create(action="pay", invoice=Invoice.objects.get().pk, customer=short, source="admin",
                             state="failed", reason=f"For Ms {EARLIER_NAME}")  # fmt: skip
    journal.chain()
    return tmp_path / "archive"


def archive() -> None:
    list(archives.archive(partitions.later(clock.now().date(), 1), settings_of_django.ARCHIVE_DIR, archives.By("old")))


def files(folder: Path) -> dict[str, str]:
    """Every file of the folder as text."""
    return {
        path.name: (gzip.decompress(path.read_bytes()) if path.read_bytes()[:2] == b"\x1f\x8b" else path.read_bytes())
        .decode()
        for path in folder.iterdir()
    }  # fmt: skip


def verified(folder: Path) -> tuple[int, str]:
    return run_command("journal", "verify", "--archive", str(folder))


def test_what_is_archived_is_erased_too(
    sandbox: SandboxProcess, archived: Path, short: str, deliver: Callable[[], int]
) -> None:
    sandbox.client().v1.customers.update(short, {"description": f"of {STREET}"})
    deliver()
    drain()
    assert {where for where, _ in left(files(archived))} == {EventArchive.objects.get().file}
    sandbox.post(f"customers/{short}/redact")
    # Nothing is begun where the files are not.
    elsewhere = archived.rename(archived.with_name("elsewhere"))
    with pytest.raises(CommandError, match="--archive DIR"):
        erase(short)
    assert not Erasure.objects.exists()
    elsewhere.rename(archived)
    said = erase(short)
    assert "archived event" in said
    assert left(raw_texts()) == [] and left(files(archived)) == []
    made = archives.current().get()
    assert made.replaces is not None and made.reason == f"Erasure {Erasure.objects.get().pk}: asked by e-mail"
    assert json.loads((archived / made.file.replace(".jsonl.gz", ".json")).read_text())["sha256"] == made.sha256
    assert verified(archived)[0] == 0
    # What was redacted in the table is archived like anything else, and what is archived comes to nobody's hands again.
    deliver()
    archive()
    assert not Event.objects.exists() and verified(archived)[0] == 0 and left(files(archived)) == []
    count = EventArchive.objects.count()
    erase(short)
    assert EventArchive.objects.count() == count and verified(archived)[0] == 0  # nothing was left to do
    # A change on record that is more than an erasure, by whoever may write both, is found.
    path = archived / made.file
    forged = "\n".join(archives.lines(path)).replace("4200", "9900").encode() + b"\n"
    path.write_bytes(gzip.compress(forged))
    assert "its SHA-256 is another" in verified(archived)[1]
    said_of_it = {"count": made.count, "positions": made.positions, "changed": made.changed, "replaces": made}
    sha256 = archives.digest_of(path)
    EventArchive.objects.create(month=made.month, file=made.file, sha256=sha256, reason="x", **said_of_it)
    journal.chain()
    code, said = verified(archived)
    assert code == 3 and "was changed, and not only in personal data" in said


def test_a_rewrite_that_is_killed_goes_on(
    sandbox: SandboxProcess, archived: Path, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.post(f"customers/{short}/redact")
    # What a process left that died while it archived, or before it had its row.
    leftover = archived / "events-2020-01.jsonl.gz"
    leftover.write_bytes((archived / EventArchive.objects.get().file).read_bytes())
    (archived / f"{leftover.name}.part").write_text(f"half of {NAME}")
    for step in ("_write_lines", "save", "chain", "_write_manifest"):

        def die(*given: Any, step: str = step, **named: Any) -> Any:
            if step == "_write_lines":
                next(iter(given[1]))
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(EventArchive if step == "save" else archives, step, die)
            erase(short)
        assert EventArchive.objects.count() == (1 if step in ("_write_lines", "save") else 2)
    with pytest.raises(journal.NotArchivable, match="is being erased"):
        archive()
    erase(short)
    assert left(raw_texts()) == [] and left(files(archived)) == []
    assert not [name for name in files(archived) if name.endswith((".new", ".part"))]
    made = archives.current().get()
    assert json.loads((archived / made.file.replace(".jsonl.gz", ".json")).read_text())["sha256"] == made.sha256
    assert verified(archived)[0] == 0


def test_an_older_backup_meets_a_file_that_was_rewritten(
    sandbox: SandboxProcess, archived: Path, short: str, tmp_path: Path
) -> None:
    """The database knows the file as it was; the file is later. And the other way round."""
    sandbox.post(f"customers/{short}/redact")
    [path] = archived.glob("*.gz")
    old, row = path.read_bytes(), EventArchive.objects.get()
    event = next(event for event in archives.read(path) if event.object_id == short)
    event.body = personal.redacted_text(event.body)
    archives._write_lines(
        tmp_path / "later.gz",
        (archives._line(event) if archives.event_of(line).pk == event.pk else line for line in archives.lines(path)),
    )
    (tmp_path / "later.gz").replace(path)
    assert "its SHA-256 is another" in verified(archived)[1]
    kept = tmp_path / "erasures.jsonl"
    kept.write_text(json.dumps({"customer": short, "reason": "asked by e-mail"}) + "\n")
    forged = gzip.decompress(path.read_bytes()).replace(b"4200", b"9900")
    later = path.read_bytes()
    path.write_bytes(gzip.compress(forged))
    with pytest.raises(CommandError, match="is not what was chained"):
        call_command("erase_customer", "--again", str(kept), stdout=StringIO())
    path.write_bytes(later)
    call_command("erase_customer", "--again", str(kept), stdout=StringIO())
    assert left(raw_texts()) == [] and left(files(archived)) == [] and verified(archived)[0] == 0
    assert event.pk in archives.current().get().changed.split() and archives.current().get().replaces == row
    # A file of a backup has what was erased: it is not the one that the journal names now.
    path.write_bytes(old)
    assert "its SHA-256 is another" in verified(archived)[1]
    call_command("erase_customer", "--again", stdout=StringIO())
    assert left(files(archived)) == [] and verified(archived)[0] == 0


def content_of(file: Path) -> bytes:
    return subprocess.run(["cat", str(file)], capture_output=True, timeout=20, check=True).stdout


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's files are the server's")
def test_the_file_has_nothing_either(sandbox: SandboxProcess, short: str) -> None:
    sandbox.post(f"customers/{short}/redact")
    erase(short)
    path = Path(str(connection.settings_dict["NAME"]))
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    # Another process reads them. A process that closes a file of SQLite's itself loses all its locks on it (POSIX). The
    # next process to leave the database would then take away the log that this one still writes: "disk I/O error".
    bytes_of = {file.name: content_of(file).decode("latin-1") for file in files if file.exists()}
    in_utf8 = {value: value.encode().decode("latin-1").lower() for value in VALUES}
    assert [v for text in bytes_of.values() for v, raw in in_utf8.items() if raw in text.lower()] == []
