"""The chain over the journal: what a hostile owner of the database does to it is found, and so is a job that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from invoices import clock, journal, sign_ins, tasks
from invoices.journal.links import GENESIS, LOCK, hash_of
from invoices.models import (
    ApiToken,
    Batch,
    BatchItem,
    Contradiction,
    Event,
    JournalHead,
    JournalLink,
    Operation,
    Pause,
    TokenRecord,
    UnchainedRow,
)
from tests.helpers.commands import run_command
from tests.helpers.database import without_triggers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chained() -> str:
    """A journal with a row of each kind, chained. The hash of the head."""
    with sign_ins.not_recorded():  # it would be one row more, and the tests name positions
        asker = User.objects.create(username="asker")
    token, _ = ApiToken.objects.create(asker, name="a service")
    TokenRecord.objects.create(token=token, what="created", by=asker)
    for number in range(5):
        Event.objects.create(id=f"evt_{number}", type="invoice.paid", body=f'{{"id": "evt_{number}"}}')
    final = Operation.objects.create(action="pay", invoice="in_1", actor=asker, source="admin", state="succeeded")
    Operation.objects.create(action="pay", invoice="in_2", actor=asker, source="admin", state="unknown")
    Batch.objects.create(action="void", items=[BatchItem("in_2", "open", 1)], actor=asker, reason="a wrong run")
    Pause.objects.create(action="void", reason="an audit", paused_by=asker)
    Contradiction.objects.create(operation=final, event=Event.objects.get(id="evt_1"), message="otherwise")
    assert journal.chain() == 12
    assert broken() == ""
    return hash_of_head()


def hash_of_head() -> str:
    last = journal.head()
    assert last is not None
    return last.hash


def broken() -> str:
    """What `journal verify` finds; empty where the chain holds."""
    code, said = run_command("journal", "verify")
    assert code == (3 if "BROKEN" in said else 0), said
    return said.partition("BROKEN. ")[2].strip()


def sql(statement: str, *values: Any) -> None:
    """As a hostile owner of the database would: with the triggers out of the way."""
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount


def position_of(kind: str, row: Any) -> int:
    text = row.hex if isinstance(row, uuid.UUID) and connection.vendor == "sqlite" else str(row)
    return JournalLink.objects.filter(kind=kind, row=text).latest("position").position


def chain_anew(start: int = 1) -> None:
    """Makes the hashes from a position on right again."""
    before = JournalLink.objects.filter(position=start - 1).first()
    hash = before.hash if before else GENESIS
    with without_triggers():
        for link in JournalLink.objects.filter(position__gte=start).order_by("position"):
            hash = hash_of(link, hash)
            JournalLink._base_manager.filter(pk=link.pk).update(hash=hash)


# --- what is chained --------------------------------------------------------------------------------------------------


def test_every_row_is_chained_once_and_again_when_it_says_something_new(chained: str) -> None:
    assert list(JournalLink.objects.order_by("position").values_list("position", flat=True)) == list(range(1, 13))
    assert journal.chain() == 0 and hash_of_head() == chained
    unknown = Operation.objects.get(state="unknown")
    Event.objects.filter(id="evt_1").update(state="done")
    Operation.objects.filter(pk=unknown.pk).update(claimed_until=clock.now(), settle_attempts=3)
    assert journal.chain() == 0  # how far our processes are is no evidence
    Operation.objects.filter(pk=unknown.pk).update(message="still looking")
    Operation.objects.filter(pk=unknown.pk).update(state="failed", message="declined")
    Pause.objects.update(resumed_at=clock.now())
    journal.chain()
    of_it = JournalLink.objects.filter(kind="operation").order_by("-position")
    assert JournalLink.objects.count() == 14 and [link.sealed for link in of_it[:2]] == [True, False]
    assert broken() == ""


def test_what_waits_for_the_job_is_no_break(chained: str) -> None:
    Event.objects.create(id="evt_new", body="{}")
    Operation.objects.filter(state="unknown").update(message="something new")
    code, said = run_command("journal", "verify")
    assert code == 0 and "2 entries wait to be chained" in said
    tasks.chain_journal()
    assert broken() == "" and UnchainedRow.objects.count() == 0


def test_a_row_that_commits_late_is_not_skipped(chained: str) -> None:
    """It has the lower number in the queue, and becomes visible after a later one was chained."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writing transaction at a time")
    written, go_on = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            Event.objects.create(id="evt_late", body="{}")
            written.set()
            go_on.wait(20)
        connection.close()

    thread = threading.Thread(target=late)
    thread.start()
    written.wait(20)
    Event.objects.create(id="evt_soon", body="{}")
    assert journal.chain() == 1
    go_on.set()
    thread.join()
    assert journal.chain() == 1
    assert position_of("event", "evt_late") > position_of("event", "evt_soon")
    assert broken() == ""


