"""Months of events that leave the database for files: nothing is lost, and the journal's proof still holds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from invoices import clock, journal, sync
from invoices.journal import archives
from invoices.models import (
    Contradiction,
    Event,
    EventArchive,
    JournalLink,
    Operation,
    PendingEvent,
    partitions,
    triggers,
)
from tests.helpers.commands import run_command
from tests.helpers.database import rewrite, without_triggers
from tests.helpers.events import stripe_event

pytestmark = pytest.mark.django_db(transaction=True)

ON_POSTGRESQL = connection.vendor == "postgresql"
MARCH, APRIL = date(2024, 3, 1), date(2024, 4, 1)
IN_MARCH = datetime(2024, 3, 7, 12, tzinfo=UTC)
BY = archives.By("the year is closed")


@pytest.fixture(params=["of its own", "the default one"] if ON_POSTGRESQL else ["the table"])
def march(request: pytest.FixtureRequest) -> Iterator[str]:
    """Three events of March and one of April, done and chained, and a contradiction about the first of them. March has
    a partition, or stands in the default one."""
    own = request.param == "of its own"
    if own:
        assert partitions._make(MARCH)
    asker = User.objects.create(username="asker")
    for number, created in enumerate([IN_MARCH, IN_MARCH, IN_MARCH, IN_MARCH + timedelta(days=30)]):
        body = f'{{"id": "evt_{number}", "name": "“Zoë”"}}'
        Event.objects.create(id=f"evt_{number}", type="invoice.paid", created=created, body=body, state="done")
    Event.objects.filter(pk="evt_2").update(state="ignored", error="of another account")
    final = Operation.objects.create(action="pay", invoice="in_1", actor=asker, source="admin", state="succeeded")
    Contradiction.objects.create(operation=final, event=Event.objects.get(pk="evt_0"), message="otherwise")
    journal.chain()
    yield request.param
    if own and partitions.name_of(MARCH) in partitions.of(connection, partitions.EVENTS):
        with without_triggers(), connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {partitions.name_of(MARCH)}")


def archive(folder: Path, before: date = APRIL) -> list[archives.Step]:
    return list(archives.archive(before, folder, BY))


def verified(*words: str) -> str:
    """What `journal verify` says; empty where the chain holds."""
    code, said = run_command("journal", "verify", *words)
    assert code == (3 if "BROKEN" in said or "triggers are not" in said else 0), said
    return "" if code == 0 else said


def ids() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("pk", flat=True))


def test_a_month_leaves_for_a_file_and_the_proof_still_holds(march: str, tmp_path: Path, capsys: Any) -> None:
    before = {event.pk: archives._line(event) for event in Event.objects.all()}
    call_command("archive_events", before="2024-04", to=tmp_path, reason="the year is closed")
    assert "2024-03: 3 events in" in capsys.readouterr().out
    assert ids() == ["evt_3"]
    assert partitions.name_of(MARCH) not in partitions.of(connection, partitions.EVENTS)
    row = EventArchive.objects.get()
    assert (row.file, row.count, row.reason) == ("events-2024-03.jsonl.gz", 3, "the year is closed")
    lines = gzip.decompress((tmp_path / row.file).read_bytes()).decode().splitlines()
    assert lines == [before[f"evt_{number}"] for number in range(3)]
    assert json.loads((tmp_path / "events-2024-03.json").read_text())["sha256"] == row.sha256
    assert JournalLink.objects.filter(kind="event_archive", row=str(row.pk)).exists()
    assert verified() == verified("--archive", str(tmp_path)) == ""
    assert archive(tmp_path) == []  # a second run finds nothing


def test_what_refers_to_an_archived_event_still_shows(
    march: str, tmp_path: Path, manager: User, client: Client, capsys: Any
) -> None:
    archive(tmp_path)
    client.force_login(manager)
    operation = Operation.objects.get()
    page = client.get(f"/admin/invoices/operation/{operation.pk}/change/", follow=True).content.decode()
    assert "otherwise" in page and "evt_0, which was archived" in page
    missing = client.get("/admin/invoices/event/evt_0/change/", follow=True)
    assert missing.status_code == 404 and "events-2024-03.jsonl.gz" in missing.content.decode()
    call_command("replay_events", "evt_0")
    assert "evt_0 was archived, so it is done" in capsys.readouterr().out


def test_an_archived_event_that_comes_again_is_known(
    march: str, tmp_path: Path, post_event: Callable[..., Any]
) -> None:
    """Also one of the same month that never came is stored, applied, and archived in a second file."""
    archive(tmp_path)
    stamp = int(IN_MARCH.timestamp())
    assert post_event(stripe_event(id="evt_0", created=stamp)).status_code == 200
    assert ids() == ["evt_3"]
    assert post_event(stripe_event(id="evt_late", created=stamp)).status_code == 200
    assert ids() == ["evt_3", "evt_late"]
    assert sync.process_events() == 1
    [step] = archive(tmp_path)
    assert (step.archive.file, step.removed) == ("events-2024-03-2.jsonl.gz", 1)
    assert ids() == ["evt_3"]
    assert verified("--archive", str(tmp_path)) == ""


def test_a_month_that_is_not_done_stays(march: str, tmp_path: Path) -> None:
    Event.objects.filter(pk="evt_1").update(state="failed")
    with pytest.raises(journal.NotArchivable, match=r"evt_1 \(failed\).*replay_events"):
        archive(tmp_path)
    with pytest.raises(CommandError, match="35 days"):
        call_command("archive_events", before=f"{partitions.later(clock.now().date(), 1):%Y-%m}", reason="too early")
    assert len(ids()) == 4 and not EventArchive.objects.exists()


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("point", ["_write_manifest", "chain", "_remove", "_compare"])
def test_a_kill_at_any_point_loses_nothing(
    march: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    calls = []

    def die(*given: Any) -> Any:
        calls.append(given)
        if point == "chain" and len(calls) == 1:
            return journal.chain()
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(archives, point, die)
        archive(tmp_path)
    assert len(ids()) == 4
    [step] = archive(tmp_path)
    assert (step.archive.file, step.removed) == ("events-2024-03.jsonl.gz", 3)
    assert ids() == ["evt_3"] and EventArchive.objects.count() == 1
    assert verified("--archive", str(tmp_path)) == ""


def test_a_kill_between_two_parts_of_the_removal_is_gone_on_with(
    march: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the file nothing is removed; with it, what is left is."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(archives, "_drop_partition", lambda row: 0)
        patch.setattr(archives, "ROWS_AT_ONCE", 2)
        lifted = triggers.lifted
        calls: list[Any] = []

        def die_at_the_second(model: Any) -> Any:
            calls.append(model)
            if len(calls) == 2:
                raise Killed
            return lifted(model)

        patch.setattr(triggers, "lifted", die_at_the_second)
        archive(tmp_path)
    assert ids() == ["evt_2", "evt_3"]
    assert verified() == ""
    file = tmp_path / "events-2024-03.jsonl.gz"
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(journal.NotArchivable, match="Put the file back"):
        archive(tmp_path)
    (tmp_path / "elsewhere").rename(file)
    assert [step.removed for step in archive(tmp_path)] == [1]
    assert ids() == ["evt_3"] and verified("--archive", str(tmp_path)) == ""


def test_an_event_that_is_missing_without_an_archive_is_a_break(march: str, tmp_path: Path) -> None:
    archive(tmp_path)
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_event WHERE id = 'evt_3'")
    assert "event evt_3 is missing from the journal: it was deleted" in verified()


def test_a_changed_archive_is_found(march: str, tmp_path: Path) -> None:
    """In the file, or in the journal's row of it."""
    archive(tmp_path)
    row = EventArchive.objects.get()
    path = tmp_path / row.file
    lines = gzip.decompress(path.read_bytes()).decode().replace("Zo", "Chlo")
    path.write_bytes(gzip.compress(lines.encode()))
    assert "its SHA-256 is another" in verified("--archive", str(tmp_path))
    rewrite(row, sha256=archives.digest_of(path))
    assert "event_archive" in verified().replace("event archive", "event_archive")
    rewrite(row, sha256=row.sha256)
    assert any("is not what was chained" in line for line in archives.check(tmp_path))


