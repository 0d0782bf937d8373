"""Many rows in one statement: each is the row that Django itself would have written."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as conf
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from invoices import clock, intake, mirror, sync
from invoices.models import (
    MIRRORED,
    Charge,
    CreditNote,
    Customer,
    Event,
    Invoice,
    InvoicePayment,
    JournalLink,
    Mirrored,
    PaymentIntent,
    Refund,
    many_rows,
)
from invoices.models.reading import one_line, storable, text
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    RefundObject,
)
from tests.helpers.events import stripe_event
from tests.helpers.snapshots import ODD, event

ON_POSTGRESQL = "postgres" in conf.DATABASES["default"]["ENGINE"]
STAMP = 1_790_000_000
OBJECTS = {
    Customer: CustomerObject,
    Invoice: InvoiceObject,
    InvoicePayment: InvoicePaymentObject,
    PaymentIntent: PaymentIntentObject,
    Charge: ChargeObject,
    CreditNote: CreditNoteObject,
    Refund: RefundObject,
}


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": [found]}
    return found


HOSTILE: list[dict[str, Any]] = [
    *ODD,
    {"number": "", "customer_email": "", "status": ""},
    {"number": '{"a",NULL}', "customer_name": "\\", "customer_email": "NULL", "currency": ","},
    {"amount_due": -(2**63), "amount_paid": 2**63 - 1, "attempt_count": 0, "attempted": False},
    {"metadata": deep(150)},
    {"description": "'; DROP TABLE invoices_invoice; --", "footer": "%s %b $1 {}"},
]


def held(row: Mirrored) -> tuple[Any, ...]:
    """Every column but the id, as the database has it."""
    columns = ", ".join(str(field.column) for field in row._meta.concrete_fields if not field.primary_key)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {row._meta.db_table} WHERE id = %s", [row.pk])
        return tuple(cursor.fetchone())


def check_same(model: type[Mirrored], first: dict[str, Any], second: dict[str, Any]) -> None:
    """Inserted and then updated: by `many_rows`, and by Django one row at a time."""
    model.rows.all().delete()
    many, plain = model(id="x_many"), model(id="x_plain")
    for stamp, data in enumerate((first, second)):
        now = clock.now()
        for row in (many, plain):
            mirror.apply(row, event(data | {"object": model.OBJECT, "id": "x_1"}, stamp * 100), now)
        before = copy.copy(plain)
        if stamp:
            names = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
            many_rows.update(model, [many], names)
        else:
            assert many_rows.insert(model, [many], absent=True) == {"x_many"}
        plain.save(force_insert=not stamp)
        assert held(many) == held(plain)
        [again] = many_rows.locked(model, ["x_many"])
        assert again.data == before.data and list(again.__dict__) == list(model.rows.get(pk="x_many").__dict__)
        for field in model._meta.concrete_fields:
            if not field.primary_key:
                assert getattr(again, field.attname) == getattr(model.rows.get(pk="x_plain"), field.attname)


@pytest.mark.django_db
class TestTheSameRow:
    @pytest.mark.parametrize("odd", HOSTILE, ids=lambda odd: ",".join(odd)[:40])
    def test_of_hostile_objects(self, odd: dict[str, Any]) -> None:
        check_same(Invoice, InvoiceObject() | odd, InvoiceObject())
        check_same(Invoice, InvoiceObject(), InvoiceObject() | odd)

    texts = st.text(st.characters(), max_size=20)  # with NUL, and halves of surrogate pairs
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(2**62, 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
    objects = st.dictionaries(
        st.sampled_from([*InvoiceObject(), *InvoicePaymentObject(), *PaymentIntentObject(), "new"]), values, max_size=8
    )

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(model=st.sampled_from(list(OBJECTS)), first=objects, second=objects)
    def test_whatever_is_sent(self, model: type[Mirrored], first: dict[str, Any], second: dict[str, Any]) -> None:
        with transaction.atomic():
            check_same(model, first, second)


@pytest.mark.django_db
class TestInserting:
    def test_in_one_batch_some_have_what_others_lack(self) -> None:
        lacking = {"object": "invoice", "id": "in_a"}
        mirror.store([event(InvoiceObject(id="in_b", due_date=STAMP)), event(lacking), event(InvoiceObject(id="in_c"))])
        assert [row.due_date is None for row in Invoice.objects.order_by("id")] == [True, False, True]
        assert [row.status for row in Invoice.objects.order_by("id")] == [None, "open", "open"]

    def test_a_row_that_is_there_is_left_as_it_is(self) -> None:
        mirror.store([event(InvoiceObject(id="in_a", status="paid"))])
        if ON_POSTGRESQL:  # on SQLite nobody else can have written since the caller looked
            assert many_rows.insert(Invoice, [Invoice(id="in_a"), Invoice(id="in_b")], absent=True) == {"in_b"}
            assert Invoice.objects.get(pk="in_a").status == "paid"

    def test_or_refused(self) -> None:
        link = {"kind": "event", "row": "evt_1", "sealed": True, "made_at": clock.now()}
        hashes = {"fixed": "a", "digest": "b", "kept": "c", "hash": "d"}
        many_rows.insert(JournalLink, [JournalLink(position=1, **link, **hashes)])
        with pytest.raises(IntegrityError), transaction.atomic():
            many_rows.insert(JournalLink, [JournalLink(position=1, **link, **hashes)])

    @pytest.mark.skipif(not ON_POSTGRESQL, reason="on SQLite nobody else can write between the look and the insertion")
    def test_one_that_another_writer_inserted_after_the_look_is_held_against_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paid = InvoiceObject(status="paid")
        mirror.store([event(paid)])
        monkeypatch.setattr(mirror, "_known_ids", lambda model, ids: [])
        outcomes = mirror.store([event(paid | {"status": "open"}), event(InvoiceObject(id="in_new"))])
        assert [outcome.decision for outcome in outcomes] == [mirror.Decision.DROP, mirror.Decision.STORE]
        assert Invoice.objects.get(pk=paid["id"]).status == "paid" and Invoice.objects.filter(pk="in_new").exists()


def statements_of(number: int) -> Iterator[str]:
    """The statements of one batch of events of so many invoices, half of which the mirror has already."""
    invoices = [InvoiceObject(id=f"in_{number}_{each}") for each in range(number)]
    mirror.store([event(invoice) for invoice in invoices[::2]])
    for each, invoice in enumerate(invoices):
        told = stripe_event(invoice | {"total": 7}, id=f"evt_{number}_{each}", created=STAMP + 10**7)
        intake.journal([intake.event_row(told)])
    with CaptureQueriesContext(connection) as queries:
        assert sync.process_events() == number
    assert Event.objects.exclude(state="done").count() == 0
    for query in queries:
        yield query["sql"].partition(" times: ")[2] or query["sql"]


@pytest.mark.django_db
def test_the_statements_of_a_batch_are_as_many_for_few_events_as_for_many() -> None:
    few, many = list(statements_of(4)), list(statements_of(60))
    assert len(few) == len(many)
    written = [statement.split()[:3] for statement in many if statement.split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert [" ".join(words).replace('"', "") for words in written] == [
        "INSERT INTO invoices_invoice",  # the absent ones, whole
        "UPDATE invoices_invoice AS" if ON_POSTGRESQL else "UPDATE invoices_invoice SET",
        "UPDATE invoices_event SET",
    ]


def test_every_mirrored_kind_is_among_these() -> None:
    assert set(OBJECTS) == set(MIRRORED.values())


@given(st.text(st.characters(), max_size=40), st.integers(0, 40))
@example("plain text", 40)
@example("plain text", 5)
def test_a_text_that_is_read_the_short_way_is_read_the_same(value: str, limit: int) -> None:
    assert text({"a": value}, "a", limit=limit) == one_line(storable(value, limit))
