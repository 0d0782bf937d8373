"""The reports against an auditor's own sums of Stripe's API: of months, days, time zones and currencies, as the
command, the page, its files and the rows behind each total say them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from html import unescape
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from invoices import reconcile
from invoices.reports import REPORTS
from tests.helpers.admin_pages import text
from tests.helpers.audit import ZONES, Books, Row, Within, sums
from tests.helpers.thorough import THOROUGH
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS, INVOICES = (range(3), 250) if THOROUGH else (range(1), 80)
MONTHS = [(date(2026, month, 1), date(2026, month, last)) for month, last in ((3, 31), (7, 31), (10, 31))]
DAYS = [(day, day) for day in (date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1))]
ENDS = [
    (day, zone)
    for zone in ZONES
    for day in {*(first - timedelta(days=1) for first, _last in MONTHS), *(last for _first, last in (*MONTHS, *DAYS))}
]
COUNTS = {  # of the rows of a file: what is added up
    "payments": "received",
    "issued": "total",
    "write_offs": "given_up",
    "receivables": "remaining",
    "attempts": "amount",
}


class Auditor:
    """Compares what one report says in each way with the auditor's rows."""

    def __init__(self, client: Client) -> None:
        self.client, self.wrong = client, list[Any]()

    def compare(self, name: str, period: dict[str, str], mine: dict[str, Row], *, everywhere: bool) -> None:
        told, expected = command(name, period), sums(mine)
        place = (name, *period.values())
        self.same(("command", *place), by_group(told), expected)
        self.same(("rows", *place), rows_by_group(name, told), expected)
        if REPORTS[name].adds_up:
            self.same(("all", *place), in_all(told), sums({key: ("", *row[1:]) for key, row in mine.items()}))
        for currency in {row[1] for row in mine.values()}:
            alone = command(name, period, currency=currency)
            of_it = {group: sum for group, sum in expected.items() if group[1] == currency}
            self.same((currency, *place), rows_by_group(name, alone), of_it)
        if everywhere:
            self.files(name, period, expected)
            self.page(name, period, expected)

    def files(self, name: str, period: dict[str, str], expected: Any) -> None:
        there = f"/admin/reports/{name}/download"
        lines = list(csv.reader(io.StringIO(self.client.get(f"{there}.csv", period).getvalue().decode("utf-8-sig"))))
        book = openpyxl.load_workbook(io.BytesIO(self.client.get(f"{there}.xlsx", period).getvalue()))
        sheet = [list(row) for row in book.active.iter_rows(values_only=True)]
        for format, (heads, *rows) in (("csv", lines), ("xlsx", sheet)):
            column = next(n for n, head in enumerate(heads) if str(head).endswith("(minor units)"))
            found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            for row in rows:
                found[row[heads.index("Currency")].lower()][0] += 1
                found[row[heads.index("Currency")].lower()][1] += int(row[column])
            wanted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            for (_group, currency), (count, amount) in expected.items():
                wanted[currency][0] += count
                wanted[currency][1] += amount
            self.same((format, name, *period.values()), dict(found), dict(wanted))

    def page(self, name: str, period: dict[str, str], expected: Any) -> None:
        """Each number of the page's totals, and the file of the address to which each leads."""
        html = text(self.client.get(f"/admin/reports/{name}/", period))
        counted = 0
        for table in re.findall(r'<table class="rows by-[^"]*".*?</table>', html, re.DOTALL):
            for line in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)[1:]:
                link = unescape(re.search(r'href="([^"]+)"', line)[1])  # type: ignore[index]
                cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", line, re.DOTALL)]
                given = link.partition("?")[2].partition("#")[0]
                file = json.loads(self.client.get(f"/admin/reports/{name}/download.json?{given}").getvalue())
                amount = sum(row[f"{COUNTS[name]}_minor_units"] or 0 for row in file["rows"])
                said = [re.sub(r"\D", "", cell) for cell in cells[-2:]]
                self.same((link,), said, [str(len(file["rows"])), str(abs(amount)) if amount else said[1]])
                counted += "by-group" in table[:40] and line.startswith("<td")
        self.same(("page", name, *period.values()), counted, len(expected))

    def same(self, what: Any, found: Any, expected: Any) -> None:
        if found != expected:
            self.wrong.append((what, found, expected))


