"""The lists of the admin as files: what they hold, who may have them, and that a part never looks like the whole."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from invoices import assignments, clock, notes, promises, spreadsheet
from invoices.admin import exports
from invoices.admin.base import RecordAdmin
from invoices.admin.file_columns import SHOWN
from invoices.models import (
    ApiToken,
    Batch,
    BatchItem,
    Drift,
    Email,
    Event,
    Export,
    Mention,
    MonthClose,
    Operation,
    Pause,
    ReconciliationRun,
    ScheduledRefetch,
    SignInRecord,
    WebhookEndpoint,
)
from invoices.record_tables import SHAPES
from invoices.spreadsheet import xlsx_pieces
from invoices.tables import Column, Kind, Table, csv_pieces
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    RefundObject,
    stored,
    user_in_group,
)
from tests.helpers import bank
from tests.helpers.admin_pages import LIST

T0 = 1_790_000_000
COLUMNS = [
    Column("Text", Kind.TEXT),
    Column("Currency", Kind.CURRENCY),
    Column("Amount", Kind.AMOUNT),
    Column("Minor", Kind.MINOR),
    Column("Moment", Kind.MOMENT),
    Column("Day", Kind.DAY),
]
NOW = datetime(2026, 11, 21, 10, 20, 30, tzinfo=UTC)


def as_csv(*rows: list[Any]) -> list[list[str]]:
    text = "".join(csv_pieces(Table("Table", COLUMNS, rows)))
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline="")))[1:]


def as_xlsx(*rows: list[Any]) -> Any:
    return openpyxl.load_workbook(io.BytesIO(b"".join(xlsx_pieces(Table("Table", COLUMNS, rows)))))


def read_by(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """So many rows at a time."""
    for model, shape in SHAPES.items():
        monkeypatch.setitem(SHAPES, model, replace(shape, rows_at_once=rows))


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    text = answer.getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def sheet(answer: Any) -> list[dict[str, Any]]:
    labels, *rows = openpyxl.load_workbook(io.BytesIO(answer.getvalue())).active.iter_rows(values_only=True)
    return [dict(zip(labels, row, strict=True)) for row in rows]


# --- the writers ------------------------------------------------------------------------------------------------------


def test_amounts_and_moments_are_numbers_and_dates_in_both_files() -> None:
    row = ["“Ü”", "USD", Decimal("-1234.50"), -123450, NOW, date(2026, 11, 21)]
    assert as_csv(row) == [["“Ü”", "USD", "-1234.50", "-123450", "2026-11-21T10:20:30+00:00", "2026-11-21"]]
    cells = as_xlsx(row).active[2]
    assert [cell.value for cell in cells] == [
        "“Ü”",
        "USD",
        -1234.5,
        -123450,
        datetime(2026, 11, 21, 10, 20, 30),
        datetime(2026, 11, 21),
    ]
    assert [cell.data_type for cell in cells] == ["s", "s", "n", "n", "d", "d"]


@pytest.mark.parametrize(
    ("amount", "shown"), [(Decimal(500), "#,##0"), (Decimal("5.00"), "#,##0.00"), (Decimal("5.000"), "#,##0.000")]
)
def test_an_amount_has_the_decimals_of_its_currency(amount: Decimal, shown: str) -> None:
    assert as_xlsx([None, "XXX", amount, None, None, None]).active["C2"].number_format == shown


def test_no_digit_of_a_long_number_is_lost() -> None:
    row = [None, None, Decimal("92233720368547758.07"), 9223372036854775807, None, None]
    assert [cell.value for cell in as_xlsx(row).active[2]][2:4] == ["92233720368547758.07", "9223372036854775807"]
    assert as_csv(row)[0][2:4] == ["92233720368547758.07", "9223372036854775807"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"])
def test_no_text_becomes_a_formula(text: str) -> None:
    [[written, *_]] = as_csv([text, None, None, None, None, None])
    assert written.startswith("'")
    cell = as_xlsx([text, None, None, None, None, None]).active["A2"]
    assert cell.data_type != "f" and str(cell.value).lstrip() == text.lstrip()


@pytest.mark.parametrize("text", ["a;=1+1", "a\t@x", "a\n=1", "a\n＝1"])
def test_no_text_becomes_a_formula_where_the_spreadsheet_separates_otherwise(text: str) -> None:
    [[written, *_]] = as_csv([text, None, None, None, None, None])
    assert written == f"{text[:2]}'{text[2:]}"


def test_what_xml_cannot_hold_is_replaced_and_the_rest_stays() -> None:
    odd = "a\x00\x0b\x1f\ud800\ufffe<&>\"' \u200f😀"
    assert (
        as_xlsx([odd, None, None, None, None, None]).active["A2"].value
        == "a\ufffd\ufffd\ufffd\ufffd\ufffd<&>\"' \u200f😀"
    )


def test_what_excel_would_unescape_is_escaped() -> None:
    file = b"".join(xlsx_pieces(Table("Table", COLUMNS[:1], [["_x0041_"]])))
    assert b"_x005F_x0041_" in zipfile.ZipFile(io.BytesIO(file)).read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize("character", ["x", "ü", "😀"])
def test_a_cell_is_no_longer_than_excel_takes(character: str) -> None:
    value = as_xlsx([character * 40_000, None, None, None, None, None]).active["A2"].value
    assert len(value.encode("utf-16-le")) // 2 <= spreadsheet.CELL_LENGTH and value.endswith("…")


def test_a_moment_before_excels_calendar_is_a_text() -> None:
    value = as_xlsx([None, None, None, None, datetime(1850, 1, 1, tzinfo=UTC), date(1850, 1, 1)]).active[2]
    assert [cell.value for cell in value][4:] == ["1850-01-01T00:00:00+00:00", "1850-01-01"]


@pytest.mark.parametrize("number", [0, 1, 3, 4, 7])
def test_a_long_table_goes_on_in_another_sheet_under_the_labels(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "ROWS_PER_SHEET", 3)
    book = as_xlsx(*([str(each), None, None, None, None, None] for each in range(number)))
    rows = [[row[0] for row in each.iter_rows(values_only=True)] for each in book.worksheets]
    assert all(each[0] == "Text" for each in rows) and len(rows) == max(1, -(-number // 3))
    assert [value for each in rows for value in each[1:]] == [str(each) for each in range(number)]


@pytest.mark.parametrize("name", ["a/b[c]:*?", "", "x" * 100, "'", "A\x01&B"])
def test_every_name_of_a_table_is_one_of_a_sheet(name: str) -> None:
    file = b"".join(xlsx_pieces(Table(name, COLUMNS, [])))
    assert 0 < len(openpyxl.load_workbook(io.BytesIO(file)).sheetnames[0]) <= 31


def test_a_file_that_breaks_off_is_no_whole_file() -> None:
    def rows() -> Iterator[list[Any]]:
        for number in range(1000):
            yield [str(number), None, None, None, None, None]
        raise ConnectionError

    pieces: list[bytes] = []
    with pytest.raises(ConnectionError):
        pieces.extend(xlsx_pieces(Table("Table", COLUMNS, rows())))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def test_a_table_is_written_while_it_is_read() -> None:
    read = 0

    def rows() -> Iterator[list[Any]]:
        nonlocal read
        for number in range(100_000):
            read += 1
            yield [str(number), None, None, None, None, None]

    for pieces in (xlsx_pieces(Table("Table", COLUMNS, rows())), csv_pieces(Table("Table", COLUMNS, rows()))):
        next(iter(pieces))
        assert read <= 201
        read = 0


# --- the lists --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_file_has_what_the_list_shows_on_all_pages(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by(monkeypatch, 7)
    for number in range(60):
        stored(InvoiceObject(status="open" if number % 2 else "paid", created=T0 + number, number=f"N-{number:02d}"))
    rows = table(desk.get(f"{LIST}download.csv?state=open&after=anything&p=3"))
    assert [row["Invoice"] for row in rows] == [f"N-{number:02d}" for number in range(59, 0, -2)]
    assert {row["Status"] for row in rows} == {"open"}
    assert sheet(desk.get(f"{LIST}download.xlsx?state=open"))[0]["Invoice"] == "N-59"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "minor", "major"), [("usd", 123450, "1234.50"), ("jpy", 500, "500"), ("kwd", 1230, "1.230")]
)
def test_an_invoice_stands_with_number_currency_amount_and_minor_units(
    desk: Client, currency: str, minor: int, major: str
) -> None:
    stored(CustomerObject(id="cus_1", name="=Ada Ünal", email="Ada@Example.com"))
    stored(
        InvoiceObject(
            id="in_1",
            number="N-1",
            currency=currency,
            amount_remaining=minor,
            customer="cus_1",
            created=T0,
            due_date=T0,
        )
    )
    [row] = table(desk.get(f"{LIST}download.csv"))
    assert (row["Invoice"], row["Currency"], row["Remaining"]) == ("N-1", currency.upper(), major)
    assert (row["Remaining (minor units)"], row["Invoice id"]) == (str(minor), "in_1")
    assert (row["Customer"], row["Customer e-mail"]) == ("'=Ada Ünal", "Ada@Example.com")
    assert row["Created (UTC)"] == row["Due date (UTC)"] == "2026-09-21T14:13:20+00:00"
    [cells] = sheet(desk.get(f"{LIST}download.xlsx"))
    assert (cells["Remaining"], cells["Customer"]) == (float(major), "=Ada Ünal")
    assert cells["Created (UTC)"] == datetime(2026, 9, 21, 14, 13, 20)


@pytest.fixture
def one_of_each(agent: User) -> None:
    """At least one row in every list, with everything that its file looks up beside it."""
    stored(CustomerObject(id="cus_1", name="Ada"))
    stored(InvoiceObject(id="in_1", number="N-1", customer="cus_1", amount_remaining=500))
    stored(InvoicePaymentObject(id="inpay_1", invoice="in_1"))
    stored(ChargeObject(id="ch_1", customer="cus_1"))
    stored(PaymentIntentObject(id="pi_1", customer="cus_1"))
    stored(CreditNoteObject(id="cn_1", invoice="in_1", customer="cus_1"))
    stored(RefundObject(id="re_1", charge="ch_1", customer="cus_1"))
    batch = Batch.objects.create(
        action="void", actor=agent, reason="asked", items=[BatchItem("in_1", "open", 500, "usd")]
    )
    Operation.objects.create(
        action="void", invoice="in_1", actor=agent, source="admin", state="failed", customer="cus_1", currency="usd",
        batch=batch,
    )  # fmt: skip
    Pause.objects.create(action="void", reason="a look", paused_by=agent)
    ApiToken.objects.create(agent, name="finance")
    WebhookEndpoint.objects.create(url="https://example.com/hook", enabled_events=["*"], secret="x", owner=agent)
    Email.objects.create(kind="approval", about="1", recipient="a@example.com", subject="Approval needed", body="")
    Event.objects.create(id="evt_1", type="invoice.paid", object_type="invoice", object_id="in_1", body="{}")
    run = ReconciliationRun.objects.create(kind="sweep")
    Drift.objects.create(
        run=run, kind="differs", object_type="invoice", object_id="in_1", field="total", ours=1, theirs=-2
    )
    ScheduledRefetch.objects.create(
        object_type="invoice", object_id="in_1", asked_at=run.started_at, due_at=run.started_at
    )
    bank.credits_of(bank.line(500, "N-1"))
    MonthClose.objects.create(month=date(2026, 10, 1), time_zone="UTC", number=1, closed_by=agent)
    assignments.give("in_1", agent.username, by=agent, seen=None)
    notes.write("in_1", "=a note", author=agent)
    promises.record("in_1", amount="5", day=f"{timezone.localdate(clock.now())}", by=agent)


def address_of(model: Any) -> str:
    return f"/admin/invoices/{model._meta.model_name}/"


@pytest.mark.django_db
@pytest.mark.parametrize("model", SHAPES, ids=lambda model: model.__name__)
@pytest.mark.parametrize("kind", exports.FORMATS)
def test_every_list_with_a_table_has_its_files(client: Client, one_of_each: None, model: Any, kind: str) -> None:
    client.force_login(User.objects.create_superuser("root"))
    shown = client.get(address_of(model)).content.decode()
    assert f"{address_of(model)}download.{kind}" in shown and f"{address_of(model)}file/" in shown
    count = model.objects.count()
    answer = client.get(f"{address_of(model)}download.{kind}")
    rows = table(answer) if kind == "csv" else sheet(answer)
    assert len(rows) == count > 0
    assert rows[0].get("Customer", "Ada") == "Ada"


@pytest.mark.django_db
@pytest.mark.parametrize("model", SHAPES, ids=lambda model: model.__name__)
def test_a_file_is_in_english_whatever_the_language_of_the_reader(
    client: Client, one_of_each: None, model: Any
) -> None:
    client.force_login(User.objects.create_superuser("root"))
    for columns in ("all", "shown"):
        address = f"{address_of(model)}download.csv?table={columns}"
        client.cookies["language"] = "en"
        english = table(client.get(address))
        client.cookies["language"] = "de"
        with translation.override("de"):  # in which a server may send what is read later
            german = table(client.get(address))
        assert german[len(german) - len(english) :] == english  # the sign-ins have the download before, too


def test_every_list_of_records_has_a_table() -> None:
    """Mentions are a page of their own, and one's own files are no records."""
    lists = {model for model, admin in site._registry.items() if isinstance(admin, RecordAdmin)}
    assert lists - SHAPES.keys() == {Mention, Export}


