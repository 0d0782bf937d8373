"""Files that are prepared in the background: one of each wish, for one person, for a while, whatever is killed."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import openpyxl
import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client

from invoices import clock, exports, interruption, search, tables
from invoices.admin import footers, list_files, prepared_files
from invoices.exports import upkeep, wishes, worker
from invoices.exports.kinds import Made
from invoices.models import Email, Export, ExportChunk, SignInRecord
from invoices.tables import Column, Kind, Table
from invoices.thresholds import EXPORT_KEPT, EXPORT_LEASE, EXPORT_LISTED, EXPORT_RETRY
from tests.factories import InvoiceObject, stored
from tests.helpers import own_database
from tests.helpers.admin_pages import LIST, text
from tests.sandbox_process import ROOT

pytestmark = pytest.mark.django_db
CHOOSE = f"{LIST}file/"
MINE = "/admin/invoices/export/"
FORM = {"format": "csv", "columns": "all", "how": "background"}


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wishes, upkeep):
        monkeypatch.setattr(module, "wake", lambda task: None)


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers a kind of so many rows, and what happens before the row of each number."""

    def register(rows: int, before: Any = lambda number: None) -> None:
        def make(person: User, parameters: Any) -> Made:
            def each() -> Any:
                for number in range(rows):
                    before(number)
                    yield [str(number)]

            return Made(Table("Numbers", [Column("Number", Kind.TEXT)], each()), ["invoices.view_invoice"])

        exports.register("numbers", make)

    monkeypatch.setattr(tables, "ROWS_PER_PIECE", 1)
    monkeypatch.setattr(worker, "CHUNK_BYTES", 1)
    return register


def wish(owner: User, kind: str = "numbers", format: str = "csv") -> Export:
    return exports.ask(owner, kind, {}, format=format, title="Numbers", file_name=f"numbers.{format}")


def pass_time(lasts: timedelta) -> None:
    """As if so much time, and a second, had passed since all that was written."""
    moments = ("asked_at", "claimed_until", "expires_at")
    Export.objects.update(**{name: F(name) - lasts - timedelta(seconds=1) for name in moments})


def in_a_worker() -> int:
    """As the task of another process, whose lane is free."""
    try:
        writer = worker._take()
        return worker._prepare(writer) if writer else 0
    finally:
        connection.close()


def content(export: Export) -> bytes:
    export.refresh_from_db()
    return b"".join(exports.pieces(export))


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def link_on(client: Client, export: Export) -> str:
    found = re.search(r'href="([^"]*/file/[^"]*)"', text(client.get(f"{MINE}{export.pk}/")))
    assert found, "the page has no link"
    return found[1]


def prepared(desk: Client, query: str = "", **form: str) -> Export:
    answer = desk.post(f"{CHOOSE}?{query}", FORM | {"id": str(uuid.uuid4())} | form)
    assert answer.status_code == 302, answer.content.decode()
    export = Export.objects.latest("asked_at")
    assert answer["Location"] == f"{MINE}{export.pk}/"
    worker.run_due()
    export.refresh_from_db()
    return export