def test_one_job_at_a_time(chained: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writing transaction at a time")
    Event.objects.create(id="evt_new", body="{}")
    held, go_on = threading.Event(), threading.Event()

    def other_job() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            held.set()
            go_on.wait(20)
        connection.close()

    thread = threading.Thread(target=other_job)
    thread.start()
    held.wait(20)
    assert journal.chain() == 0
    go_on.set()
    thread.join()
    assert journal.chain() == 1


@pytest.mark.parametrize("step", ["contents", "head", "clock.now", "many_rows.insert", "UnchainedRow"])
def test_a_job_that_is_killed_leaves_nothing_half_done(chained: str, step: str, tmp_path: Path) -> None:
    """The process kills itself, as kill -9 would, when the job comes to this step, or after it."""
    for number in range(3):
        Event.objects.create(id=f"evt_new_{number}", body="{}")
    code = f"""
import os, signal, django
django.setup()
from django.db import connection
from invoices.journal import links as module
def die(*args, **given):
    os.kill(os.getpid(), signal.SIGKILL)
if {step!r} == "UnchainedRow":  # before the commit, when everything is written
    commit = connection.commit
    connection.ensure_connection()
    connection.commit = die
else:
    *path, name = {step!r}.split(".")
    place = module
    for each in path:
        place = getattr(place, each)
    setattr(place, name, die)
module.chain()
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert killed.returncode == -9, killed.stderr
    assert hash_of_head() == chained and UnchainedRow.objects.count() == 3
    assert journal.chain() == 3
    assert broken() == ""


def environment() -> dict[str, str]:
    """For a process on the tests' database."""
    values = connection.settings_dict
    url = (
        f"sqlite:///{values['NAME']}"
        if connection.vendor == "sqlite"
        else f"postgresql://{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}/{values['NAME']}"
    )
    return {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "backoffice.settings"}


# --- a hostile owner of the database ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kind", "row"),
    [
        ("UPDATE invoices_event SET body = '{}' WHERE id = 'evt_2'", "event", "evt_2"),
        ("UPDATE invoices_event SET received_at = '2026-01-01 00:00:00+00' WHERE id = 'evt_2'", "event", "evt_2"),
        ("UPDATE invoices_pause SET reason = 'another'", "pause", None),
        ("UPDATE invoices_batch SET items = '[]'", "batch", None),
        ("UPDATE invoices_tokenrecord SET what = 'revoked'", "token_record", None),
        ("UPDATE invoices_contradiction SET message = 'all is well'", "contradiction", None),
        ("UPDATE invoices_apitoken SET name = 'another'", "api_token", None),
        ("UPDATE invoices_operation SET message = 'refused' WHERE state = 'succeeded'", "operation", None),
        ("UPDATE invoices_operation SET reason = 'another' WHERE state = 'unknown'", "operation", None),
    ],
)
def test_a_changed_row_is_found(chained: str, statement: str, kind: str, row: str | None) -> None:
    sql(statement)
    found = broken()
    assert "was changed" in found and kind.replace("_", " ") in found and (row or "") in found


def test_a_renamed_person_is_found(chained: str) -> None:
    sql("UPDATE auth_user SET username = 'somebody' WHERE username = 'asker'")
    assert "was changed" in broken()


def test_a_row_that_is_changed_and_queued_is_found(chained: str) -> None:
    """The queue excuses a change only of what may change."""
    sql("UPDATE invoices_event SET body = '{}' WHERE id = 'evt_2'")
    UnchainedRow.objects.create(kind="event", row="evt_2")
    assert "evt_2 was changed" in broken()
    journal.chain()
    assert "evt_2 was changed: what never changes was another" in broken()