def test_a_line_can_be_changed_on_record(march: str, tmp_path: Path) -> None:
    """As an erasure needs it. Everything but the named line is still proved, and the old file is no longer accepted."""
    archive(tmp_path)
    old = EventArchive.objects.get()
    before = (tmp_path / old.file).read_bytes()

    def without_name(event: Event) -> bool:
        if event.pk != "evt_1":
            return False
        event.body = event.body.replace("“Zoë”", "")
        return True

    assert archives.rewrite(old, tmp_path, without_name, archives.By("erased at the customer's wish")) == 1
    new = archives.current().get()
    assert (new.replaces, new.changed, new.count) == (old, "evt_1", 3)
    assert "Zo" not in [each.body for each in archives.read(tmp_path / new.file)][1]
    assert verified("--archive", str(tmp_path)) == ""
    (tmp_path / new.file).write_bytes(before)
    assert "its SHA-256 is another" in verified("--archive", str(tmp_path))


def test_the_guards_hold_on_every_partition(march: str, tmp_path: Path) -> None:
    archive(tmp_path)
    if not ON_POSTGRESQL:
        assert triggers.missing() == []
        return
    for name in partitions.of(connection, partitions.EVENTS):
        with pytest.raises(Exception, match="none is deleted"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {name}")
    with pytest.raises(Exception, match="none is deleted"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {partitions.DEFAULT}")
    with connection.cursor() as cursor:
        name = partitions.name_of(clock.now().date())
        cursor.execute(f"ALTER TABLE {name} DISABLE TRIGGER journal_invoices_event_removal")
        try:
            assert triggers.missing() == ["journal_invoices_event_removal"]
            assert "journal_invoices_event_removal" in verified()
        finally:
            cursor.execute(f"ALTER TABLE {name} ENABLE TRIGGER journal_invoices_event_removal")


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no partitions")
def test_a_filled_table_is_divided_and_joined_again() -> None:
    """As the migration does it, forwards and backwards: no event is lost, and none is taken twice."""
    from django.apps import apps

    now = clock.now()
    stamps = [None, IN_MARCH, now, now + timedelta(days=400)]
    for number, created in enumerate(stamps):
        Event.objects.create(id=f"evt_{number}", created=created, body="{}")
    made = Event.objects.order_by("pk")
    before = list(made.values())
    with connection.schema_editor() as editor:
        triggers.remove(apps, editor)
        partitions.join(apps, editor)
        assert list(made.values()) == before
        partitions.divide(apps, editor)
        triggers.make(apps, editor)
    assert list(made.values()) == before and triggers.missing() == []
    assert PendingEvent.objects.count() == 4
    again = [Event(id=f"evt_{number}", created=created, body="{}") for number, created in enumerate(stamps)]
    Event.objects.bulk_create(again, ignore_conflicts=True)
    assert Event.objects.count() == 4
    assert partitions.EARLY in partitions.of(connection, partitions.EVENTS)
    assert set(partitions.make_ahead()) == set()
    with connection.schema_editor() as editor, without_triggers():  # the tables of the other tests
        triggers.remove(apps, editor)
        partitions.join(apps, editor)
        editor.execute("TRUNCATE invoices_event")
        partitions.divide(apps, editor)
        triggers.make(apps, editor)
    assert partitions.name_of(now.date()) in partitions.of(connection, partitions.EVENTS)
    assert triggers.missing() == []


def test_events_that_somebody_took_away_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their entries in the queue stay where a partition was detached, or a table restored without them."""
    early = clock.now() - timedelta(days=1)
    PendingEvent.objects.bulk_create(
        PendingEvent(event=f"evt_gone_{number}", created=early, received_at=early, next_attempt_at=early)
        for number in range(5)
    )
    Event.objects.create(id="evt_1", type="product.updated", created=clock.now(), body="{}")
    monkeypatch.setattr(sync, "EVENTS_PER_BATCH", 2)
    assert sync.process_events() == 1
    assert not PendingEvent.objects.filter(event__startswith="evt_gone").exists()


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no partitions")
def test_what_was_done_to_a_partition_that_was_taken_off_is_found(tmp_path: Path) -> None:
    """Off its table, a partition has no triggers for its rows. The chain says what became of them."""
    assert partitions._make(MARCH)
    name, table = partitions.name_of(MARCH), partitions.EVENTS
    for number in range(3):
        Event.objects.create(id=f"evt_{number}", created=IN_MARCH, body='{"total": 1}', state="done")
    journal.chain()

    def sql(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    back = f"ALTER TABLE {table} ATTACH PARTITION {name} {partitions._bounds(MARCH)}"
    try:
        sql(f"ALTER TABLE {table} DETACH PARTITION {name}")
        assert "event evt_0 is missing" in verified()
        sql(f"UPDATE {name} SET body = '{{\"total\": 2}}' WHERE id = 'evt_1'")
        sql(back)
        assert triggers.missing() == [] and "event evt_1 was changed" in verified()
        sql(f"ALTER TABLE {table} DETACH PARTITION {name}")
        sql(f"UPDATE {name} SET body = '{{\"total\": 1}}' WHERE id = 'evt_1'")
        sql(f"INSERT INTO {name} SELECT * FROM jsonb_populate_record((SELECT e FROM {name} e WHERE id = 'evt_1'), "
            "'{\"id\": \"evt_new\"}')")  # fmt: skip
        sql(back)
        assert "evt_new stands in the journal without a link" in verified()
        sql(f"ALTER TABLE {table} DETACH PARTITION {name}")
        sql(f"DELETE FROM {name} WHERE id IN ('evt_new', 'evt_2')")
        sql(back)
        assert "event evt_2 is missing" in verified()
    finally:
        sql(f"DROP TABLE {name}")


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no partitions")
def test_coming_months_have_partitions_and_a_stamp_leads_to_one() -> None:
    now = clock.now()
    this, last_made = (
        partitions.name_of(partitions.later(now.date(), number)) for number in (0, partitions.MONTHS_AHEAD)
    )
    there = partitions.of(connection, partitions.EVENTS)
    assert this in there and last_made in there and partitions.make_ahead() == []
    plan = Event.stored([Event(id="evt_1", created=now)]).explain()
    assert [name for name in there if name in plan] == [this]
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {last_made}")
    Event.objects.create(id="evt_1", created=archives._start(partitions.later(now.date(), partitions.MONTHS_AHEAD)))
    assert partitions.make_ahead() == []  # its event stays in the default partition
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_event")
    assert partitions.make_ahead() == [last_made]
    assert triggers.missing() == []


def test_the_queue_follows_every_change_of_a_state() -> None:
    event = Event.objects.create(id="evt_1", body="{}")
    assert PendingEvent.objects.get().next_attempt_at == event.next_attempt_at
    later = event.next_attempt_at + timedelta(hours=1)
    Event.objects.update(next_attempt_at=later)
    assert PendingEvent.objects.get().next_attempt_at == later
    for state, waits in (("failed", False), ("pending", True), ("done", False)):
        Event.objects.update(state=state)
        assert PendingEvent.objects.exists() is waits
