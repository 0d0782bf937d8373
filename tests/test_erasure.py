"""Erasing a customer: no name or address is left anywhere, amounts and the journal's proof stay, nothing comes back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
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


@pytest.fixture
def customer(sandbox: SandboxProcess, deliver: Callable[[], int], manager: User) -> str:
    """A customer with a history, at Stripe and in every table here. The id."""
    stripe = sandbox.client()
    given = {"phone": PHONE, "address": ADDRESS, "shipping": {"name": NAME, "address": ADDRESS}}
    id: str = customer_at(sandbox, email=EARLIER_EMAIL, name=EARLIER_NAME, metadata={"called": NAME}, **given).id
    invoice_at(sandbox, customer=id, finalize=False, description=f"For {EARLIER_NAME}")
    stripe.v1.customers.update(id, {"email": EMAIL, "name": NAME})
    paid = invoice_at(sandbox, 4200, customer=id, description=f"For {NAME.upper()}", lines=12)
    void = invoice_at(sandbox, 700, customer=id)
    outside = invoice_at(sandbox, 900, customer=id)
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
        operation=in_batch, event=Event.objects.first(), message="otherwise", resolved_at=clock.now(),
        resolved_by=manager, resolution=f"Called {PHONE}",
    )  # fmt: skip
    stripe.v1.invoices.void_invoice(void.id)
    assert outside.id
    stripe.v1.invoices.delete(deleted.id)
    deliver()
    drain()
    assert reconcile.sweep_lists("full").exit_code in (0, 3)
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
    Drift.objects.create(
        run=run, kind="missing_here", object_type="invoice", object_id=paid.id, invoice=paid.id, theirs=stored
    )
    journal.chain()
    assert {table for table, _ in left(raw_texts())} == {
        f"invoices_{table}"
        for table in ("customer", "invoice", "event", "operation", "batch", "contradiction", "drift")
    }
    return id


def erase(customer: str, *words: str) -> str:
    from io import StringIO

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
    refetch.refetch("invoice", other.id)
    before = sums()
    sandbox.post(f"customers/{customer}/redact")
    said = erase(customer, "--ticket", "GDPR-7", "--as", manager.username)
    assert left(raw_texts()) == []
    assert "asked by e-mail" not in said and f"Erased {customer} (erasure" in said
    assert sums() == before
    assert Invoice.objects.get(pk=other.id).customer_name == "otto other"
    # Equal to Stripe, and proved so.
    assert unequal(sandbox) == [] and unequal(sandbox, "payment_intent") == []
    assert Customer.objects.get(pk=customer).data == json.loads(
        gateway.json.dumps(gateway.read(f"/v1/customers/{customer}").data)
    )
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