def command(name: str, period: dict[str, str], **more: str) -> Any:
    given = [part for key, value in (period | more).items() for part in (f"--{key.replace('_', '-')}", value)]
    out = io.StringIO()
    call_command("report", name, *given, "--format", "json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def by_group(told: Any) -> Any:
    return {
        (each["group"], each["currency"].lower()): (each["count"], each["amount_minor_units"])
        for each in told["totals"]
    }


def in_all(told: Any) -> Any:
    return {
        ("", each["currency"].lower()): (each["count"], each["amount_minor_units"])
        for each in told["totals_by_currency"]
    }


def rows_by_group(name: str, told: Any) -> Any:
    labels = {each["label"]: each["group"] for each in told["totals"]}
    of_group = next(label for label in told["columns"] if told["columns"][label] in GROUP_COLUMNS)
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for row in told["rows"]:
        sum = found[labels[row[of_group]], row["currency"].lower()]
        sum[0] += 1
        sum[1] += row[f"{COUNTS[name]}_minor_units"]
    return {key: tuple(sum) for key, sum in found.items()}


GROUP_COLUMNS = {"How it was paid", "Age", "Status now", "What was done", "Result"}


@pytest.mark.parametrize("seed", SEEDS)
def test_each_total_is_the_auditors(sandbox: SandboxProcess, client: Client, finance: User, seed: int) -> None:
    books = Books(sandbox, invoices=INVOICES, seed=seed, ends=ENDS)
    reconcile.sweep_lists("full")
    books.read()
    client.force_login(finance)
    auditor = Auditor(client)
    recompute: dict[str, Callable[[Within], dict[str, Row]]] = {
        "payments": books.payments_received,
        "issued": books.issued,
        "write_offs": books.write_offs,
        "attempts": books.attempts,
    }
    for zone in ZONES:
        for first, last in (*MONTHS, *DAYS):
            period = {"from": str(first), "to": str(last), "tz": zone}
            for name, compute in recompute.items():
                everywhere = (first, last) == MONTHS[2] and zone == ZONES[0]
                auditor.compare(name, period, compute(Within(first, last, zone)), everywhere=everywhere)
        for day in sorted({day for day, of in ENDS if of == zone}):
            period = {"as_of": str(day), "tz": zone}
            auditor.compare(
                "receivables", period, books.receivables(day, zone), everywhere=day == MONTHS[2][1] and zone == ZONES[0]
            )
        for first, last in MONTHS:
            tie(auditor, books, first, last, zone)
    assert not auditor.wrong
    assert {"pay", "debit", "settle", "outside", "record", "too much", "charge part", "credit", "refund"} < set(
        books.done
    )


def tie(auditor: Auditor, books: Books, first: date, last: date, zone: str) -> None:
    """Receivables at the start, with what was issued, received, given up, and what no report has: those at the end."""
    period = {"from": str(first), "to": str(last), "tz": zone}
    terms: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, term in (("issued", "issued"), ("payments", "received"), ("write_offs", "given up")):
        for (group, currency), (_count, amount) in by_group(command(name, period)).items():
            terms[currency][term] += amount if group != "void-after" else 0
    for day, term in ((first - timedelta(days=1), "start"), (last, "end")):
        for (_group, currency), (_count, amount) in by_group(
            command("receivables", {"as_of": str(day), "tz": zone})
        ).items():
            terms[currency][term] += amount
    for term, of in books.beside(Within(first, last, zone)).items():
        for currency, amount in of.items():
            terms[currency][term] += amount
    for currency, of in terms.items():
        end = of["start"] + of["issued"] + of["balance"] - of["credited"] - of["given up"]
        end += of["overpaid"] + of["recovered"] - of["received"]
        auditor.same(("identity", currency, *period.values()), end, of["end"])