@pytest.mark.parametrize("model", SHAPES, ids=lambda model: model.__name__)
def test_every_column_of_a_list_has_its_columns_in_the_file(model: Any) -> None:
    admin: Any = site._registry[model]
    labels = {field.column.label for field in SHAPES[model].fields}
    of_buttons = {"resume_"} if model is Pause else set()
    assert set(SHOWN[model]) == {*admin.all_columns(), *of_buttons}
    assert {label for found in SHOWN[model].values() for label in found} <= labels
    assert [name for name, found in SHOWN[model].items() if not found] == [*of_buttons]
    assert len(labels) == len(SHAPES[model].fields), "a label stands twice"


@pytest.mark.django_db
def test_a_file_has_what_is_looked_up_beside_its_rows(client: Client, one_of_each: None, agent: User) -> None:
    client.force_login(User.objects.create_superuser("root"))

    def first(name: str) -> dict[str, str]:
        return table(client.get(f"/admin/invoices/{name}/download.csv"))[0]

    today = f"{timezone.localdate(clock.now())}"
    assert (first("invoice")["Assigned to"], first("invoice")["Promised until"]) == (agent.username, today)
    assert (first("batch")["Invoices"], first("batch")["Succeeded"], first("batch")["Not done"]) == ("1", "0", "1")
    note, promise = first("note"), first("promise")
    assert (note["Note"], note["Author"], note["Versions"]) == ("'=a note", agent.username, "1")
    assert (promise["Promised"], promise["State"], promise["Promised until"]) == ("5.00", "open", today)
    assert (first("drift")["Here"], first("drift")["At Stripe"]) == ("1", "'-2")
    assert first("customer")["As of (UTC)"] and first("charge")["Paid with"] == "card"


