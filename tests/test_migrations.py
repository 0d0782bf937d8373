"""Migrations that change rows: what an installation of the version before keeps."""

from __future__ import annotations

import importlib
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from invoices.models import Invoice, ReconciliationRun, RunProgress
from tests.factories import CustomerObject, InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers import lint_migrations

pytestmark = pytest.mark.django_db
marking = importlib.import_module("invoices.migrations.0003_refetch_token_and_provisional")
searching = importlib.import_module("invoices.migrations.0028_rows_of_search")
pages = importlib.import_module("invoices.migrations.0042_rows_of_hosted_page")


EDITOR = SimpleNamespace(connection=connection)  # all that a data migration uses of a schema editor


@pytest.mark.parametrize("factory", [CustomerObject, InvoiceObject, InvoicePaymentObject, PaymentIntentObject])
def test_a_row_without_seen_since_becomes_provisional_and_back(factory: Any) -> None:
    ours, of_another_version = stored(factory()), stored(factory())
    rows = type(ours).rows
    rows.filter(pk=of_another_version.pk).update(seen_since=None)
    rows.create(pk="empty")
    marking.mark_provisional(apps, EDITOR)
    assert {row.pk: (row.provisional, row.seen_since) for row in rows.all()} == {
        of_another_version.pk: (True, of_another_version.seen_until - timedelta(seconds=5)),
        ours.pk: (False, ours.seen_since),
        "empty": (False, None),
    }
    marking.unmark_provisional(apps, EDITOR)
    assert dict(rows.values_list("pk", "seen_since")) == {
        of_another_version.pk: None,
        ours.pk: ours.seen_since,
        "empty": None,
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", RunProgress()),
        ("null", RunProgress()),
        (
            '{"finished": ["a"], "windows": [], "importing": {"invoice": true}}',
            RunProgress([], ["a"], importing={"invoice": True}),
        ),
        ('{"interruptions": ["killed"], "of_tomorrow": 1}', RunProgress(interruptions=["killed"])),
    ],
)
def test_the_progress_of_an_older_run_can_be_read(written: str, expected: RunProgress) -> None:
    run = ReconciliationRun.objects.create(kind="sweep")
    assert run.progress == RunProgress()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE invoices_reconciliationrun SET progress = %s", [written])
    run.refresh_from_db()
    assert run.progress == expected
    run.save()
    assert ReconciliationRun.objects.get().progress == expected


@pytest.mark.django_db(transaction=True)
def test_a_process_of_the_version_before_can_use_the_tables_that_new_migrations_leave() -> None:
    """As `make check` asks it on SQLite; here also in PostgreSQL's words, where that is the database."""
    assert list(lint_migrations.problems()) == []


@pytest.mark.parametrize(
    ("statements", "concern"),
    [
        (['CREATE TABLE "invoices_a" ("id" bigint)', 'CREATE INDEX "x" ON "invoices_a" ("id")'], 0),
        (['CREATE TABLE "invoices_a" ("id" bigint)', 'ALTER TABLE "invoices_a" ADD COLUMN "n" int NOT NULL'], 0),
        (['ALTER TABLE "invoices_b" DROP COLUMN "n"', 'CREATE TABLE "invoices_a" ("id" bigint)'], 1),
        (['CREATE TABLE "new__invoices_b" ("id" bigint)', 'ALTER TABLE "new__invoices_b" RENAME TO "invoices_b"'], 2),
    ],
)
def test_only_tables_of_before_are_asked_about(statements: list[str], concern: int) -> None:
    assert len(lint_migrations.of_old_tables(statements)) == concern


def test_rows_of_the_version_before_become_searchable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what a write of today would store, and without touching what was written since."""
    monkeypatch.setattr(searching, "ROWS_AT_ONCE", 2)
    metadata = {"Order": "A-1", "plan": "gold"}
    error = {"code": "customer_tax_location_invalid", "type": "invalid_request_error"}
    rows = [
        stored({**InvoiceObject(metadata=metadata), "receipt_number": "1-2", "last_finalization_error": error}),
        stored(InvoiceObject()),
        stored(InvoiceObject(metadata=metadata)),
        stored({**CustomerObject(metadata=metadata), "phone": "+49 1"}),
    ]
    for row in rows:
        names = searching.COLUMNS[row.OBJECT]
        type(row).rows.filter(pk=row.pk).update(**dict.fromkeys(names))
    type(rows[2]).rows.filter(pk=rows[2].pk).update(metadata="of a newer write")
    rows[2].metadata = "of a newer write"
    type(rows[0]).rows.create(pk="empty")
    searching.fill(apps, EDITOR)
    for row in rows:
        found = type(row).rows.get(pk=row.pk)
        assert {name: getattr(found, name) for name in searching.COLUMNS[row.OBJECT]} == {
            name: getattr(row, name) for name in searching.COLUMNS[row.OBJECT]
        }


def test_invoices_of_the_version_before_are_found_by_their_page() -> None:
    """What was erased, or has no page, stays without."""
    address = "https://invoice.stripe.com/i/acct_1/test_YWNjdF8x?s=ap"
    rows = [
        stored({**InvoiceObject(), "hosted_invoice_url": said}) for said in (address, None, "[redacted]", f"{address}2")
    ]
    expected = [row.hosted_page for row in rows]
    assert [bool(each) for each in expected] == [True, False, False, True]
    Invoice.rows.update(hosted_page=None)
    pages.fill(apps, EDITOR)
    assert [Invoice.objects.get(pk=row.pk).hosted_page for row in rows] == expected