class TestAFileOfAList:
    def test_has_what_the_list_shows_and_is_the_one_that_is_sent_at_once(self, desk: Client) -> None:
        for number in range(3):
            stored(InvoiceObject(status="open" if number else "paid", number=f"N-{number}", customer_name="=Ada"))
        export = prepared(desk, "state=open&sort=created")
        assert (export.state, export.rows) == ("ready", 2)
        assert content(export) == desk.get(f"{LIST}download.csv?state=open&sort=created").getvalue()
        downloaded = desk.get(link_on(desk, export))
        assert downloaded.getvalue() == content(export) and int(downloaded["Content-Length"]) == export.size
        assert "invoices-open-" in downloaded["Content-Disposition"]

    def test_is_xlsx_where_that_was_asked_for(self, desk: Client) -> None:
        stored(InvoiceObject(number="N-1"))
        book = openpyxl.load_workbook(io.BytesIO(content(prepared(desk, format="xlsx"))))
        assert book.active["A2"].value == "N-1"

    def test_has_the_columns_of_the_list_in_its_order(self, desk: Client) -> None:
        stored(InvoiceObject(id="in_1", number="N-1", currency="usd", total=500))
        query = "columns=number_&columns=total_&columns=created_"
        [row] = rows_of(content(prepared(desk, query, columns="shown")))
        assert list(row) == ["Invoice", "Invoice id", "Created (UTC)", "Currency", "Total", "Total (minor units)"]
        at_once = desk.get(f"{LIST}download.csv?{query}&table=shown")
        assert list(rows_of(at_once.getvalue())[0]) == list(row)

    def test_counts_its_days_where_the_person_is(self, desk: Client) -> None:
        late = 1_790_033_400  # 2026-09-21 23:30 UTC, the next day in Berlin
        stored(InvoiceObject(number="N-1", created=late))
        desk.cookies["zone"] = "Europe/Berlin"
        assert prepared(desk, "created_from=2026-09-22&created_to=2026-09-22").rows == 1
        desk.cookies["zone"] = "UTC"
        assert prepared(desk, "created_from=2026-09-22&created_to=2026-09-22").rows == 0

    def test_is_offered_where_a_download_would_be_long(self, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(list_files, "LONG", 1)
        monkeypatch.setattr(footers, "planned", lambda rows: None)  # so few rows are estimated by no database
        stored(InvoiceObject(status="open"))
        assert desk.get(f"{LIST}download.csv?state=open").status_code == 200
        stored(InvoiceObject(status="open"))
        answer = desk.get(f"{LIST}download.xlsx?state=open")
        assert answer["Location"] == f"{CHOOSE}?state=open&format=xlsx"
        page = text(desk.get(answer["Location"]))
        assert "Prepare it in the background" in page and re.search(r'value="xlsx" checked', page)
        now = desk.post(answer["Location"], {"format": "xlsx", "columns": "shown", "how": "now"})
        assert desk.get(now["Location"]).status_code == 200 and "table=shown" in now["Location"]

    def test_is_asked_for_once_by_a_form_that_is_sent_twice(self, desk: Client) -> None:
        form = FORM | {"id": str(uuid.uuid4())}
        assert desk.post(CHOOSE, form)["Location"] == desk.post(CHOOSE, form)["Location"]
        assert Export.objects.count() == 1

    @pytest.mark.parametrize("query", ["unknown=1", 'q=status:"open', "sort=nothing"])
    def test_is_not_prepared_where_the_list_cannot_be_read(self, desk: Client, query: str) -> None:
        answer: Any = desk.post(f"{CHOOSE}?{query}", FORM, follow=True)
        assert "Nothing was downloaded." in answer.content.decode() and not Export.objects.exists()

    @pytest.mark.parametrize(
        "query",
        ["q=%00", "state=%00", "currency=%00", "q=%ED%A0%80", "q=" + "x" * 5000, "q=Ü 😀", "created_from=%00"],
    )
    def test_is_never_an_error_whatever_the_address_says(self, desk: Client, query: str) -> None:
        stored(InvoiceObject())
        assert desk.post(f"{CHOOSE}?{query}", FORM).status_code == 302
        worker.run_due()
        assert {export.state for export in Export.objects.all()} <= {"ready", "failed"}

    @pytest.mark.parametrize("sent", [{"id": "x"}, {"format": "exe"}, {"columns": "\x00"}, {"id": ""}])
    def test_is_made_whatever_else_the_form_says(self, desk: Client, sent: dict[str, str]) -> None:
        assert desk.post(CHOOSE, FORM | sent).status_code == 302
        assert Export.objects.get().format == "csv"


class TestWhoMayHaveIt:
    def test_an_email_tells_its_person_alone(self, desk: Client, agent: User) -> None:
        User.objects.filter(pk=agent.pk).update(email="agent@example.com")
        stored(InvoiceObject(customer_email="ada@example.com"))
        export = prepared(desk, "q=ada@example.com")
        email = Email.objects.get(kind="export")
        assert (email.recipient, email.subject) == ("agent@example.com", "Ready: Invoices")
        assert f"{MINE}{export.pk}/" in email.body and "ada" not in email.body

    def test_the_download_stands_in_the_journal_of_people_first(self, desk: Client, agent: User) -> None:
        stored(InvoiceObject(customer_email="ada@example.com", status="open"))
        export = prepared(desk, "q=ada@example.com&state=open")
        assert not SignInRecord.objects.filter(what="list_downloaded").exists()
        desk.get(link_on(desk, export))
        record = SignInRecord.objects.get(what="list_downloaded")
        assert record.username == agent.username
        assert re.fullmatch(r"Invoices as CSV, prepared 20\d\d-.* UTC: Status: Open · a search", record.detail), (
            record.detail
        )

    def test_nobody_else_sees_it_or_gets_it(self, desk: Client) -> None:
        export = prepared(desk)
        link = link_on(desk, export)
        other = Client()
        other.force_login(User.objects.create_superuser("root"))
        assert other.get(f"{MINE}{export.pk}/").status_code == 404
        assert other.get(link).status_code == 403
        for verb in ("cancel", "remove"):
            assert other.post(f"{MINE}{export.pk}/{verb}/now/").status_code == 403
        assert export.file_name not in text(other.get(MINE)) and export.file_name in text(desk.get(MINE))
        desk.logout()
        assert desk.get(link).status_code == 302

    def test_a_link_ends_and_the_page_has_a_new_one(self, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prepared_files, "EXPORT_LINK_LASTS", timedelta(minutes=5))  # shorter than the session
        export = prepared(desk)
        link = link_on(desk, export)
        with time_machine.travel(clock.now() + timedelta(minutes=6), tick=False):
            answer: Any = desk.get(link, follow=True)
            assert "This link was too old" in answer.content.decode()
            assert desk.get(link_on(desk, export)).status_code == 200

    @pytest.mark.parametrize("forged", ["x", "eyJhIjoxfQ:1:x", "…"])
    def test_no_link_can_be_forged(self, desk: Client, forged: str) -> None:
        export, other = prepared(desk), prepared(desk)
        for link in (forged, link_on(desk, other).rpartition("/file/")[2].strip("/")):
            assert desk.get(f"{MINE}{export.pk}/file/{link}/").status_code == 302

    def test_who_lost_a_permission_gets_none_of_what_needed_it(self, client: Client) -> None:
        person = User.objects.create_user("payments and customers", is_staff=True)
        needed = ["view_invoicepayment", "view_customer", "view_export"]
        person.user_permissions.set(Permission.objects.filter(codename__in=needed))
        client.force_login(person)
        client.post("/admin/invoices/invoicepayment/file/", FORM)
        worker.run_due()
        export = Export.objects.get()
        assert export.permissions == ["invoices.view_customer", "invoices.view_invoicepayment"]
        link = link_on(client, export)
        person.user_permissions.remove(Permission.objects.get(codename="view_customer"))
        assert client.get(link).status_code == 403
        assert not SignInRecord.objects.filter(what="list_downloaded").exists()

    @pytest.mark.parametrize("change", ["permission", "is_active"])
    def test_nothing_is_prepared_for_who_may_not_see_it_any_more(
        self, agent: User, numbers: Any, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker, "SECONDS_BETWEEN_CHECKS", -1.0)

        def lose(number: int) -> None:
            if number == 3:
                agent.groups.clear() if change == "permission" else User.objects.update(is_active=False)

        numbers(10, lose)
        export = wish(agent)
        worker.run_due()
        export.refresh_from_db()
        assert (export.state, export.error) == ("failed", worker.NOT_ALLOWED)
        assert not ExportChunk.objects.exists()

    def test_a_list_that_its_person_may_not_see_any_more_is_not_read(self, desk: Client, agent: User) -> None:
        desk.post(CHOOSE, FORM)
        agent.groups.clear()
        worker.run_due()
        assert Export.objects.get().error == "You may not see this list any more."

    def test_preparing_needs_its_permission(self, client: Client) -> None:
        person = User.objects.create_user("looks only", is_staff=True)
        person.user_permissions.add(Permission.objects.get(codename="view_invoice"))
        client.force_login(person)
        assert "in the background</button>" not in text(client.get(CHOOSE))
        assert client.post(CHOOSE, FORM).status_code == 403


class TestAWorkerThatEnds:
    def test_early_leaves_no_part_and_another_begins_anew(self, agent: User, numbers: Any) -> None:
        def die(number: int) -> None:
            if number == 3 and Export.objects.get().attempts == 1:
                raise SystemExit  # as a kill: nothing is caught, nothing is given back

        numbers(5, die)
        export = wish(agent)
        with pytest.raises(SystemExit):
            worker.run_due()
        assert ExportChunk.objects.count() and worker.run_due() == 0, "the claim still stands"
        with pytest.raises(exports.Gone):
            content(export)
        pass_time(EXPORT_LEASE)
        assert worker.run_due() == 1
        assert [row["Number"] for row in rows_of(content(export))] == list("01234")
        assert (export.attempts, export.rows, Email.objects.count()) == (2, 5, 1)

    @pytest.mark.django_db(transaction=True)
    def test_by_a_kill_leaves_a_file_to_the_next_and_no_process_makes_it_twice(self, agent: User, numbers: Any) -> None:
        def kill(number: int) -> None:
            if number == 20 and os.getpid() != here:
                os.kill(os.getpid(), signal.SIGKILL)

        here = os.getpid()
        numbers(60, kill)
        export = wish(agent)
        connection.close()
        if connection.vendor == "postgresql":
            cast(Any, connection).close_pool()  # otherwise both processes would speak on one connection
        if (child := os.fork()) == 0:
            worker.run_due()
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert 0 < ExportChunk.objects.count() < 60 and Export.objects.get().state == "running"
        assert worker.run_due() == 0, "the claim still stands"
        pass_time(EXPORT_LEASE)
        with ThreadPoolExecutor(2) as pool:  # two workers at once: threads with connections and lanes of their own
            ended = sum(pool.map(lambda _: in_a_worker(), range(2)))
        assert ended == 1
        assert [row["Number"] for row in rows_of(content(export))] == [str(number) for number in range(60)]
        assert ExportChunk.objects.count() == export.chunks and Email.objects.count() == 1

    def test_again_and_again_is_given_up_with_a_sentence(self, agent: User, numbers: Any) -> None:
        def die(number: int) -> None:
            raise SystemExit

        numbers(1, die)
        export = wish(agent)
        for _ in range(worker.MAX_ATTEMPTS):
            with pytest.raises(SystemExit):
                worker.run_due()
            pass_time(EXPORT_LEASE)
        assert worker.run_due() == 1
        export.refresh_from_db()
        assert (export.state, export.error) == ("failed", worker.GAVE_UP.format(number=3))

    def test_slowly_and_comes_back_writes_nothing_more(self, agent: User, numbers: Any) -> None:
        """Frozen for longer than its lease, and another worker has made the file meanwhile."""
        thread: list[int] = []

        def freeze(number: int) -> None:
            if number == 3 and not thread:
                thread.append(1)
                pass_time(EXPORT_LEASE)
                other = worker._take()
                assert other is not None and worker._prepare(other)

        numbers(6, freeze)
        export = wish(agent)
        assert worker.run_due() == 0
        assert [row["Number"] for row in rows_of(content(export))] == list("012345")
        assert ExportChunk.objects.count() == export.chunks

    def test_by_an_error_that_nobody_expected_is_tried_again_soon(self, agent: User, numbers: Any) -> None:
        def fail(number: int) -> None:
            if Export.objects.get().attempts == 1:
                raise OperationalError("the server closed the connection unexpectedly")

        numbers(2, fail)
        export = wish(agent)
        assert worker.run_due() == 0 == worker.run_due()
        pass_time(EXPORT_RETRY)
        assert worker.run_due() == 1
        assert len(rows_of(content(export))) == 2

    def test_by_a_search_that_takes_too_long_says_so(self, agent: User, numbers: Any) -> None:
        def look(number: int) -> None:
            if number == 2:
                raise search.TakesTooLong

        numbers(5, look)
        export = wish(agent)
        assert worker.run_due() == 1
        export.refresh_from_db()
        assert export.state == "failed" and "looks through more rows" in export.error

    @pytest.mark.parametrize("said", ["database or disk is full", 'could not extend file "x": No space left on device'])
    def test_because_the_disk_is_full_leaves_nothing_behind(self, agent: User, numbers: Any, said: str) -> None:
        def fail(number: int) -> None:
            if number == 3:
                raise OperationalError(said)

        numbers(5, fail)
        export = wish(agent)
        assert worker.run_due() == 1
        export.refresh_from_db()
        assert (export.state, export.error, export.stored) == ("failed", worker.DISK_FULL, 0)
        assert not ExportChunk.objects.exists()

    def test_by_a_shutdown_has_it_begun_anew_at_once(
        self, agent: User, numbers: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(number: int) -> None:
            if number == 2 and Export.objects.get().attempts == 1 and not stopped:
                stopped.append(1)
                raise interruption.Interrupted

        stopped: list[int] = []
        numbers(5, stop)
        export = wish(agent)
        assert worker.run_due() == 1
        assert len(rows_of(content(export))) == 5 and export.attempts == 1


class TestTheEndOfAFile:
    def test_is_when_its_time_is_over(self, agent: User, numbers: Any) -> None:
        numbers(3)
        export = wish(agent)
        worker.run_due()
        pass_time(EXPORT_KEPT)
        with pytest.raises(exports.Gone):
            content(export)
        assert exports.tend() == 1
        export.refresh_from_db()
        assert (export.state, ExportChunk.objects.count()) == ("removed", 0)
        pass_time(EXPORT_LISTED)
        exports.tend()
        assert not Export.objects.exists()

    def test_in_the_middle_of_a_download_cuts_it(self, agent: User, numbers: Any) -> None:
        numbers(3)
        export = wish(agent)
        worker.run_due()
        export.refresh_from_db()
        pieces = exports.pieces(export)
        next(pieces)
        exports.remove(export)
        with pytest.raises(exports.Gone):
            list(pieces)

    def test_may_be_that_a_backup_has_left_its_pieces_out(self, desk: Client) -> None:
        export = prepared(desk)
        link = link_on(desk, export)
        ExportChunk.objects.all().delete()
        assert "not here any more" in desk.get(link, follow=True).content.decode()

    def test_is_what_its_person_says(self, desk: Client) -> None:
        export = prepared(desk)
        assert "The file is removed." in desk.post(f"{MINE}{export.pk}/remove/now/", follow=True).content.decode()
        assert not ExportChunk.objects.exists()
        assert "had ended already" in desk.post(f"{MINE}{export.pk}/cancel/now/", follow=True).content.decode()
        assert desk.get(f"{MINE}{export.pk}/remove/now/").status_code == 405

    def test_cancelling_stops_the_worker_at_its_next_piece(self, agent: User, numbers: Any) -> None:
        seen: list[int] = []

        def cancel(number: int) -> None:
            seen.append(number)
            if number == 3:
                exports.cancel(Export.objects.get())

        numbers(10_000, cancel)
        export = wish(agent)
        assert worker.run_due() == 0
        export.refresh_from_db()
        assert (export.state, ExportChunk.objects.count()) == ("cancelled", 0) and len(seen) < 10

    @pytest.mark.parametrize("when", ["prepared", "being prepared"])
    def test_is_the_erasure_of_any_customer(self, agent: User, numbers: Any, when: str) -> None:
        anew: list[int] = []

        def erase(number: int) -> None:
            if number == 3 and not anew and when == "being prepared":
                anew.append(exports.remove_all())

        numbers(5, erase)
        export = wish(agent)
        worker.run_due()
        if when == "prepared":
            assert exports.remove_all() == 1
            export.refresh_from_db()
            assert (export.state, export.error, ExportChunk.objects.count()) == ("removed", upkeep.ERASED, 0)
        else:
            assert anew == [1] and len(rows_of(content(export))) == 5
            assert ExportChunk.objects.count() == export.chunks


class TestTheRoomForFiles:
    def test_of_one_person_is_for_three_at_once(self, desk: Client, agent: User, numbers: Any) -> None:
        numbers(1)
        for _ in range(wishes.AT_ONCE):
            wish(agent)
        answer: Any = desk.post(CHOOSE, FORM, follow=True)
        assert "3 files are being prepared for you already." in answer.content.decode()
        wish(User.objects.create_user("another"))

    def test_of_one_file_has_an_end(self, agent: User, numbers: Any, settings: Any) -> None:
        settings.EXPORT_MAX_MEGABYTES = 0
        numbers(3)
        export = wish(agent)
        assert worker.run_due() == 1
        export.refresh_from_db()
        assert export.state == "failed" and export.error.startswith("The file became larger than 0 MB")
        assert not ExportChunk.objects.exists()

    def test_of_all_files_has_an_end(self, agent: User, numbers: Any, settings: Any) -> None:
        settings.EXPORTS_MAX_MEGABYTES = 0
        with pytest.raises(exports.TooMany, match="no room"):
            wish(agent)


def test_a_worker_knows_every_list_when_it_has_started() -> None:
    """Without having asked for an address, which would load the pages' addresses."""
    look = (
        "import django; django.setup(); from invoices.exports import kinds; from invoices.record_tables import SHAPES; "
        "print(len(SHAPES), sum(name.startswith('list.') for name in kinds._kinds))"
    )
    known = own_database.run(["-c", look], ROOT, DJANGO_SETTINGS_MODULE="backoffice.settings").stdout.split()
    assert known and known[0] == known[1]


def test_a_kind_that_nobody_knows_has_no_file(agent: User) -> None:
    export = wish(agent, kind="of a later version")
    worker.run_due()
    export.refresh_from_db()
    assert "does not know this kind" in export.error


def test_the_list_and_the_page_need_few_queries(desk: Client, django_assert_max_num_queries: Any) -> None:
    export = prepared(desk)
    desk.get(MINE)
    for address in (MINE, f"{MINE}{export.pk}/", CHOOSE):
        with django_assert_max_num_queries(18):
            desk.get(address)
