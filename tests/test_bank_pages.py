"""Bank statements in the admin: the upload, the list of what is to be matched, one credit, and many at once."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from invoices import clock, operations, refetch
from invoices.models import BankDecision, BankMatch, BankStatement, BankTransaction, Batch, Invoice, StatementLayout
from invoices.operations import batch as batches
from invoices.statements import layouts, proposing, recording
from invoices.statements.formats import csv_file
from tests.factories import customer_at, invoice_at
from tests.helpers import bank, bank_files
from tests.helpers.admin_pages import hidden
from tests.helpers.bank_desk import STATEMENTS, TRANSACTIONS, open_invoice, page, text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def room(client: Client, finance: User) -> Client:
    """The admin, with somebody of finance signed in."""
    client.force_login(finance)
    return client


def upload(room: Client, content: bytes, name: str = "statement.xml", **more: str) -> Any:
    return room.post(f"{STATEMENTS}upload/", {"file": SimpleUploadedFile(name, content), **more})


class TestUpload:
    def test_a_statement_is_kept_and_its_page_says_how_far_it_is(self, room: Client) -> None:
        content = bank_files.camt053(bank.ACCOUNT, "eur", 100_000, [bank.line(5000, "A"), bank.line(-700, "B")])
        answer = upload(room, content)
        statement = BankStatement.objects.get()
        assert answer.status_code == 302 and str(statement.pk) in answer.url
        found = text(room.get(answer.url))
        assert "2 new transactions were taken" in found and "EUR 1,000.00" in found and "EUR 1,043.00" in found
        assert "To match" in found and "Debit" in found

    def test_the_same_file_again_changes_nothing(self, room: Client, manager: User) -> None:
        content = bank_files.mt940(bank.ACCOUNT, "eur", 0, [bank.line(5000)])
        upload(room, content)
        room.force_login(manager)
        answer = upload(room, content, name="another name.sta")
        assert "was taken before" in text(room.get(answer.url))
        assert BankStatement.objects.count() == 1 and BankTransaction.objects.count() == 1

    def test_what_does_not_tie_is_refused_with_the_difference(self, room: Client) -> None:
        content = bank_files.camt053(bank.ACCOUNT, "eur", 0, [bank.line(5000)]).replace(b"50.00", b"49.99", 1)
        found = text(upload(room, content), status=400)
        assert "does not tie" in found and "EUR 0.01" in found and not BankTransaction.objects.exists()

    def test_a_line_that_is_wrong_is_named(self, room: Client) -> None:
        content = bank_files.mt940(bank.ACCOUNT, "eur", 0, [bank.line(5000)]).replace(b":61:26", b":61:XX")
        assert "Line 5:" in text(upload(room, content), status=400) and not BankStatement.objects.exists()

    def test_csv_asks_once_for_its_columns(self, room: Client) -> None:
        content = bank_files.csv_bytes(bank.ACCOUNT, [bank.line(950, "Invoice")], opening=0)
        asked = text(upload(room, content, "umsatz.csv"))
        assert "What are the columns" in asked and "9,50" in asked
        given = {
            "name": "My bank",
            "booked_on": "Buchungstag",
            "date_format": "%d.%m.%Y",
            "amount": "Betrag",
            "decimal_mark": ",",
            "text": "Verwendungszweck",
            "currency_column": "Währung",
            "account_column": "Auftragskonto",
            "balance": "Saldo nach Buchung",
        }
        layout = {f"layout-{name}": value for name, value in given.items()}
        shown = text(upload(room, content, "umsatz.csv", **layout))
        assert "how the first lines are understood" in shown and "EUR 9.50" in shown and "Invoice" in shown
        assert not BankTransaction.objects.exists() and not StatementLayout.objects.exists()
        seen = dict(re.findall(r'name="(seen)" value="([^"]*)"', shown))
        changed = {**layout, "layout-decimal_mark": "."}  # other than what was shown: not taken
        assert upload(room, content, "umsatz.csv", **changed, **seen).status_code == 400
        assert not BankTransaction.objects.exists()
        answer = upload(room, content, "umsatz.csv", **layout, **seen)
        assert answer.status_code == 302 and BankTransaction.objects.get().amount == 950
        assert BankStatement.objects.get().file_name == "umsatz.csv"
        assert StatementLayout.objects.get().name == "My bank"
        assert upload(room, bank_files.csv_bytes(bank.ACCOUNT, [bank.line(700)]), "b.csv").status_code in (200, 302)

    def test_a_second_account_of_the_bank(self, room: Client, finance: Any, tmp_path: Any) -> None:
        """Its file has the same columns, and was taken for one of the first account."""
        content = b"Date;Text;Amount\n2026-11-13;Invoice 17;9.50\n"
        table = csv_file.table_of(content)
        said = replace(csv_file.suggested(table), account="FIRST", currency="eur", text=("Text",))
        layouts.remember(table, said, name="B", by=finance)
        assert upload(room, content, "a.csv", account="DE02 1203 0000 0000 2020 51").status_code == 302
        file = tmp_path / "b.csv"
        file.write_bytes(content + b"\n")
        call_command("statement", str(file), account="THIRD")
        assert upload(room, content + b"\n\n", "c.csv").status_code == 302
        assert set(BankStatement.objects.values_list("account", flat=True)) == {bank.ACCOUNT, "THIRD", "FIRST"}

    def test_columns_that_were_said_wrongly_can_be_said_again(self, room: Client, finance: Any) -> None:
        content = bank_files.csv_bytes(bank.ACCOUNT, [bank.line(950, "Invoice")])
        table = csv_file.table_of(content)
        wrong = replace(csv_file.suggested(table), text=("IBAN Zahlungsbeteiligter",))
        layouts.remember(table, wrong, name="B", by=finance)
        assert "What are the columns" in text(upload(room, content, "umsatz.csv", anew="on"))
        assert not BankStatement.objects.exists()

    def test_a_layout_that_is_not_whole_is_asked_for_again(self, room: Client) -> None:
        content = bank_files.csv_bytes(bank.ACCOUNT, [bank.line(950)])
        given = {"layout-name": "My bank", "layout-booked_on": "Buchungstag", "layout-date_format": "%d.%m.%Y"}
        found = text(upload(room, content, "umsatz.csv", **given), status=400)
        assert "Choose the column of the amount" in found and not StatementLayout.objects.exists()

    @pytest.mark.parametrize("content", [b"", b"   ", b"\x00" * 100, b"<a>", b"hello"])
    def test_what_is_no_statement(self, room: Client, content: bytes) -> None:
        assert upload(room, content).status_code == 400 and not BankStatement.objects.exists()

    def test_the_name_of_the_file_is_no_account(self, room: Client) -> None:
        content = bank_files.csv_bytes(bank.ACCOUNT, [bank.line(950, "Invoice 17")], opening=0)
        refused = text(upload(room, content, "November.csv", account="november.CSV"), status=400)
        assert "This is the name of the file" in refused and not BankStatement.objects.exists()

    def test_days_that_are_yet_to_come_are_a_wrong_year(self, room: Client) -> None:
        day = clock.now().date().replace(day=1, year=clock.now().year + 36)
        content = bank_files.camt053(bank.ACCOUNT, "eur", 100, [bank.line(950, "Invoice 17", booked_on=day)], day=day)
        refused = text(upload(room, content), status=400)
        assert "Is the year right?" in refused and f"{day}" in refused and not BankStatement.objects.exists()

    def test_no_file_at_all(self, room: Client) -> None:
        assert "Choose the file" in text(room.post(f"{STATEMENTS}upload/", {}), status=400)

    def test_too_large(self, room: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("invoices.statements.keeping.MAX_BYTES", 1024 * 1024)
        assert "larger than 1 MB" in text(upload(room, b"x" * (1024 * 1024 + 1)), status=400)

    @pytest.mark.parametrize("who", ["agent", "auditor"])
    def test_only_those_who_may(self, client: Client, who: str, request: pytest.FixtureRequest) -> None:
        client.force_login(request.getfixturevalue(who))
        assert upload(client, b"x").status_code == 403
        assert client.get(f"{STATEMENTS}upload/").status_code == 403

    @pytest.mark.parametrize(
        ("days", "opening", "said"),
        [
            (1, 105_000, ""),
            (9, 105_000, ""),  # nothing was booked in between: the balance goes on
            (1, 104_000, "That one closed with EUR 1,050.00, and this one opens with EUR 1,040.00."),
            (4, 104_000, "No statement covers "),
        ],
    )
    def test_its_page_says_that_lines_before_it_are_missing(
        self, room: Client, days: int, opening: int, said: str
    ) -> None:
        first, second = bank.DAY - timedelta(days=days), bank.DAY
        before = bank.keep(bank.statement(bank.line(5000, booked_on=first), begins_on=first, ends_on=first))
        kept = bank.keep(bank.statement(bank.line(700, booked_on=second), opening=opening))
        found = text(room.get(f"{STATEMENTS}{kept.statements[0].pk}/"))
        assert ("Lines are missing before this statement" in found) is bool(said) and said in found
        assert (str(before.statements[0].pk) in found) is bool(said)
        assert "are missing" not in text(
            room.get(f"{STATEMENTS}{before.statements[0].pk}/")
        )  # it is the account's first


class TestCommand:
    def test_it_keeps_and_says_what_came(self, tmp_path: Any, capsys: Any) -> None:
        file = tmp_path / "statement.xml"
        file.write_bytes(bank_files.camt053(bank.ACCOUNT, "eur", 0, [bank.line(5000)]))
        call_command("statement", str(file), "--dry-run")
        assert "could be taken" in capsys.readouterr().out and not BankStatement.objects.exists()
        call_command("statement", str(file))
        assert "1 new transactions (1 credits to match)" in capsys.readouterr().out
        call_command("statement", str(file))
        assert "was taken before" in capsys.readouterr().out and BankTransaction.objects.count() == 1
        assert "@" in BankStatement.objects.get().shell_user

    def test_a_bad_file_changes_nothing_and_the_others_are_taken(self, tmp_path: Any, capsys: Any) -> None:
        good, bad = tmp_path / "good.xml", tmp_path / "bad.sta"
        good.write_bytes(bank_files.camt053(bank.ACCOUNT, "eur", 0, [bank.line(5000)]))
        bad.write_bytes(bank_files.mt940(bank.ACCOUNT, "eur", 0, [bank.line(1)]).replace(b":61:26", b":61:XX"))
        with pytest.raises(CommandError) as error:
            call_command("statement", str(bad), str(good), str(tmp_path / "missing"))
        assert error.value.returncode == 1 and "line 5" in capsys.readouterr().err
        assert BankStatement.objects.count() == 1


class TestOneCredit:
    def test_a_proposal_is_confirmed_and_recorded(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice = open_invoice(sandbox)
        (credit,) = bank.credits_of(bank.line(5000, f"Invoice {invoice.number}"))
        found = text(room.get(page(credit)))
        assert invoice.number and invoice.number in found and "High" in found
        answer = room.post(f"{page(credit)}match/", {**hidden(found), "choice": "0", "reason": "it is there"})
        assert answer.status_code == 302, text(answer, status=400)
        batches.run_due()
        after = text(room.get(page(credit)))
        assert "Recorded" in after and sandbox.client().v1.invoices.retrieve(invoice.pk).status == "paid"
        assert BankMatch.objects.get().confidence == 3

    def test_invoices_by_hand_with_a_decimal_comma(self, room: Client, sandbox: SandboxProcess) -> None:
        first, second = open_invoice(sandbox, 950), open_invoice(sandbox, 5000)
        (credit,) = bank.credits_of(bank.line(5950, "thank you"))
        german = {"accept-language": "de"}
        found = text(room.get(page(credit), headers=german))
        given = {"choice": "hand", "number_0": first.number, "amount_0": "9,50", "number_1": second.number}
        sent = {**hidden(found), **given, "reason": "it is there"}
        shown = text(room.post(f"{page(credit)}match/", sent, headers=german))
        assert not Batch.objects.exists()
        answer = room.post(f"{page(credit)}match/", {**sent, **hidden(shown)}, headers=german)
        assert answer.status_code == 302
        assert sorted(BankMatch.objects.values_list("amount", flat=True)) == [950, 5000]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"choice": "hand"}, "Give the number of an invoice"),
            ({"choice": "hand", "number_0": "nonsense"}, "no open invoice with this number"),
            ({"choice": "hand", "number_0": "NUMBER", "amount_0": "9,5,0"}, "amount"),
            ({"choice": "hand", "amount_0": "5"}, "Give the number of this invoice"),
            ({"choice": "hand", "number_0": "NUMBER", "amount_0": "60"}, "remain, which is less"),
            ({}, "Choose a proposal"),
            ({"choice": "2"}, "Choose a proposal"),
        ],
    )
    def test_what_is_wrong_is_said_beside_its_field(
        self, room: Client, sandbox: SandboxProcess, given: dict[str, str], said: str
    ) -> None:
        invoice = open_invoice(sandbox)
        (credit,) = bank.credits_of(bank.line(7000, "thank you"))
        sent = {name: str(invoice.number) if value == "NUMBER" else value for name, value in given.items()}
        sent |= {"batch": str(uuid.uuid4()), "reason": "x"}
        assert said in text(room.post(f"{page(credit)}match/", sent), status=400)
        assert not Batch.objects.exists()

    def test_by_hand_is_shown_before_it_is_recorded(self, room: Client, sandbox: SandboxProcess, finance: User) -> None:
        """The number of another customer's invoice was recorded at the first click."""
        customer = customer_at(sandbox, name="Acme Trading GmbH").id
        made = invoice_at(sandbox, customer=customer, amount=5000, currency="eur")
        refetch.refetch("invoice", made.id)
        params = {"amount": 2000, "method": "Bank transfer", "received_on": "2026-11-02"}
        operations.execute(
            "attach_out_of_band_payment", made.id, actor=finance, source="admin", reason="x", params=params
        )
        refetch.refetch("invoice", made.id)
        invoice = Invoice.objects.get(pk=made.id)
        (credit,) = bank.credits_of(bank.line(2500, "thank you", payer_name="Paul Zimmermann"))
        sent = {**hidden(text(room.get(page(credit)))), "choice": "hand", "reason": "seen"}
        sent |= {"number_0": str(invoice.number), "amount_0": "20"}
        shown = text(room.post(f"{page(credit)}match/", sent))
        for words in (
            "Nothing was recorded yet",
            "Acme Trading GmbH",
            "EUR 30.00",  # what remains
            "EUR 10.00",  # what remains then
            "EUR 5.00 of the credit would be left",
            "The payer Paul Zimmermann is not called like the customer Acme Trading GmbH.",
            "A payment of EUR 20.00 was recorded on this invoice before",
        ):
            assert words in shown
        assert f'value="{invoice.number}"' in shown and re.search(r">\s*seen</textarea>", shown), "it stays"
        assert not BankMatch.objects.exists()
        second = {**sent, **hidden(shown)}
        changed = room.post(f"{page(credit)}match/", {**second, "amount_0": "19"})
        assert "EUR 11.00" in text(changed) and not BankMatch.objects.exists(), "it is shown again"
        assert room.post(f"{page(credit)}match/", second).status_code == 302
        assert BankMatch.objects.get().amount == 2000

    def test_by_hand_it_says_what_was_recorded_on_another_invoice_of_the_customer(
        self, room: Client, sandbox: SandboxProcess, finance: User
    ) -> None:
        """Somebody recorded the transfer on the wrong one of two invoices, and now the bank's credit is matched."""
        customer = customer_at(sandbox, name="Acme Trading GmbH").id
        wrong, right = (invoice_at(sandbox, customer=customer, amount=5000, currency="eur").id for _ in range(2))
        for pk in (wrong, right):
            refetch.refetch("invoice", pk)
        (credit,) = bank.credits_of(
            bank.line(2000, "thank you", payer_name="Acme Trading GmbH", bank_reference="NTRF-7")
        )
        params = {"amount": 2000, "method": "Bank transfer", "received_on": "2026-11-02", "reference": "ntrf 7"}
        operations.execute(
            "attach_out_of_band_payment", wrong, actor=finance, source="admin", reason="x", params=params
        )
        number = {pk: str(Invoice.objects.get(pk=pk).number) for pk in (wrong, right)}
        sent = {**hidden(text(room.get(page(credit)))), "choice": "hand", "reason": "seen"}
        sent |= {"number_0": number[right], "amount_0": "20"}
        shown = text(room.post(f"{page(credit)}match/", sent))
        assert "What looks like this payment was recorded for this customer" in shown
        assert f"EUR 20.00 on {number[wrong]}." in shown and not BankMatch.objects.exists()
        assert room.post(f"{page(credit)}match/", {**sent, **hidden(shown)}).status_code == 302  # a person decides

    def test_what_is_no_number_is_marked_and_invoices_are_offered(self, room: Client, sandbox: SandboxProcess) -> None:
        customer = customer_at(sandbox, name="Zebra Stripes Ltd").id
        made = invoice_at(sandbox, customer=customer, amount=5000, currency="eur")
        refetch.refetch("customer", customer)
        refetch.refetch("invoice", made.id)
        number = Invoice.objects.get(pk=made.id).number
        (credit,) = bank.credits_of(bank.line(5000, "thank you"))
        sent = {"choice": "hand", "batch": str(uuid.uuid4()), "reason": "x"}
        for typed in ("zebra", "50.00"):
            found = text(room.post(f"{page(credit)}match/", {**sent, "number_0": typed}), status=400)
            assert f'data-fill="#id_number_0" data-value="{number}"' in found and "Zebra Stripes Ltd" in found
            assert f'value="{typed}"' in found and 'id="id_number_0_error" role="alert"' in found
            assert re.search(r'<input[^>]*name="number_0"[^>]*aria-invalid="true"', found)
        found = text(room.post(f"{page(credit)}match/", {**sent, "number_0": "nobody"}), status=400)
        assert "Search for the customer at the top of the page" in found and "data-fill" not in found

    def test_set_aside_and_taken_up_again(self, room: Client) -> None:
        (credit,) = bank.credits_of(bank.line(5000, "interest"))
        room.post(f"{page(credit)}decide/", {"what": "ignored", "reason": "interest of the bank"})
        assert "interest of the bank" in text(room.get(page(credit)))
        room.post(f"{page(credit)}reopen/", {"reason": "it is not"})
        credit.refresh_from_db()
        assert credit.left == 5000 and BankDecision.objects.count() == 2

    def test_setting_aside_needs_a_reason(self, room: Client) -> None:
        (credit,) = bank.credits_of(bank.line(5000))
        found = text(room.post(f"{page(credit)}decide/", {"what": "ignored", "reason": ""}), status=400)
        assert "Please say why" in found and not BankDecision.objects.exists()

    def test_a_return_is_shown_beside_what_it_undoes(
        self, room: Client, sandbox: SandboxProcess, finance: User
    ) -> None:
        invoice = open_invoice(sandbox)
        (credit,) = bank.credits_of(bank.line(5000, "thank you", end_to_end_id="E2E-0815-4711"))
        words = [recording.Confirmed(credit.pk, invoice.pk, 5000)]
        recording.confirm(words, by=finance, reason="x", batch_id=uuid.uuid4())
        batches.run_due()
        (debit,) = bank.credits_of(bank.line(-5000, "", returns=("E2E-0815-4711",)), number="2")
        assert debit.undoes == credit
        found = text(room.get(page(debit)))
        assert "returns an earlier credit" in found and str(invoice.number) in found and "report a refund" in found
        assert "This transfer was returned" in text(room.get(page(credit)))

    def test_a_return_that_names_nothing_is_that_of_the_only_credit(self, room: Client) -> None:
        credit, debit = bank.credits_of(bank.line(5000), bank.line(-5000, returns=("UNKNOWN-1",)))
        assert debit.undoes == credit
        proposing.propose_due()
        credit.refresh_from_db()
        assert credit.confidence == 0

    def test_of_several_credits_a_person_chooses(self, room: Client) -> None:
        _one, _two, debit = bank.credits_of(
            bank.line(5000, "Alpha"), bank.line(5000, "Beta"), bank.line(-5000, returns=("UNKNOWN-1",))
        )
        found = text(room.get(page(debit)))
        assert debit.undoes is None and "Alpha" in found and "Beta" in found

    def test_an_auditor_looks_and_cannot_act(self, client: Client, auditor: User) -> None:
        (credit,) = bank.credits_of(bank.line(5000))
        client.force_login(auditor)
        found = text(client.get(page(credit)))
        assert "Record these payments" not in found and "No invoice fits" in found
        for way in ("match", "decide", "reopen"):
            assert client.post(f"{page(credit)}{way}/", {}).status_code == 403

    def test_an_agent_sees_nothing_of_it(self, desk: Client) -> None:
        (credit,) = bank.credits_of(bank.line(5000))
        for address in (STATEMENTS, TRANSACTIONS, page(credit), f"{TRANSACTIONS}confirm/"):
            assert desk.get(address).status_code == 403