def test_a_final_operation_that_is_changed_and_chained_again_is_found(chained: str) -> None:
    final = Operation.objects.get(state="succeeded")
    sql("UPDATE invoices_operation SET message = 'refused' WHERE state = 'succeeded'")
    UnchainedRow.objects.create(kind="operation", row=JournalLink.objects.filter(kind="operation")[0].row)
    journal.chain()
    UnchainedRow.objects.create(kind="operation", row=final.pk.hex if connection.vendor == "sqlite" else str(final.pk))
    journal.chain()
    assert "after it was final" in broken()


def test_a_deleted_row_is_found(chained: str) -> None:
    sql("DELETE FROM invoices_event WHERE id = 'evt_2'")
    assert broken() == f"Link {position_of('event', 'evt_2')}: event evt_2 is missing from the journal: it was deleted."


def test_a_row_that_was_inserted_past_the_triggers_is_found(chained: str) -> None:
    with without_triggers():
        Event.objects.create(id="evt_made_up", body="{}")
    assert "Event evt_made_up stands in the journal without a link" in broken()


def test_swapped_rows_are_found(chained: str) -> None:
    sql(
        'UPDATE invoices_event SET body = CASE id WHEN \'evt_1\' THEN \'{"id": "evt_2"}\' ELSE \'{"id": "evt_1"}\' END '
        "WHERE id IN ('evt_1', 'evt_2')"
    )
    assert "evt_1 was changed" in broken()


def test_swapped_links_are_found(chained: str) -> None:
    with without_triggers():
        links = JournalLink._base_manager
        links.filter(position=4).update(position=100)
        links.filter(position=5).update(position=4)
        links.filter(position=100).update(position=5)
    assert broken().startswith("Link 4 (event evt_2) does not follow")
    chain_anew(4)
    assert broken() == ""  # what it holds is the same: only a head that was told outside says that it was made anew
    assert run_command("journal", "verify", "--from", f"12:{chained}")[0] == 3


def test_a_removed_link_is_found(chained: str) -> None:
    sql("DELETE FROM invoices_journallink WHERE position = 4")
    assert broken() == "Link 4 was removed: after 3 comes 5."


def test_a_changed_link_is_found(chained: str) -> None:
    sql("UPDATE invoices_journallink SET made_at = '2026-01-01 00:00:00+00' WHERE position = 4")
    assert broken().startswith("Link 4 (")


def test_an_inserted_link_is_found(chained: str) -> None:
    with without_triggers():
        Event.objects.create(id="evt_made_up", body="{}")
        JournalLink.objects.create(
            position=13,
            kind="event",
            row="evt_made_up",
            fixed="",
            digest="",
            sealed=True,
            made_at=clock.now(),
            hash="x",
        )
    assert broken().startswith("Link 13 (event evt_made_up) does not follow")


@pytest.mark.parametrize("position", [0, -1])
def test_a_link_before_the_first_is_found(chained: str, position: int) -> None:
    """It would excuse a row that was inserted past the triggers."""
    with without_triggers():
        Event.objects.create(id="evt_made_up", body="{}")
        link = JournalLink(position=position, kind="event", row="evt_made_up", made_at=clock.now())
        link.fixed = link.digest = link.hash = "x"
        link.sealed = True
        link.save(force_insert=True)
    assert broken() == f"Link {position} (event evt_made_up) stands before the first: it was inserted."


def test_a_resolved_contradiction_that_is_changed_and_chained_again_is_found(chained: str) -> None:
    asker = User.objects.get()
    Contradiction.objects.update(resolved_at=clock.now(), resolved_by=asker, resolution="refunded the second charge")
    journal.chain()
    sql("UPDATE invoices_contradiction SET resolution = 'nothing to do'")
    UnchainedRow.objects.create(kind="contradiction", row=str(Contradiction.objects.get().pk))
    journal.chain()
    assert "after it was final" in broken()


@pytest.mark.parametrize(
    ("kind", "row"), [("nonsense", "1"), ("operation", "no-uuid"), ("pause", "x"), ("pause", "9" * 20), ("event", "no")]
)
def test_an_entry_of_the_queue_that_names_no_row_does_not_stop_the_chain(chained: str, kind: str, row: str) -> None:
    UnchainedRow.objects.create(kind=kind, row=row)
    Event.objects.create(id="evt_new", body="{}")
    journal.chain()
    assert UnchainedRow.objects.count() == 0
    assert position_of("event", "evt_new") == 13
    assert broken() == ""


