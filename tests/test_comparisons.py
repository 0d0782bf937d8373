"""As of when a row of the mirror is known to be Stripe's: its own writing, or the last run that compared it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from invoices import clock
from invoices.models import MIRRORED, ReconciliationRun
from invoices.reconcile.comparisons import last_comparisons
from invoices.thresholds import RECENT
from tests.factories import InvoiceObject, stored

pytestmark = pytest.mark.django_db
Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
DAY = timedelta(days=1)


def old(status: str = "paid", created_days_ago: int = 400, written_days_ago: int = 200, **changes: Any) -> Any:
    now = clock.now()
    row: Any = stored(InvoiceObject(status=status, created=int((now - created_days_ago * DAY).timestamp()), **changes))
    row.stored_at = now - written_days_ago * DAY
    return row


def run(kind: str, days_ago: float, **changes: Any) -> ReconciliationRun:
    return ReconciliationRun.objects.create(
        **{"kind": kind, "state": State.FINISHED, "started_at": clock.now() - days_ago * DAY, **changes}
    )


def as_of(row: Any) -> Any:
    return last_comparisons().as_of(row)


def test_without_any_run_it_is_the_writing() -> None:
    row = old()
    assert as_of(row) == row.stored_at


def test_a_full_run_compares_everything() -> None:
    made = run(Kind.FULL, 3)
    run(Kind.FULL, 30)
    assert as_of(old()) == made.started_at
    fresh = old(written_days_ago=1)
    assert as_of(fresh) == fresh.stored_at


def test_a_sweep_compares_what_is_recent_and_what_can_still_change() -> None:
    full, sweep = run(Kind.FULL, 9), run(Kind.SWEEP, 1)
    assert as_of(old("paid")) == full.started_at
    assert as_of(old("open")) == as_of(old("uncollectible")) == sweep.started_at
    assert as_of(old("paid", created_days_ago=RECENT.days - 2, written_days_ago=20)) == sweep.started_at
    assert as_of(old("paid", created_days_ago=RECENT.days + 2, written_days_ago=20)) == full.started_at


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.RUNNING},
        {"state": State.FAILED},
        {"state": State.INTERRUPTED},
        {"dry_run": True},
        {"failed": 1},
        {"params": {"since": "2026-11-01T00:00:00+00:00"}},
    ],
    ids=str,
)
def test_a_run_that_did_not_compare_everything_says_nothing(changes: dict[str, Any]) -> None:
    run(Kind.SWEEP, 1, **changes)
    row = old("open")
    assert as_of(row) == row.stored_at


def test_of_a_deleted_object_nothing_is_compared() -> None:
    run(Kind.FULL, 1)
    row = old("draft")
    row.deleted_at = clock.now()
    assert as_of(row) == row.stored_at


def test_what_no_sweep_compares() -> None:
    sweep = run(Kind.SWEEP, 1)
    for name, model in MIRRORED.items():
        row = model(id="x_1", created=clock.now() - DAY, stored_at=clock.now() - 9 * DAY)
        is_swept = name in ("invoice", "invoice_payment", "charge", "credit_note", "refund")
        expected = sweep.started_at if is_swept else row.stored_at
        assert as_of(row) == expected


def test_pages_say_it(client: Client, agent: Any) -> None:
    row = old("open")
    type(row).rows.filter(pk=row.pk).update(stored_at=row.stored_at)
    run(Kind.SWEEP, 2)
    client.force_login(agent)
    page = client.get(f"/admin/invoices/invoice/{row.pk}/").content.decode()
    assert "2 days ago" in page and "As of" in page
    assert "200 days" not in page and "6 months ago" not in page