class TestMany:
    def test_all_above_a_confidence_with_the_sum_typed(self, room: Client, sandbox: SandboxProcess) -> None:
        invoices = [open_invoice(sandbox, 5000 + number) for number in range(3)]
        bank.credits_of(
            *(bank.line(each.amount_remaining or 0, f"Invoice {each.number}") for each in invoices),
            bank.line(123, "no idea"),
        )
        proposing.propose_due()
        found = text(room.get(f"{TRANSACTIONS}confirm/"))
        assert "3 credits" in found and "EUR 150.03" in found
        wrong = room.post(f"{TRANSACTIONS}confirm/", {**hidden(found), "sum_eur": "150", "reason": "x"})
        assert "The sum is EUR 150.03" in text(wrong, status=400) and not Batch.objects.exists()
        right = room.post(f"{TRANSACTIONS}confirm/", {**hidden(found), "sum_eur": "150.03", "reason": "x"})
        assert right.status_code == 302
        batches.run_due()
        recording.settle_due()
        assert sorted(BankTransaction.objects.values_list("state", flat=True)) == ["done", "done", "done", "open"]
        again = room.post(f"{TRANSACTIONS}confirm/", {**hidden(found), "sum_eur": "150.03", "reason": "x"})
        assert again["Location"] == right["Location"] and Batch.objects.count() == 1

    def test_a_refusal_names_the_credit_and_keeps_what_was_typed(self, room: Client, sandbox: SandboxProcess) -> None:
        invoices = [open_invoice(sandbox, 5000 + number) for number in range(3)]
        bank.credits_of(*(bank.line(each.amount_remaining or 0, f"Invoice {each.number}") for each in invoices))
        proposing.propose_due()
        found = text(room.get(f"{TRANSACTIONS}confirm/"))
        Invoice.objects.filter(pk=invoices[1].pk).update(amount_remaining=100)  # a colleague recorded a part
        typed = {**hidden(found), "sum_eur": "150.03", "reason": "seen on the account"}
        refused = text(room.post(f"{TRANSACTIONS}confirm/", typed), status=400)
        assert f"Nothing was recorded. Invoice {invoices[1].number}, " in refused
        assert f"EUR 50.01: Of invoice {invoices[1].number} EUR 1.00 remain" in refused
        assert "seen on the account" in refused and "2 credits" in refused
        assert not Batch.objects.exists()
        assert set(BankTransaction.objects.values_list("state", flat=True)) == {"open"}

    def test_the_column_adds_up_to_the_sum_and_says_what_stays(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice = open_invoice(sandbox, 4400)
        (credit,) = bank.credits_of(bank.line(5400, f"Invoice {invoice.number}"))
        proposing.propose_due()
        credit.refresh_from_db()
        least = min(int(credit.confidence), 2)
        assert least == 2, "the proposal is not sure enough for this page"
        found = text(room.get(f"{TRANSACTIONS}confirm/?least={least}"))
        cells = re.findall(r'<td class="num">(EUR [\d.]+)(?:<small>([^<]*)</small>)?</td>', found)
        assert cells == [("EUR 44.00", "EUR 10.00 stay with the credit")]
        assert "EUR 54.00" not in found

    def test_from_the_list_of_one_statement_only_its_credits_are_confirmed(
        self, room: Client, sandbox: SandboxProcess
    ) -> None:
        mine, other = open_invoice(sandbox, 5000), open_invoice(sandbox, 6100)
        line = bank.line(5000, f"Invoice {mine.number}")
        statement = bank.keep(bank.statement(line, number="1")).statements[0]
        bank.keep(bank.statement(bank.line(6100, f"Invoice {other.number}"), number="2"))
        proposing.propose_due()
        listed = text(room.get(f"{TRANSACTIONS}?statement={statement.pk}"))
        assert f"Confirm proposals of {statement}" in listed
        (link,) = re.findall(r'href="([^"]*/confirm/[^"]*)"', listed)
        found = text(room.get(link))
        assert str(statement) in found and str(mine.number) in found and str(other.number) not in found
        assert "All statements" not in found and "All statements" in text(room.get(f"{TRANSACTIONS}confirm/"))

    def test_nothing_to_confirm(self, room: Client) -> None:
        assert "Nothing is proposed with this confidence" in text(room.get(f"{TRANSACTIONS}confirm/"))

    def test_a_credit_that_may_be_one_of_another_file_is_not_among_them(
        self, room: Client, sandbox: SandboxProcess
    ) -> None:
        invoice = open_invoice(sandbox)
        lines = [bank.line(5000, f"Invoice {invoice.number}", bank_reference="") for _ in range(2)]
        bank.keep(bank.statement(lines[0], number="1"))
        bank.keep(bank.statement(bank.line(5000, f"INV {invoice.number}", bank_reference=""), number="2"))
        proposing.propose_due()
        assert BankTransaction.objects.filter(resembles__isnull=False).count() == 1
        assert BankTransaction.objects.filter(confidence=3).count() <= 1


def test_home_counts_what_is_to_be_matched(room: Client, desk: Client) -> None:
    bank.credits_of(bank.line(5000), bank.line(250), bank.line(-700))
    room.force_login(User.objects.get(username="finance"))
    found = text(room.get("/admin/"))
    assert "Bank credits to match" in found and "EUR 52.50" in found
    room.force_login(User.objects.get(username="agent"))
    assert "Bank credits to match" not in text(room.get("/admin/"))


class TestList:
    def test_it_has_tabs_filters_and_what_is_proposed(
        self, room: Client, sandbox: SandboxProcess, django_assert_max_num_queries: Any
    ) -> None:
        invoice = open_invoice(sandbox)
        bank.credits_of(bank.line(5000, f"Invoice {invoice.number}"), bank.line(-700), bank.line(900))
        proposing.propose_due()
        with django_assert_max_num_queries(25):
            found = text(room.get(f"{TRANSACTIONS}?state=open"))
        assert str(invoice.number) in found and "EUR 9.00" in found and "EUR -7.00" not in found
        high = text(room.get(f"{TRANSACTIONS}?confidence=3"))
        assert str(invoice.number) in high and "EUR 9.00" not in high

    def test_it_is_searched_by_reference_and_by_invoice(
        self, room: Client, sandbox: SandboxProcess, finance: User
    ) -> None:
        invoice = open_invoice(sandbox)
        credit, _other = bank.credits_of(bank.line(5000, "Alpha"), bank.line(900, "Beta"))
        words = [recording.Confirmed(credit.pk, invoice.pk, 5000)]
        recording.confirm(words, by=finance, reason="x", batch_id=uuid.uuid4())
        for term in (credit.bank_reference, invoice.number, invoice.pk):
            found = text(room.get(f"{TRANSACTIONS}?q={term}"))
            assert "Alpha" in found and "Beta" not in found

    @pytest.mark.parametrize("term", ["ada", "lovelace", "Danke", "50.00", "50,00", "DE89 3704 0044 0532 0130 00"])
    def test_it_is_searched_by_payer_text_and_amount(self, room: Client, term: str) -> None:
        bank.credits_of(
            bank.line(5000, "vielen Dank, danke", payer_name="Ada Lovelace", payer_account="DE89370400440532013000"),
            bank.line(700, "other", payer_name="Somebody"),
        )
        found = text(room.get(TRANSACTIONS, {"q": term}))
        assert "Ada Lovelace" in found and "Somebody" not in found

    def test_of_one_statement(self, room: Client) -> None:
        one = bank.keep(bank.statement(bank.line(5000, "Alpha"), number="1")).statements[0]
        bank.keep(bank.statement(bank.line(900, "Beta"), number="2"))
        found = text(room.get(f"{TRANSACTIONS}?statement={one.pk}"))
        assert "Alpha" in found and "Beta" not in found
        assert "There is no such statement" in text(room.get(f"{TRANSACTIONS}?statement=nonsense"))
        assert re.search("Alpha", text(room.get(f"{STATEMENTS}{one.pk}/"))) is None