def test_a_cut_end_is_found(chained: str) -> None:
    sql("DELETE FROM invoices_journallink WHERE position > 10")
    assert "stands in the journal without a link" in broken()


def test_only_the_first_break_is_named_in_the_order_of_the_chain(chained: str) -> None:
    sql("DELETE FROM invoices_event WHERE id = 'evt_0'")
    sql("DELETE FROM invoices_journallink WHERE position = 9")
    assert "evt_0 is missing" in broken()


def test_triggers_that_were_switched_off_are_named(chained: str) -> None:
    table, name = "invoices_event", "journal_invoices_event_removal"
    on_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        if on_sqlite:
            cursor.execute(f"SELECT sql FROM sqlite_master WHERE name = '{name}'")
            again = cursor.fetchone()[0]
        else:
            again = f"ALTER TABLE {table} ENABLE TRIGGER {name}"
        cursor.execute(f"DROP TRIGGER {name}" if on_sqlite else f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        try:
            code, said = run_command("journal", "verify")
        finally:
            cursor.execute(again)
    assert code == 3 and name in said
    assert broken() == ""


def _redefined(table: str, name: str) -> tuple[list[str], list[str]]:
    body = f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger AS $$ BEGIN {{}} RETURN NEW; END $$ LANGUAGE plpgsql"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_get_functiondef('{name}'::regproc)")
        return [body.format("")], [cursor.fetchone()[0]]


