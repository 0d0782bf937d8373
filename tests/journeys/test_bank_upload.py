"""Uploading a bank's file in a real browser: what is refused is said beside the file, which stays chosen."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices.models import BankTransaction, StatementLayout
from tests.helpers import bank, bank_files
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401

pytestmark = MARKS


@pytest.fixture
def upload(live_server: LiveServer, page: Page, finance: User) -> Page:
    page.goto(f"{live_server.url}/admin/invoices/bankstatement/upload/")
    page.get_by_label("Username").fill(finance.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("File of the bank")).to_be_visible()
    return page


def test_the_columns_are_asked_for_and_the_file_stays_chosen(upload: Page, tmp_path: Path) -> None:
    file = tmp_path / "umsatz.csv"
    file.write_bytes(bank_files.csv_bytes(bank.ACCOUNT, [bank.line(123_450, "Invoice 17")], opening=0))
    upload.get_by_label("File of the bank").set_input_files(file)
    upload.get_by_role("button", name="Upload").click()
    expect(upload.get_by_text("What are the columns of this bank’s files?")).to_be_visible()
    expect(upload.get_by_text("Choose the file above once more")).to_be_hidden()
    upload.get_by_role("button", name="Show how it is understood").click()  # the name of the bank is missing
    expect(upload.locator(".field.wrong").get_by_label("Name of the bank")).to_be_visible()
    upload.get_by_label("Name of the bank").fill("My bank")
    upload.get_by_role("button", name="Show how it is understood").click()
    expect(upload.get_by_role("cell", name="EUR 1,234.50")).to_be_visible()
    assert not BankTransaction.objects.exists()
    upload.get_by_role("button", name="Take these statements").click()
    expect(upload.get_by_text("1 new transaction was taken.")).to_be_visible()
    assert BankTransaction.objects.get().amount == 123_450 and StatementLayout.objects.get().name == "My bank"


def test_the_name_of_the_file_is_written_nowhere(upload: Page, tmp_path: Path) -> None:
    file = tmp_path / "november.csv"
    file.write_bytes(b"Date,Amount,Currency,Text\n2026-11-02,9.50,EUR,Invoice 17\n")
    upload.get_by_label("File of the bank").set_input_files(file)
    expect(upload.get_by_label("Our account, if a CSV file does not say it")).to_have_value("")


def test_after_a_file_that_does_not_tie_another_is_chosen(upload: Page, tmp_path: Path) -> None:
    whole = bank_files.camt053(bank.ACCOUNT, "eur", 100, [bank.line(950, "Invoice 17")], day=date(2026, 11, 2))
    bad, good = tmp_path / "bad.xml", tmp_path / "good.xml"
    bad.write_bytes(whole.replace(b"10.50", b"11.50"))
    good.write_bytes(whole)
    for file in (bad, good):
        upload.get_by_label("File of the bank").set_input_files(file)
        upload.get_by_role("button", name="Upload").click()
        if file == bad:
            expect(upload.get_by_role("alert")).to_contain_text("EUR 1.00")
            assert not BankTransaction.objects.exists()
    expect(upload.get_by_text("1 new transaction was taken.")).to_be_visible()


def test_a_lost_session_leads_to_the_sign_in(upload: Page, tmp_path: Path) -> None:
    file = tmp_path / "umsatz.csv"
    file.write_bytes(b"Date,Amount,Currency,Text\n2026-11-02,9.50,EUR,Invoice 17\n")
    upload.context.clear_cookies()
    upload.get_by_label("File of the bank").set_input_files(file)
    upload.get_by_role("button", name="Upload").click()
    expect(upload.get_by_label("Password")).to_be_visible()