@pytest.mark.django_db
def test_a_file_needs_a_fixed_number_of_queries_for_each_page(
    desk: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by(monkeypatch, 50)
    for number in range(100):
        stored(InvoicePaymentObject(id=f"inpay_{number}", invoice=f"in_{number}"))
        stored(InvoiceObject(id=f"in_{number}", customer=f"cus_{number}"))
        stored(CustomerObject(id=f"cus_{number}"))
    with django_assert_max_num_queries(36):
        assert len(table(desk.get("/admin/invoices/invoicepayment/download.csv"))) == 100


@pytest.mark.django_db
@pytest.mark.parametrize("search", ["", "&q=Ada"])
def test_a_file_is_in_the_order_of_the_list(desk: Client, monkeypatch: pytest.MonkeyPatch, search: str) -> None:
    read_by(monkeypatch, 1)
    for number, (currency, amount) in enumerate([("usd", 300), ("eur", 900), ("usd", 100), ("eur", 200)]):
        stored(InvoiceObject(number=f"N-{number}", currency=currency, amount_remaining=amount, customer_name="Ada"))
    rows = table(desk.get(f"{LIST}download.csv?sort=remaining{search}"))
    shown = re.findall(r">(N-\d)<", desk.get(f"{LIST}?sort=remaining{search}").content.decode())
    assert [row["Invoice"] for row in rows] == shown == ["N-0", "N-2", "N-1", "N-3"]


@pytest.mark.django_db
def test_who_may_not_see_a_list_gets_no_file_of_it(client: Client) -> None:
    client.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert client.get(f"{LIST}download.csv").status_code == 403
    assert not SignInRecord.objects.filter(what="list_downloaded").exists()
    assert Client().get(f"{LIST}download.csv").status_code == 302


@pytest.mark.django_db
def test_a_file_says_no_more_than_the_person_may_see(client: Client, agent: User) -> None:
    from django.contrib.auth.models import Permission

    stored(CustomerObject(id="cus_1", name="Ada"))
    stored(InvoiceObject(id="in_1", number="N-1", customer="cus_1"))
    stored(InvoicePaymentObject(id="inpay_1", invoice="in_1"))
    person = User.objects.create_user("payments alone", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_invoicepayment"))
    client.force_login(person)
    [row] = table(client.get("/admin/invoices/invoicepayment/download.csv"))
    assert not {"Customer", "Customer e-mail", "Invoice"} & row.keys()
    assert "Ada" not in row.values() and "N-1" not in row.values()


@pytest.mark.django_db
def test_a_download_stands_in_the_journal_of_people_without_what_was_searched_for(desk: Client, agent: User) -> None:
    stored(InvoiceObject(customer_email="ada@example.com", status="open"))
    answer = desk.get(f"{LIST}download.csv?q=ada@example.com&state=open")
    record = SignInRecord.objects.get(what="list_downloaded")
    assert (record.username, record.by) == (agent.username, agent.username)
    assert record.detail == "Invoices as CSV: Status: Open · a search"
    assert "ada" not in answer["Content-Disposition"] and "invoices-open-search-" in answer["Content-Disposition"]
    assert len(table(answer)) == 1


@pytest.mark.django_db
def test_the_name_of_the_file_cannot_be_broken_by_a_filter(desk: Client) -> None:
    answer = desk.get(f"{LIST}download.csv", {"state": 'open"\r\nX: 1; filename="evil'})
    assert answer.status_code in (200, 302)
    assert not {"\r", "\n"} & set(answer.get("Content-Disposition", "")) and "X" not in answer.headers


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["unknown=1", "status__exact=open", 'q=status:"open', "q=total>x"])
def test_what_cannot_be_read_is_no_file_and_says_why(desk: Client, query: str) -> None:
    stored(InvoiceObject())
    answer: Any = desk.get(f"{LIST}download.csv?{query}", follow=True)
    assert "Nothing was downloaded." in answer.content.decode()
    assert not SignInRecord.objects.filter(what="list_downloaded").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["q=%00", "state=%00", "currency=%00", "q=" + "x" * 5000])
