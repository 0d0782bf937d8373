"""Invoices of more than ten lines: events and lists show ten of them. The mirror has all, as Stripe has them now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from invoices import clock, gateway, reconcile, refetch, sync
from invoices.models import Drift, Invoice, ScheduledRefetch
from invoices.models.lines import PARTS, disagreement, is_in_sample
from tests.factories import customer_at, invoice_at
from tests.helpers.stripe_state import drain, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
Post = Callable[..., Any]


class Draft:
    """A draft of twelve lines of 10.00 each, at Stripe and in the mirror, with all lines."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox, self.stripe = sandbox, sandbox.client().v1
        self.id = invoice_at(sandbox, customer=customer_at(sandbox).id, lines=12, amount=12_000, finalize=False).id
        self.told = {event["id"] for event in gateway.walk("/v1/events")}
        refetch.refetch("invoice", self.id)
        assert sums(self.id) == (12_000, 12_000)

    def change_the_last_line(self, amount: int = 7_777) -> None:
        [*_, last] = gateway.walk(f"/v1/invoices/{self.id}/lines")
        self.stripe.invoice_items.update(last["parent"]["invoice_item_details"]["invoice_item"], {"amount": amount})

    def events(self, type: str) -> list[dict[str, Any]]:
        """What Stripe has told of this invoice since it came into the mirror, oldest first."""
        found = [event for event in gateway.walk("/v1/events") if event["id"] not in self.told]
        return [
            event for event in reversed(found) if event["type"] == type and event["data"]["object"]["id"] == self.id
        ]


def sums(id: str) -> tuple[int, int]:
    """(the total, the sum of the lines) as the mirror shows them."""
    data: Any = Invoice.objects.get(pk=id).data
    return data["total"], sum(line["amount"] for line in data["lines"]["data"])


@pytest.fixture
def draft(sandbox: SandboxProcess) -> Draft:
    return Draft(sandbox)


@pytest.mark.parametrize("late", [False, True], ids=["the draft's event is lost", "the draft's event comes last"])
def test_finalized_before_the_drafts_last_change_was_told(draft: Draft, post_event: Post, late: bool) -> None:
    draft.change_the_last_line()
    draft.stripe.invoices.finalize_invoice(draft.id)
    [finalized] = draft.events("invoice.finalized")
    updated = draft.events("invoice.updated")[0]
    assert updated["data"]["object"]["status"] == "draft"
    for event in [finalized, updated] if late else [finalized]:
        post_event(event)
        sync.process_events()
    assert Invoice.objects.get().status == "open"
    assert disagreement(Invoice.objects.get().data)  # the later lines are the draft's, and are not shown as certain
    drain()
    assert sums(draft.id) == (18_777, 18_777) and unequal(draft.sandbox) == []


def forget_the_change(draft: Draft) -> None:
    """The mirror as the version before left it: the invoice of today, with later lines of before, as if complete."""
    before: Any = Invoice.objects.get().data
    draft.change_the_last_line()
    draft.stripe.invoices.finalize_invoice(draft.id)
    refetch.refetch("invoice", draft.id)
    row = Invoice.objects.get()
    data: Any = row.data
    data["lines"]["data"][10:] = before["lines"]["data"][10:]
    Invoice.objects.update(data=data)
    assert sums(draft.id) == (18_777, 12_000)


@pytest.mark.parametrize("kind", ["sweep", "full"])
def test_a_run_reads_it_whole_where_the_lines_do_not_add_up(draft: Draft, kind: str) -> None:
    forget_the_change(draft)
    dry = reconcile.sweep_lists(kind, dry_run=True)
    assert dry.exit_code == reconcile.DRIFT_LEFT and sums(draft.id) == (18_777, 12_000)
    assert Drift.objects.filter(run=dry, object_id=draft.id, healed_at=None, field="lines.data.11.amount").exists()
    run = reconcile.sweep_lists(kind)
    assert run.exit_code == reconcile.DRIFT_HEALED
    assert Drift.objects.filter(run=run, object_id=draft.id, field="lines.data.11.amount").get().healed_at
    assert sums(draft.id) == (18_777, 18_777) and unequal(draft.sandbox) == []
    drain()
    assert reconcile.sweep_lists(kind).exit_code == reconcile.CLEAN


def test_a_run_reads_it_whole_where_a_line_is_missing(draft: Draft) -> None:
    draft.stripe.invoices.finalize_invoice(draft.id)
    refetch.refetch("invoice", draft.id)
    data: Any = Invoice.objects.get().data
    data["lines"]["data"].pop()
    Invoice.objects.update(data=data)
    assert reconcile.sweep_lists().healed == 1
    assert unequal(draft.sandbox) == []


def whole_reads(sandbox: SandboxProcess) -> int:
    return int(sandbox.stats()["requests"].get("GET /v1/invoices/:id", 0))


def test_a_full_run_reads_its_sample_of_the_long_invoices_whole(
    sandbox: SandboxProcess, later: Callable[[float], None]
) -> None:
    """What differs only beyond the tenth line, and in no amount, is found by nothing else."""
    now = clock.now()
    later((now.replace(hour=12, minute=0, second=0) + timedelta(days=1) - now).total_seconds())  # no midnight is near
    customer = customer_at(sandbox).id
    long = invoice_at(sandbox, customer=customer, lines=11, amount=1_100).id
    invoice_at(sandbox, customer=customer, lines=10, amount=1_000)  # never read whole: the list shows all of it
    assert reconcile.sweep_lists("full").exit_code == reconcile.CLEAN
    drain()
    data: Any = Invoice.objects.get(pk=long).data
    data["lines"]["data"][10]["description"] = "Of another time"
    Invoice.objects.filter(pk=long).update(data=data)
    reads = whole_reads(sandbox)
    days = next(days for days in range(2, PARTS + 2) if is_in_sample(long, clock.now() + timedelta(days=days)))
    later((days - 1) * 86_400)
    assert reconcile.sweep_lists("full").exit_code == reconcile.CLEAN
    assert whole_reads(sandbox) == reads
    later(86_400)
    assert reconcile.sweep_lists("full").healed == 1 and unequal(sandbox) == []
    assert whole_reads(sandbox) == reads + 1
    # A part reads all of its long invoices: the day on which it has its turn is the sample's for few of them.
    part = data["created"] // 86_400 % PARTS
    later(86_400)
    Invoice.objects.filter(pk=long).update(data=data)
    assert reconcile.sweep_lists("part", part=part).healed == 1 and unequal(sandbox) == []


def test_the_sample_takes_each_once_in_four_weeks_and_about_as_many_every_day() -> None:
    first, many = datetime(2026, 11, 20), [f"in_{number}" for number in range(2_800)]
    days = [[id for id in many if is_in_sample(id, first + timedelta(days=day))] for day in range(PARTS)]
    assert sorted(id for day in days for id in day) == sorted(many)
    assert all(50 < len(day) < 160 for day in days)


def test_where_stripes_own_amounts_do_not_add_up_nothing_is_asked_without_end(
    draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read in each run, no drift, and no scheduled refetch."""
    draft.stripe.invoices.finalize_invoice(draft.id)
    monkeypatch.setattr("invoices.models.lines.SUBTOTAL", "created")
    refetch.refetch("invoice", draft.id)
    drain()
    assert disagreement(Invoice.objects.get().data)
    before = whole_reads(draft.sandbox)
    for run in range(1, 4):
        assert reconcile.sweep_lists().exit_code == reconcile.CLEAN
        assert whole_reads(draft.sandbox) == before + run
        assert sync.perform_refetches() == 0 and not ScheduledRefetch.objects.exists()
