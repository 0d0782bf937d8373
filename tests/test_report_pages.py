"""The pages, files and the command of reports: each total leads to its rows, and all of them say the same."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import clock, exports, reconcile
from invoices.admin.reports import pages
from invoices.models import Export, Operation, SignInRecord
from invoices.reports import REPORTS
from tests.factories import InvoiceObject, stored, user_in_group
from tests.helpers.admin_pages import text
from tests.helpers.month import Autumn, at, invoice, payment
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE = "from=2026-09-01&to=2026-11-30&tz=UTC"
QUERIES = {
    "payments": 21,
    "receivables": 28,
    "issued": 15,
    "write_offs": 24,
    "attempts": 17,
    "operations": 12,
    "drift": 12,
}


@pytest.fixture
def autumn(sandbox: SandboxProcess) -> Autumn:
    story = Autumn(sandbox, [])
    sandbox.clock(now=at(11, 21))
    reconcile.sweep_lists("full")
    return story


@pytest.fixture
def accountant(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


def query(name: str) -> str:
    return "as_of=2026-11-05&tz=UTC" if REPORTS[name].is_as_of else WHOLE


def totals(html: str) -> list[tuple[str, list[str]]]:
    """Of each total of a page: its link, and the texts of its cells."""
    table = html.partition('<table class="rows by-group')[2].partition("</table>")[0]
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)[1:]
    found = []
    for line in lines:
        link = unescape(re.search(r'href="([^"]+)"', line)[1])  # type: ignore[index]
        found.append(
            (link, [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[dh].*?</t[dh]>", line)])
        )
    return found


def as_json(client: Client, name: str, query: str) -> Any:
    answer: Any = client.get(f"/admin/reports/{name}/download.json?{query}")
    assert answer.status_code == 200
    return json.loads(answer.getvalue())


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_each_total_of_a_page_leads_to_exactly_its_rows(autumn: Autumn, accountant: Client, name: str) -> None:
    html = text(accountant.get(f"/admin/reports/{name}/?{query(name)}"))
    for link, cells in totals(html):
        linked = text(accountant.get(link))
        below = linked.partition('id="rows"')[2]
        file = as_json(accountant, name, link.partition("?")[2].partition("#")[0])
        assert len(file["rows"]) == int(cells[2]), (name, link)
        assert below.count("<tr>") - 1 == int(cells[2])
        minor = sum(total["amount_minor_units"] or 0 for total in file["totals"])
        if REPORTS[name].sums and cells[3] != "–":
            assert re.sub(r"[^0-9]", "", cells[3]) == str(minor), link
            column = next(key for key in file["columns"] if key.endswith("_minor_units"))
            assert sum(row[column] for row in file["rows"]) == minor
        assert f"<small>{cells[2]}" in below


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_all_pages_of_the_rows_together_are_the_file(
    autumn: Autumn, accountant: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def rows_of(html: str) -> list[str]:
        return re.findall(r"<tr>(<td.*?)</tr>", html.partition('id="rows"')[2], re.DOTALL)

    whole = rows_of(text(accountant.get(f"/admin/reports/{name}/?{query(name)}")))
    monkeypatch.setattr(pages, "ROWS_SHOWN", 2)
    link, found = f"/admin/reports/{name}/?{query(name)}", list[str]()
    while link:
        html = text(accountant.get(link))
        found += rows_of(html)
        following = re.search(r'href="([^"]+)" rel="next"', html)
        link = unescape(following[1]) if following else ""
    assert found == whole
    assert len(whole) == len(as_json(accountant, name, query(name))["rows"])


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999", "9" * 400, "٣"])
def test_a_page_that_is_not_there_is_the_last_or_the_first(
    autumn: Autumn, accountant: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(pages, "ROWS_SHOWN", 2)
    html = text(accountant.get(f"/admin/reports/payments/?{query('payments')}&page={page}"))
    assert "<td" in html.partition('id="rows"')[2]
    assert ('rel="next"' in html) is (page != "99999999")


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_page_reads_a_fixed_number_of_queries(autumn: Autumn, accountant: Client, name: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert accountant.get(f"/admin/reports/{name}/?{query(name)}").status_code == 200
    beside = 9 if connection.vendor == "postgresql" else 0  # the snapshot, and the time limit
    assert len(queries) <= QUERIES[name] + beside, [each["sql"][:150] for each in queries]


def test_the_files_have_the_same_rows(autumn: Autumn, accountant: Client) -> None:
    there = f"/admin/reports/payments/download.%s?{WHOLE}"
    of_csv = list(csv.reader(io.StringIO(accountant.get(there % "csv").getvalue().decode("utf-8-sig"))))
    book = openpyxl.load_workbook(io.BytesIO(accountant.get(there % "xlsx").getvalue()))
    of_json = as_json(accountant, "payments", WHOLE)
    assert of_csv[0] == [cell.value for cell in book.active[1]] == list(of_json["columns"].values())
    place = of_csv[0].index("Received (minor units)")
    sums = [
        sum(int(row[place]) for row in of_csv[1:]),
        sum(row[place].value for row in book.active.iter_rows(min_row=2)),
    ]
    assert sums == [sum(row["received_minor_units"] for row in of_json["rows"])] * 2
    told = SignInRecord.objects.filter(what=SignInRecord.What.LIST_DOWNLOADED).values_list("detail", flat=True)
    assert "Payments received as XLSX: 2026-09-01 to 2026-11-30 (UTC)" in told


def test_a_file_is_prepared_in_the_background(autumn: Autumn, accountant: Client, finance: User) -> None:
    answer = accountant.post(f"/admin/reports/payments/prepare/?{WHOLE}&currency=eur", {"format": "csv"})
    export = Export.objects.get()
    assert answer.status_code == 302 and str(export.pk) in answer["Location"]
    exports.run_due()
    export.refresh_from_db()
    assert (export.state, export.rows) == ("ready", 4), export.error
    finance.groups.clear()
    accountant.post(f"/admin/reports/payments/prepare/?{WHOLE}", {"format": "csv"})
    assert Export.objects.count() == 1


def test_the_command_says_the_same(autumn: Autumn, accountant: Client, capsys: Any) -> None:
    output, said = io.StringIO(), io.StringIO()
    days = ["--from", "2026-09-01", "--to", "2026-11-30", "--tz", "UTC"]
    call_command("report", "payments", *days, "--format", "json", stdout=output, stderr=said)
    of_command, of_page = json.loads(output.getvalue()), as_json(accountant, "payments", WHOLE)
    assert {**of_command, "made_at": ""} == {**of_page, "made_at": ""}
    assert "Outside Stripe, recorded [outside] EUR: 3  EUR 65.00" in said.getvalue()
    output = io.StringIO()
    call_command("report", "payments", *days, "--totals", "--currency", "EUR", stdout=output, stderr=said)
    assert output.getvalue().splitlines()[1:] == [
        '"Outside Stripe, recorded",EUR,3,65.00,6500',
        '"Marked as paid, without a payment",EUR,1,4.00,400',
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["payments", "--as-of", "2026-10-01"], "give --from and --to"),
        (["receivables", "--from", "2026-10-01"], "give --as-of"),
        (["receivables", "--as-of", "2099-10-01"], "has not begun"),
        (["payments", "--to", "2026-10-01"], "from which day"),
        (["payments", "--from", "2026-10-02", "--to", "2026-10-01"], "is before the first"),
        (["payments", "--from", "0001-01-01"], "the year must be"),
        (["payments", "--tz", "../../etc/passwd"], "no time zone"),
        (["payments", "--currency", "euro"], "no currency"),
    ],
)
@pytest.mark.django_db
def test_parameters_that_cannot_be_read_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        call_command("report", *words)
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("from=01/02/2026&to=2026-10-01", "could mean"),
        ("from=2026-10-02&to=2026-10-01", "is before the first"),
        ("tz=Nowhere/At_all", "no time zone"),
        ("currency=%27%27;", "no currency"),
        ("group=" + "x" * 301, "No rows"),
        ("from=1.10.2026&to=31.10.2026", "1 Oct 2026 to 31 Oct 2026"),
    ],
)
def test_a_page_says_what_it_cannot_read(accountant: Client, given: str, says: str) -> None:
    answer = accountant.get(f"/admin/reports/payments/?{given}")
    assert answer.status_code == 200 and says in unescape(text(answer))


def test_nothing_is_shown_in_part(autumn: Autumn, accountant: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.thresholds, "REPORT_LOOK", clock.now() - clock.now())
    html = text(accountant.get(f"/admin/reports/payments/?{WHOLE}"))
    assert "more than a page can add up in time" in html and "by-group" not in html and 'id="rows"' not in html


def test_who_may_see_which(client: Client, agent: User) -> None:
    client.force_login(agent)
    assert client.get("/admin/reports/").status_code == 403
    assert client.get("/admin/reports/payments/").status_code == 403
    assert client.get("/admin/reports/payments/download.csv").status_code == 403
    assert "/admin/reports/" not in text(client.get("/admin/"))
    for group in ("Billing manager", "Auditor", "Finance"):
        client.force_login(user_in_group(group, group))
        html = text(client.get("/admin/reports/"))
        assert all(f"/admin/reports/{name}/" in html for name in REPORTS), group
        assert client.get("/admin/reports/nothing/").status_code == 404
    assert Client().get("/admin/reports/").status_code == 302


def test_a_file_holds_no_formula_and_no_page_a_script(accountant: Client) -> None:
    stored(
        InvoiceObject(
            number="=1+1", customer_name="<script>", currency="usd", status_transitions={"finalized_at": at(10, 5)}
        )
    )
    row = accountant.get("/admin/reports/issued/download.csv?from=2026-10-01&to=2026-10-31").getvalue().decode()
    assert "'=1+1" in row
    assert "<script>&" not in text(accountant.get("/admin/reports/issued/?from=2026-10-01&to=2026-10-31"))


STANDING_BAR = re.compile(r'<li><a href="([^"]+)" title="[^"]*: ([^":]*)">')
BAR = re.compile(r'<li><a href="([^"]+)"><span class="bar-label">[^<]*</span>.*?<span class="bar-value">([^<]*)</span>')


@pytest.mark.parametrize(
    ("name", "query", "bars"),
    [
        ("payments", "from=2026-10-01&to=2026-10-31&tz=Europe/Berlin", 2 * 31),  # by day, USD and EUR
        ("payments", WHOLE, 4 * 14),  # by week, of four currencies
        ("payments", "from=2024-01-01&to=2026-11-30&tz=UTC", 4 * 35),  # by month
        ("payments", "from=2001-01-01&to=2099-12-31&tz=UTC", 4 * 99),  # by year
        ("receivables", "as_of=2026-10-31&tz=UTC", 5),
        ("attempts", "from=2026-10-01&to=2026-10-31&tz=UTC", 2),
    ],
)
def test_each_bar_of_a_chart_leads_to_its_rows(
    autumn: Autumn, accountant: Client, name: str, query: str, bars: int
) -> None:
    html = text(accountant.get(f"/admin/reports/{name}/?{query}"))
    found = [(unescape(link), value) for link, value in (*STANDING_BAR.findall(html), *BAR.findall(html))]
    assert len(found) == bars
    for link, value in found:
        if re.search(r"[1-9]", value):
            file = as_json(accountant, name, link.partition("?")[2])
            sums = sum(total["amount_minor_units"] for total in file["totals"])
            shown = len(file["rows"]) if name == "attempts" else sums
            assert re.sub(r"[^0-9]", "", value.partition(",")[0] if name == "attempts" else value) == str(shown), link


def test_what_is_not_known_is_not_among_the_rows_of_a_total_or_of_a_bar(accountant: Client) -> None:
    """It is in no total, so it stands behind none."""
    known, unknown = invoice("paid", paid_at=at(10, 5)), invoice("paid")
    payment(known, 1000, at(10, 5))
    html = text(accountant.get("/admin/reports/payments/?from=2026-10-01&to=2026-10-31&tz=UTC"))
    foot = html.partition("<tfoot>")[2].partition("</tfoot>")[0]
    bars = [link for link in re.findall(r'href="([^"]+)"', html) if "from=2026-10-05" in link]
    for link in (*re.findall(r'href="([^"]+)"', foot), *bars):
        file = as_json(accountant, "payments", unescape(link).partition("?")[2].partition("#")[0])
        assert [row["invoice_id"] for row in file["rows"]] == [known.pk] != [unknown.pk], link
    assert foot and bars


def test_a_total_without_a_currency_leads_to_no_row_that_has_one(accountant: Client, finance: User) -> None:
    for currency in ("", "usd"):
        Operation.objects.create(
            action="pay", invoice=f"in_{currency}", currency=currency, actor=finance, source="admin", state="refused"
        )
    day = f"{clock.now():%Y-%m-%d}"
    html = text(accountant.get(f"/admin/reports/operations/?from={day}&to={day}&tz=UTC"))
    lines = totals(html)
    assert len(lines) == 2
    for link, cells in lines:
        file = as_json(accountant, "operations", link.partition("?")[2].partition("#")[0])
        assert len(file["rows"]) == int(cells[2]) == 1, link