def test_no_parameter_breaks_the_file(desk: Client, query: str) -> None:
    stored(InvoiceObject())
    assert desk.get(f"{LIST}download.csv?{query}").status_code < 500


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["deactivated", "signed out", "permission lost"])
def test_a_download_ends_when_the_person_may_not_see_the_list_any_more(
    desk: Client, agent: User, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by(monkeypatch, 1)
    monkeypatch.setattr(exports, "SECONDS_BETWEEN_CHECKS", -1.0)
    for _ in range(500):
        stored(InvoiceObject())
    pieces = iter(desk.get(f"{LIST}download.csv").streaming_content)  # type: ignore[attr-defined]
    next(pieces)
    match change:
        case "deactivated":
            User.objects.filter(pk=agent.pk).update(is_active=False)
        case "signed out":
            desk.logout()
        case _:
            agent.groups.clear()
    with pytest.raises(exports.Stopped):
        list(pieces)


@pytest.mark.django_db
def test_a_download_is_not_posted(desk: Client) -> None:
    assert desk.post(f"{LIST}download.csv").status_code == 405


@pytest.mark.django_db
def test_an_auditor_may_download(client: Client) -> None:
    client.force_login(user_in_group("auditor", "Auditor"))
    assert table(client.get("/admin/invoices/operation/download.csv")) == []


@pytest.mark.parametrize("format", ["csv", "xlsx"])
@pytest.mark.parametrize("model", ["user", "group"])
def test_users_and_groups_have_files_too(admin_client: Client, agent: User, model: str, format: str) -> None:
    page = admin_client.get(f"/admin/auth/{model}/").content.decode()
    assert f"/admin/auth/{model}/download.{format}" in page
    answer = admin_client.get(f"/admin/auth/{model}/download.{format}")
    body = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert answer.status_code == 200
    if format == "xlsx":
        assert openpyxl.load_workbook(io.BytesIO(body)).active.max_row > 1
        return
    rows = list(csv.DictReader(io.StringIO(body.decode().removeprefix("\ufeff"))))
    if model == "user":
        [row] = [row for row in rows if row["User name"] == agent.username]
        assert (row["Staff"], row["Superuser"], row["Groups"]) == ("yes", "no", "Support agent")
    else:
        [row] = [row for row in rows if row["Group"] == "Support agent"]
        assert row["Members"] == agent.username
        assert "view_invoice" in row["Permissions"]


def test_the_file_of_users_has_what_the_list_matches_and_is_in_the_journal(admin_client: Client, agent: User) -> None:
    User.objects.create_user("=someone", is_staff=False)
    answer = admin_client.get("/admin/auth/user/download.csv?is_staff__exact=0")
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [row[0] for row in rows[1:]] == ["'=someone"]
    assert SignInRecord.objects.filter(what=SignInRecord.What.LIST_DOWNLOADED).latest("pk").detail == (
        "Users as CSV: a part"
    )


def test_who_may_not_see_users_gets_no_file_of_them(desk: Client) -> None:
    for model in ("user", "group"):
        assert desk.get(f"/admin/auth/{model}/download.csv").status_code == 403
