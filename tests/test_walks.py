"""How a run walks Stripe's lists: no request more than there are pages, split windows, invoices first, going on."""

from __future__ import annotations

import itertools
import json
import math
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command

from invoices import gateway, reconcile
from invoices.management.commands.reconcile import INVOICES_COMPLETE
from invoices.models import MIRRORED, Drift, Invoice, PaymentIntent, ReconciliationRun
from invoices.reconcile import ahead, runs, sweep, walks
from invoices.reconcile.walks import Place, Walk
from invoices.reconcile.windows import Window
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.stripe_state import drain, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
Kind, State = ReconciliationRun.Kind, ReconciliationRun.State


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 5)
    return 5


def listed(sandbox: SandboxProcess, before: Counter[str]) -> dict[str, int]:
    """How many pages of each kind's list were asked for since then."""
    asked = Counter(sandbox.stats()["requests"]) - before
    return {object: asked[f"GET {path}"] for object, path in gateway.PATHS.items()}


def pages_needed(objects_per_page: int) -> dict[str, int]:
    return {object: math.ceil(model.objects.count() / objects_per_page) for object, model in MIRRORED.items()}


def stopped_after(monkeypatch: pytest.MonkeyPatch, pages: int) -> ReconciliationRun:
    """A full run that was stopped when it had stored so many pages, and was about to store the next one."""
    monkeypatch.setattr(ahead, "PAGES_AHEAD", 1)
    advance, calls = runs.advance, itertools.count(1)

    def stop(*given: Any, **more: Any) -> None:
        if next(calls) == pages + 1:
            raise KeyboardInterrupt
        advance(*given, **more)

    with monkeypatch.context() as cut:
        cut.setattr(runs, "advance", stop)
        with pytest.raises(KeyboardInterrupt):
            reconcile.sweep_lists("full")
    return ReconciliationRun.objects.get()


def test_an_import_asks_for_the_pages_that_there_are(sandbox: SandboxProcess, small_pages: int) -> None:
    """However far the objects lie apart, there is no request for a time in which there are none."""
    sandbox.reset(invoices=30, seed=3)
    before = Counter(sandbox.stats()["requests"])
    run = reconcile.sweep_lists("full")
    assert (run.exit_code, run.imported) == (0, run.seen)
    asked = Counter(sandbox.stats()["requests"]) - before
    assert listed(sandbox, before) == pages_needed(small_pages)
    lists = sum(listed(sandbox, before).values())
    others = asked["GET /v1/account"] + asked["GET /v1/events"]
    assert (
        others <= 7
        and asked.total() == lists + others + asked["GET /v1/invoices/:id"] + asked["GET /v1/invoices/:id/lines"]
    )
    assert unequal(sandbox) == [] and unequal(sandbox, "invoice_payment") == []