def _as_made(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{name}' AND tgparentid = 0")
        return str(cursor.fetchone()[0])


def _on_a_decoy(table: str, name: str) -> tuple[list[str], list[str]]:
    again = _as_made(name)
    elsewhere = again.replace(f" {table} ", " decoy ").replace(f".{table} ", ".decoy ")
    return (
        [f"CREATE TABLE decoy (LIKE {table})", f"DROP TRIGGER {name} ON {table}", elsewhere],
        ["DROP TABLE decoy", again],
    )


def _never_fires(table: str, name: str) -> tuple[list[str], list[str]]:
    again, drop = _as_made(name), f"DROP TRIGGER {name} ON {table}"
    return [drop, again.replace("EXECUTE", "WHEN (false) EXECUTE")], [drop, again]


def _replica(table: str, name: str) -> tuple[list[str], list[str]]:
    """As ALTER DATABASE or ALTER ROLE would set it for every session."""
    return ["SET session_replication_role = replica"], ["SET session_replication_role = origin"]


@pytest.mark.parametrize("how", [_redefined, _on_a_decoy, _never_fires, _replica])
def test_triggers_that_no_longer_do_what_they_did_are_named(
    chained: str, how: Callable[[str, str], tuple[list[str], list[str]]]
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("On SQLite a trigger is one statement, which is compared")
    name = "journal_invoices_event_update"
    quietly, again = how("invoices_event", name)
    with connection.cursor() as cursor:
        try:
            for statement in quietly:
                cursor.execute(statement)
            code, said = run_command("journal", "verify")
        finally:
            for statement in again:
                cursor.execute(statement)
    assert code == 3 and name in said
    assert run_command("journal", "verify")[0] == 0


# --- heads that were told outside -------------------------------------------------------------------------------------


@pytest.fixture
def head_file(chained: str, settings: Any, tmp_path: Path) -> Path:
    settings.JOURNAL_HEAD_FILE = str(tmp_path / "heads")
    assert broken() == ""  # nothing was written yet
    tasks.chain_journal()
    return tmp_path / "heads"


def forge() -> None:
    """Another body for an event, with digests and the whole chain made anew."""
    sql("UPDATE invoices_event SET body = '{}' WHERE id = 'evt_2'")
    [(_, content)] = journal.content.contents("event", ["evt_2"])
    with without_triggers():
        JournalLink._base_manager.filter(row="evt_2").update(fixed=content.fixed, digest=content.digest)
    chain_anew()


def test_a_whole_chain_made_anew_is_found_by_a_written_head(head_file: Path, settings: Any, chained: str) -> None:
    assert head_file.read_text().split()[1:] == ["12", chained]
    assert "1 heads that were told outside are in it" in run_command("journal", "verify")[1]
    forge()
    assert "the chain was made anew from here or from before" in broken()
    settings.JOURNAL_HEAD_FILE = ""
    assert broken() == ""  # alone, it cannot be told from the true one
    code, said = run_command("journal", "verify", "--from", f"12:{chained}")
    assert code == 3 and "--from says" in said


def test_a_cut_end_is_found_by_a_written_head(head_file: Path) -> None:
    """Rows and links alike."""
    with without_triggers():
        last = JournalLink.objects.get(position=12)
        JournalLink._base_manager.filter(pk=12).delete()
        Contradiction._base_manager.filter(pk=last.row).delete()
    assert "The chain ends at position 11" in broken() and "the end was cut off" in broken()


def test_a_line_a_day(head_file: Path) -> None:
    Event.objects.create(id="evt_new", body="{}")
    tasks.chain_journal()
    assert len(head_file.read_text().splitlines()) == 1
    JournalHead.objects.update(day=clock.now().date() - timedelta(days=1))  # yesterday's
    tasks.chain_journal()
    lines = head_file.read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["12", "13"]
    assert broken() == ""


def test_a_file_that_is_gone_or_unreadable_is_said(head_file: Path) -> None:
    content = head_file.read_text()
    head_file.unlink()
    with pytest.raises(CommandError, match="cannot be read"):
        run_command("journal", "verify")
    head_file.write_text(content + "nonsense\n")
    with pytest.raises(CommandError, match="is not a head"):
        run_command("journal", "verify")
    with pytest.raises(CommandError, match="is not a head") as usage:
        run_command("journal", "verify", "--from", "12")
    assert usage.value.returncode == 2


def test_a_head_that_is_no_longer_in_the_file_is_said(head_file: Path) -> None:
    """As where the disk is not mounted, and a new file was begun in its place."""
    head_file.write_text("")
    with pytest.raises(CommandError, match="no longer has the head of"):
        run_command("journal", "verify")


def test_a_line_that_a_full_disk_cut_short_is_written_again(head_file: Path) -> None:
    whole = head_file.read_text()
    head_file.write_text(whole[:50])
    JournalHead.objects.update(written_at=None)  # the writing failed
    tasks.chain_journal()
    assert head_file.read_text() == f"{whole[:50]}\n{whole}"
    assert broken() == ""


def test_a_disk_that_is_away_does_not_keep_the_mail_back(chained: str, settings: Any, tmp_path: Path) -> None:
    settings.JOURNAL_HEAD_FILE = str(tmp_path / "not mounted" / "heads")
    settings.JOURNAL_HEAD_EMAILS = ["auditor@example.com"]
    tasks.chain_journal()
    tasks.send_emails()
    assert len(mail.outbox) == 1


def test_the_head_is_mailed_and_a_mail_server_that_is_away_loses_none(
    chained: str, settings: Any, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
) -> None:
    settings.JOURNAL_HEAD_EMAILS = ["auditor@example.com"]

    def away(*args: Any, **given: Any) -> int:
        raise ConnectionRefusedError("the mail server is away")

    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", away)
        tasks.chain_journal()
        tasks.send_emails()
        JournalHead.objects.update(day=clock.now().date() - timedelta(days=1))
        Event.objects.create(id="evt_new", body="{}")
        tasks.chain_journal()
        tasks.send_emails()
    assert mail.outbox == []
    later(60)
    tasks.chain_journal()
    tasks.send_emails()
    assert all(sent.to == ["auditor@example.com"] for sent in mail.outbox)
    said = "".join(str(sent.body) for sent in mail.outbox)
    assert f" 12 {chained}\n" in said and f" 13 {hash_of_head()}\n" in said


def test_the_head_is_printed(chained: str) -> None:
    output = StringIO()
    call_command("journal", "head", stdout=output)
    assert output.getvalue().split()[1:] == ["12", chained]


# --- size -------------------------------------------------------------------------------------------------------------


def test_many_links_in_several_batches_and_constant_queries(
    chained: str, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    Event.objects.bulk_create(Event(id=f"evt_many_{number}", body="{}") for number in range(1200))
    with django_assert_max_num_queries(40):
        assert journal.chain() == 1200
    assert JournalLink.objects.count() == 1212
    assert broken() == ""