def test_a_split_window_is_walked_once(
    sandbox: SandboxProcess, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.reset(invoices=60, seed=3)
    monkeypatch.setattr(walks, "PAGES_PER_SPLIT", 2)
    monkeypatch.setattr(walks, "SECONDS_BETWEEN_LOOKS", 0.001)
    before = Counter(sandbox.stats()["requests"])
    run = reconcile.sweep_lists("full")
    assert (run.exit_code, run.imported) == (0, run.seen)
    assert run.seen == sum(model.objects.count() for model in MIRRORED.values())
    windows = [Window(**stored) for stored in run.progress.windows]
    assert len(windows) > len(MIRRORED)
    assert sorted(run.progress.finished) == sorted([*(window.name for window in windows), "undated"])
    for object, pages in pages_needed(small_pages).items():
        parts = sum(window.object == object for window in windows)
        assert pages <= listed(sandbox, before)[object] <= pages + parts  # a split costs one request at most
    assert len(windows) - len(MIRRORED) <= sum(listed(sandbox, before).values()) / 2
    assert unequal(sandbox) == []
    drain()
    again = reconcile.sweep_lists("full")
    assert (again.exit_code, again.seen, again.same) == (0, run.seen, run.seen)


def test_a_page_that_was_on_its_way_when_the_window_was_split_counts_once() -> None:
    walk = Walk(Window("invoice"))
    walk._advance([{"id": "in_9", "created": 900}, {"id": "in_8", "created": 800}], has_more=True)
    noted: list[Window] = []
    walk.window = Window("invoice", start=100)
    older = walk.split(lambda *parts: noted.extend(parts))
    assert older is not None and (older.window.start, older.window.end) == (100, 450)
    assert noted == [walk.window, older.window] and walk.window.start == 450
    start, place = walk._advance([{"id": "in_4", "created": 400}, {"id": "in_5", "created": 500}], has_more=True)
    assert start == 450 and place is not None  # out of order: something of this part may follow
    start, place = walk._advance([{"id": "in_3", "created": 460}, {"id": "in_2", "created": 300}], has_more=True)
    assert (start, place) == (450, None)  # what is older than that belongs to the other part, and nothing is left
    assert walk.split(lambda *parts: None) is None
    assert len({walk.window.name, older.window.name}) == 2 and walk.window.name == Window("invoice").name


def test_the_ids_of_one_second_are_remembered_and_nothing_else() -> None:
    window = Window("invoice", end=1000)
    place = walks._place_after(None, [{"id": "in_3", "created": 7}, {"id": "in_2", "created": 5}], window)
    assert place == Place(5, ("in_2",)) == Place.read(place.stored({"in_x"}))
    place = walks._place_after(place, [{"id": "in_1", "created": 5}, "no object", {"id": "in_0"}], window)
    assert place == Place(5, ("in_2", "in_1", "in_0"))
    out_of_order = walks._place_after(place, [{"id": "in_b", "created": 4}, {"id": "in_a", "created": 9}], window)
    assert out_of_order == Place(5, ("in_2", "in_1", "in_0", "in_b", "in_a"))
    assert walks._place_after(out_of_order, [{"id": "in_c", "created": 3}], window) == Place(3, ("in_c",))
    assert Place.read(None) is None and walks.unlisted_before(None) == set()
    assert walks.unlisted_before(Place(5, ("in_1",)).stored({"in_7", "in_6"})) == {"in_6", "in_7"}


def test_what_was_created_in_one_second_is_not_asked_for_singly(
    sandbox: SandboxProcess, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second spans three pages. Only what Stripe does not list is retrieved: a row that it never had."""
    monkeypatch.setattr(ahead, "PAGES_AHEAD", 1)
    sandbox.clock(freeze=True)
    for _ in range(12):
        invoice = invoice_at(sandbox)
    sandbox.clock(real=True)
    reconcile.sweep_lists("full")
    stored(InvoiceObject(id="in_unknown", created=invoice.created))
    stored(InvoiceObject(id="in_old", created=invoice.created - 10**6))
    before = Counter(sandbox.stats()["requests"])
    run = reconcile.sweep_lists("full")
    asked = Counter(sandbox.stats()["requests"]) - before
    assert asked["GET /v1/invoices/:id"] == 2 and run.seen - run.same == 2
    found = set(Drift.objects.filter(run=run).values_list("object_id", "kind"))
    assert found == {(id, Drift.Kind.MISSING_AT_STRIPE) for id in ("in_unknown", "in_old")}


def test_one_that_was_stopped_goes_on_after_the_last_page(
    sandbox: SandboxProcess, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.reset(invoices=40, seed=3)
    left = stopped_after(monkeypatch, pages=3)
    assert left.state == State.INTERRUPTED and left.seen == Invoice.objects.count() == 3 * small_pages
    before = Counter(sandbox.stats()["requests"])
    run = reconcile.sweep_lists("full")
    assert run.pk == left.pk and (run.exit_code, run.imported) == (0, run.seen)
    assert run.seen == sum(model.objects.count() for model in MIRRORED.values())
    assert listed(sandbox, before)["invoice"] - 1 == pages_needed(small_pages)["invoice"] - 3  # and the probe


def test_invoices_come_first_and_the_command_says_when_they_are_here(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reset(invoices=20, seed=3)
    pages, seen = gateway.list_page, []

    def look(object: str, **params: Any) -> Any:
        if object != "invoice":
            run = ReconciliationRun.objects.get(kind=Kind.FULL)
            seen.append((bool(run.progress.invoices_complete_at), Invoice.objects.count()))
        return pages(object, **params)

    with monkeypatch.context() as watched, pytest.raises(SystemExit):
        watched.setattr(gateway, "list_page", look)
        call_command("reconcile", "--full", "--json")
    said = capsys.readouterr()
    assert INVOICES_COMPLETE in said.err and json.loads(said.out)["imported"] > 20
    assert seen and set(seen) == {(True, Invoice.objects.count())}
    with pytest.raises(SystemExit):
        call_command("reconcile", "--full", "--json")
    assert INVOICES_COMPLETE not in capsys.readouterr().err  # it is no import any more


def test_what_is_read_ahead_comes_in_order_and_its_error_last() -> None:
    def pages() -> Any:
        yield from range(10)
        raise ValueError("the eleventh")

    found: list[int] = []
    with pytest.raises(ValueError, match="the eleventh"):
        for some in ahead.read_ahead(pages()):
            assert 1 <= len(some) <= ahead.PAGES_AHEAD
            found += some
    assert found == list(range(10))


@pytest.mark.parametrize(
    "written",
    [
        '{"a": 1, "b": [1.5, -0, 1e5, "é\\u00e9", true, null]}',
        '{"a": 9223372036854775808, "b": -9223372036854775809, "c": 123456789012345678901234567890}',
        '["\\ud800", 1]',
        "[1e999, -Infinity]",
        '{"a": 1, "a": 2}',
        "[0.1, 1.0, 12345678901234567.89]",
    ],
)
def test_answers_mean_what_pythons_parser_says(written: str) -> None:
    found, expected = gateway.parsed(written.encode()), json.loads(written)
    assert found == expected and repr(found) == repr(expected)


def test_what_is_no_json_is_none() -> None:
    assert gateway.parsed(b"<html>") is None and gateway.parsed(b"") is None and gateway.parsed(b"\xff\xfe") is None


def test_a_window_that_waits_for_its_turn_is_named_by_its_end() -> None:
    end = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    names = [Window("invoice", end=end).name, Window("invoice", end=end, status="open").name, Window("invoice").name]
    assert len(set(names)) == 3
    assert sweep._part(Window("invoice", 5, 50), Place(40, ("a",)), Place(20, ("b",))) == Window("invoice", 21, 41)
    assert sweep._part(Window("invoice", 5, 50), None, None) == Window("invoice", 5, 50)


def test_a_place_that_stripe_has_no_more_is_gone_on_from_by_its_second(
    sandbox: SandboxProcess, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft is deleted before the run goes on after it, or an invoice has left the list of its status."""
    sandbox.clock(freeze=True)
    for _ in range(12):
        invoice_at(sandbox)
    sandbox.clock(real=True)
    left = stopped_after(monkeypatch, pages=1)
    name = Window("invoice").name
    place = Place.read(left.progress.cursors[name])
    assert place is not None and len(place.ids) == small_pages
    gone = Place(place.second, (*place.ids, "in_gone")).stored(())
    left.progress.cursors[name] = gone
    left.save()
    run = reconcile.sweep_lists("full")
    assert (run.pk, run.state, run.exit_code) == (left.pk, State.FINISHED, 0), run.error
    assert run.seen == run.imported == sum(model.objects.count() for model in MIRRORED.values())
    assert unequal(sandbox) == []


def test_a_cursor_that_goes_between_two_pages_ends_no_run(
    sandbox: SandboxProcess, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.reset(invoices=20, seed=3)
    pages, refused = gateway.list_page, []

    def look(object: str, **params: Any) -> Any:
        if "starting_after" in params and object not in refused:
            refused.append(object)
            params["starting_after"] = "gone_1"
        return pages(object, **params)

    monkeypatch.setattr(gateway, "list_page", look)
    run = reconcile.sweep_lists("full")
    assert (run.state, run.exit_code) == (State.FINISHED, 0), run.error
    assert set(refused) == {object for object, pages in pages_needed(small_pages).items() if pages > 1}
    assert len(refused) >= 4 and unequal(sandbox) == [] and unequal(sandbox, "invoice_payment") == []
    assert run.imported == sum(model.objects.count() for model in MIRRORED.values())
    assert run.seen - run.imported < small_pages  # payments have no order, so their list begins again


def test_a_run_that_another_process_took_between_two_kinds_is_not_taken_back(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process was frozen for so long that it was taken for dead."""
    sandbox.reset(invoices=20, seed=3)
    in_threads, another = sweep.in_threads, uuid.uuid4()

    def freeze(*given: Any, **more: Any) -> None:
        in_threads(*given, **more)
        ReconciliationRun.objects.update(owner=another)

    monkeypatch.setattr(sweep, "in_threads", freeze)
    with pytest.raises(runs.RunLost):
        reconcile.sweep_lists("full")
    left = ReconciliationRun.objects.get()
    assert (left.state, left.owner) == (State.RUNNING, another)
    assert not PaymentIntent.objects.exists() and not left.progress.invoices_complete_at


def test_payments_out_of_order_are_all_listed_though_the_window_was_split(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe promises no order for them. The page that is on its way when the window is split seems to be the last."""
    monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 2)
    zero = int(time.time()) - 10_000
    for second in (290, 500, 300, 460, 800, 900):
        sandbox.clock(now=zero + second, freeze=True)
        invoice_at(sandbox)
    sandbox.clock(real=True)
    pages, parts = gateway.list_page, [Walk(Window("invoice_payment", start=zero + 100))]

    def split(object: str, **params: Any) -> Any:
        answer = pages(object, **params)
        if "starting_after" in params and len(parts) == 1:
            older = parts[0].split(lambda *both: None)
            assert older is not None and older.window.end == zero + 450
            parts.append(older)
        return answer

    monkeypatch.setattr(gateway, "list_page", split)
    with runs.running(Kind.FULL) as run:
        found = [id for part in (0, 1) for page in parts[part].pages(run) for id in page.ids]
    assert len(found) == len(set(found)) == 6
