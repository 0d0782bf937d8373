"""Texts and payers that look like the payment of an invoice and are not, or are that of another one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from invoices import clock
from invoices.models import BankDecision, BankTransaction, Operation
from invoices.statements import proposing
from invoices.statements.matching import Confidence, Proposal, ReasonCode, propose
from invoices.statements.matching.reasons import sentence
from tests.factories import CustomerObject, InvoicePaymentObject, stored
from tests.helpers import bank
from tests.helpers.camt import detail, document, entry
from tests.helpers.matching import best, codes, credit, invoice, parts

pytestmark = pytest.mark.django_db
LOW, MEDIUM, HIGH = Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH


def moment(month: int, day: int) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp())


def below_high(proposal: Proposal | None) -> bool:
    return proposal is None or not proposal.parts or proposal.confidence < HIGH


class TestATextThatSaysSomethingElse:
    @pytest.mark.parametrize(
        "text",
        [
            "Gutschrift RE-2026-1001",
            "Storno RE-2026-1001",
            "Rückzahlung RE-2026-1001",
            "Rueckueberweisung RE-2026-1001",
            "Erstattung RE-2026-1001 AC04",
            "RETOURE SEPA UEBERWEISUNG RE-2026-1001 KONTO ERLOSCHEN",
            "Refund RE-2026-1001",
            "Credit note RE-2026-1001",
            "CN RE-2026-1001",
            "Anzahlung, RE-2026-1001 bereits bezahlt",
            "nicht für RE-2026-1001! Spende",
            "annulation facture RE-2026-1001",
            "nota di credito RE-2026-1001",
            "Creditnota RE-2026-1001",
            "zwrot RE-2026-1001",
            "Betreff: Ihre Gutschrift zur RE-2026-1001",
            "Kaution zu RE-2026-1001",
            "Mahngebühr RE-2026-1001",
            "Weiterbelastung RE-2026-1001",
            "alle Rechnungen ohne RE-2026-1001",
            "all open invoices except RE-2026-1001",
            "alles außer RE-2026-1001",
            "not RE-2026-1001",
            "doppelt gezahlt RE-2026-1001",
            "RE-2026-1001 under protest",
            "Rechnung RE-2026-1001-B",
            "RE-2026-1001/S",
        ],
    )
    def test_is_looked_at_before_it_is_recorded(self, text: str) -> None:
        invoice("RE-2026-1001", 11900)
        assert below_high(best(credit(text, 11900)))

    @pytest.mark.parametrize("text", ["SEPA-Gutschrift RE-2026-1001", "ONLINE GUTSCHRIFT RE-2026-1001"])
    def test_but_banks_call_every_credit_so(self, text: str) -> None:
        own = invoice("RE-2026-1001", 11900)
        found = best(credit(text, 11900))
        assert parts(found) == [(own, 11900)] and found is not None and found.confidence == HIGH

    @pytest.mark.parametrize(
        "word",
        "PO Angebot Lieferschein Projekt Quote Offer Proforma AB Our%ref Ihr%Zeichen Akte Delivery%note".split(),
    )
    @pytest.mark.parametrize("payer", ["Mill Ltd", ""])
    def test_may_name_another_paper(self, word: str, payer: str) -> None:
        for number in ("2026-2001", "2026-3344", "INV-2001"):
            invoice(number, 45000)
        for number in ("2026-2001", "INV-2001"):
            assert below_high(best(credit(f"{word.replace('%', ' ')} {number}", 45000, payer)))

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "pedido 2026-1001",
                "ordine 2026-1001",
                "Versicherung Nr 2026-1001",
                "Darlehen 2026-1001",
                "Seite 2026-1001",
            ),
            *("Tel 0221 2026-1001", "DE89 3704 0044 0532 0130 00 2026-1001", "Rechnung 20261001"),
            *("Eigenbeleg 2026-1001"),
        ],
    )
    @pytest.mark.parametrize("payer", ["Mill Ltd", ""])
    def test_by_a_word_that_nobody_foresaw(self, text: str, payer: str) -> None:
        invoice("2026-1001", 11900)
        assert below_high(best(credit(text, 11900, payer)))

    @pytest.mark.parametrize(
        "text",
        ["2026-1001", "Rechnung 2026-1001", "SVWZ+2026-1001 EREF+NOTPROVIDED", "Danke\n2026-1001", "INV 2026-1001 ok"],
    )
    def test_a_number_of_digits_that_stands_by_itself_is_plain(self, text: str) -> None:
        own = invoice("2026-1001", 11900)
        found = best(credit(text, 11900))
        assert parts(found) == [(own, 11900)] and found is not None and found.confidence == HIGH

    @pytest.mark.parametrize("text", ["Rechnung 117", "117", "Rechnung Nr. 117 von 2025"])
    @pytest.mark.parametrize(("payer", "is_high"), [("Mill Ltd", True), ("", False), ("Somebody Else", False)])
    def test_a_short_number_needs_its_payer(self, text: str, payer: str, is_high: bool) -> None:
        invoice("117", 11900)
        assert below_high(best(credit(text, 11900, payer))) is not is_high

    def test_and_the_invoice_too(self) -> None:
        invoice("2026-2001", 45000)
        own = invoice("2026-2002", 45000)
        assert parts(best(credit("PO 2026-2001 Rechnung 2026-2002", 45000))) == [(own, 45000)]

    @pytest.mark.parametrize("text", ["Konto 10451 BLZ 37040044", "Zähler 10451 Abschlag", "Tel. 0561/10451"])
    def test_or_a_number_of_no_paper_at_all(self, text: str) -> None:
        invoice("10451", name="Lars Nyberg AB")
        found = best(credit(text, payer=""))
        assert found is None or found.confidence < MEDIUM

    def test_a_bare_number_of_the_payers_program_is_not_plain(self) -> None:
        invoice("10451", name="Lars Nyberg AB")
        assert below_high(best(credit("Mitgliedsbeitrag November", payer="", end_to_end_id="10451")))

    def test_nor_does_it_hide_the_invoice_that_is_named(self) -> None:
        own = invoice("RE-2026-1087", customer="cus_jens", name="Jens Kowalski", created=moment(11, 2))
        invoice("10451", customer="cus_lars", name="Lars Nyberg AB")
        found = best(credit("Rechnung RE-2026-1087", payer="Jens Kowalski", end_to_end_id="10451"))
        assert parts(found) == [(own, 2900)]


class TestSeveralNumbers:
    @pytest.mark.parametrize("text", ["RE-2026-1031 und 1052", "RE-2026-1031, RE-2026-1052", "RE-2026-1019/31/52"])
    def test_of_which_one_is_paid_are_not_decided(self, text: str) -> None:
        named = {invoice(f"RE-2026-{number}", created=moment(number % 9 + 1, 1)) for number in (1019, 1031, 1052)}
        invoice("RE-2026-1033")
        found = best(credit(text))
        assert found is not None and found.confidence == LOW
        assert {pk for pk, _amount in parts(found)} <= named and ReasonCode.NAMED_TOO in codes(found)

    def test_each_of_those_is_shown(self) -> None:
        one, other = invoice("RE-2026-1031"), invoice("RE-2026-1033")
        asked = credit("statt RE-2026-1031 bitte RE-2026-1033")
        shown = [parts(each) for each in propose([asked], {})[asked.id]]
        assert shown == [[(one, 2900)], [(other, 2900)]]

    def test_a_range_of_which_only_the_ends_are_paid(self) -> None:
        for number, amount in (("1001", 11900), ("1002", 5000), ("1003", 10000)):
            invoice(f"RE-2026-{number}", amount)
        found = best(credit("RE-2026-1001 bis 1003", 21900))
        assert found is not None and found.confidence == MEDIUM and ReasonCode.UNCLEAR_NUMBER in codes(found)

    @pytest.mark.parametrize(
        "text", ["Rechnungen 1001,02,03", "Rechn. 1001/02/03", "1001, 02 + 03", "RG 1001; 1002; 03"]
    )
    def test_in_a_list_of_ends(self, text: str) -> None:
        amounts = {"1001": 11900, "1002": 23800, "1003": 400}
        named = {invoice(f"RE-2026-{number}", amount) for number, amount in amounts.items()}
        invoice("RE-2026-1004", 35700)
        invoice("RE-2026-1005", 36100)
        stored(CustomerObject(id="cus_mill", name="Mill Ltd"))
        asked = credit(text, 36100)
        found = propose([asked], {})[asked.id]
        assert named in [{pk for pk, _amount in parts(each)} for each in found]
        assert all(each.confidence < HIGH for each in found)

    def test_by_their_ends_alone_where_they_add_up(self) -> None:
        named = {invoice(f"RE-2026-{number}", amount) for number, amount in (("1001", 11900), ("1002", 23800))}
        invoice("RE-2026-1004", 35700)
        stored(CustomerObject(id="cus_mill", name="Mill Ltd"))
        asked = credit("Rechnungen 1001 u. 1002", 35700)
        assert named in [{pk for pk, _amount in parts(each)} for each in propose([asked], {})[asked.id]]

    def test_one_that_goes_on_behind_a_blank_is_not_the_longer_one(self) -> None:
        own = invoice("RE-2026-10", 4200)
        invoice("RE-2026-1012", 77700)
        assert parts(best(credit("RE-2026-10 12 Monate", 4200))) == [(own, 4200)]

    def test_nor_where_a_part_is_paid(self) -> None:
        own = invoice("RE-2026-101", 50000)
        invoice("RE-2026-1012", 77700)
        assert parts(best(credit("RE-2026-101 2. Rate", 20000))) == [(own, 20000)]


class TestThePayer:
    def test_who_shares_a_first_name_is_somebody_else(self) -> None:
        invoice("RE-2026-1043", 15000, name="Anna Schmidt")
        found = best(credit("RE-2026-1043", 15000, "Anna Meier"))
        assert found is not None and found.confidence == MEDIUM and ReasonCode.NAME_RELATED in codes(found)

    @pytest.mark.parametrize("others", [5, 25])
    def test_who_shares_a_family_name_is_not_taken_for_the_customer(self, others: int) -> None:
        for number in range(others):
            invoice(f"AB-{number:02}77", customer=f"cus_{number}", name=f"Noise{number}", id=f"in_a{number:03}")
        invoice("RE-2026-1067", customer="cus_bruno", name="Bruno Weber", id="in_b")
        invoice("RE-2026-1042", customer="cus_leo", name="Leo Weber", id="in_z")
        assert below_high(best(credit("RE-2026-1067", payer="Leo und Ina Weber")))

    def test_whose_name_says_less_than_the_customers_where_many_owe_the_same(self) -> None:
        for number in range(25):
            invoice(f"AB-{number:02}77", customer=f"cus_{number}", name=f"Noise{number}", id=f"in_a{number:03}")
        invoice("RE-2026-1067", customer="cus_bruno", name="Bruno Weber", id="in_b")
        found = best(credit("RE-2026-1067", payer="Weber"))
        assert found is not None and found.confidence == MEDIUM and ReasonCode.COMMON_AMOUNT in codes(found)

    def test_a_customer_with_the_beginning_of_the_name_is_another(self) -> None:
        invoice("RE-1086", 30500, customer="cus_elektro", name="Schneider Elektro GmbH")
        invoice("RE-1085", 30000, customer="cus_schneider", name="Schneider")
        found = best(credit("Danke", 30000, "Schneider Elektro GmbH"))
        assert found is None or found.confidence < MEDIUM

    def test_a_namesake_does_not_hide_what_the_payer_owes_in_all(self) -> None:
        own = {
            invoice(f"RE-2026-{number}", amount, customer="cus_bau", name="Weber Bau GmbH")
            for number, amount in (("1051", 81234), ("1052", 12345), ("1053", 6421))
        }
        stored(CustomerObject(id="cus_bau", name="Weber Bau GmbH"))
        invoice("RE-2026-1054", 100000, customer="cus_elektro", name="Weber Elektrotechnik GmbH")
        assert {pk for pk, _amount in parts(best(credit("Danke", 100000, "Weber Bau GmbH")))} == own

    def test_is_known_by_letters_that_banks_do_not_have(self) -> None:
        own = invoice("RE-2026-1082", 59900, name="Łódź Meble Sp. z o.o.")
        found = best(credit("Danke", 59900, "LODZ MEBLE SP. Z O.O."))
        assert parts(found) == [(own, 59900)] and found is not None and found.confidence == MEDIUM


class TestTheInvoice:
    def test_that_was_sent_after_the_money_came_is_not_meant(self) -> None:
        sent = {"finalized_at": moment(12, 1), "paid_at": None, "voided_at": None, "marked_uncollectible_at": None}
        invoice("RE-2026-1097", 51000, created=moment(10, 1), status_transitions=sent)
        found = best(credit("RE-2026-1097", 51000))
        assert below_high(found) and ReasonCode.LATER_INVOICE in codes(found)

    def test_that_was_written_off_comes_after_one_that_is_open(self) -> None:
        invoice("RE-1", 9900, status="uncollectible", created=moment(2, 1))
        own = invoice("RE-2", 9900)
        assert parts(best(credit("Miete", 9900))) == [(own, 9900)]


class TestOnePaymentTwice:
    def test_that_was_recorded_before_is_never_confirmed_with_others(self) -> None:
        pk = invoice("RE-2026-1001", 23800, amount_paid=11900, amount_remaining=11900)
        payment = {"type": "payment_record", "payment_record": "pyr_1"}
        stored(InvoicePaymentObject(id="inpay_1", invoice=pk, amount_paid=11900, status="paid", payment=payment))
        found = best(credit("RE-2026-1001", 11900))
        assert found is not None and found.confidence == LOW and ReasonCode.RECORDED_BEFORE in codes(found)

    @pytest.mark.parametrize(
        ("given", "is_high"),
        [
            ({}, False),
            ({"received_on": "2026-11-14"}, False),  # what the customer said on the phone; the bank says the 20th
            ({"received_on": "2026-10-20"}, True),
            ({"amount": 11800}, True),
        ],
    )
    @pytest.mark.parametrize("state", ["succeeded", "awaiting_approval", "failed"])
    def test_that_was_recorded_by_hand_on_another_invoice_of_the_customer(
        self, given: dict[str, str], is_high: bool, state: str
    ) -> None:
        """The agent took the wrong one of two, and now the bank's credit names the right one."""
        invoice("RE-2026-1001", 11900)
        other = invoice("RE-2026-1002", 11900, status="paid", amount_remaining=0)
        params = {"amount": 11900, "received_on": "2026-11-19", "method": "Bank transfer", **given}
        operation = Operation.objects.create(
            **{"action": "attach_out_of_band_payment", "invoice": other, "customer": "cus_mill", "currency": "eur"},
            **{"params": params, "source": "admin", "state": state},
        )
        found = best(credit("RE-2026-1001", 11900))
        assert found is not None
        if is_high or state == "failed":
            assert found.confidence == HIGH
            return
        assert found.confidence == LOW and ReasonCode.RECORDED_ELSEWHERE in codes(found)
        assert sentence(found.reasons[-1]) == (
            "A payment of this amount was recorded by hand for the same customer, on invoice RE-2026-1002: "
            "it may be this one."
        )
        (row,) = bank.credits_of(bank.line(11900, "another", payer_name="Mill Ltd"))
        BankDecision.objects.create(
            transaction=row,
            what="already_recorded",
            amount=11900,
            reason="x",
            operation=operation.pk,
            decided_at=clock.now(),
            decided_by=User.objects.create_user("accountant"),
        )
        found = best(credit("RE-2026-1001", 11900))  # another credit stands for that payment
        assert found is not None and found.confidence == HIGH

    def test_is_told_whichever_page_is_looked_at(self) -> None:
        invoice("RE-2026-1001", 11900)
        one, two = bank.credits_of(*(bank.line(11900, "RE-2026-1001", payer_name="Mill Ltd") for _ in range(2)))
        for row in (one, two, one):
            proposing.renew([row])
        assert sorted(BankTransaction.objects.values_list("confidence", flat=True)) == [Confidence.NONE, HIGH]

    def test_is_told_however_many_credits_lie_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proposing, "AT_ONCE", 3)
        invoice("RE-2026-1001", 11900)
        twice = [bank.line(11900, "RE-2026-1001", payer_name="Mill Ltd") for _ in range(2)]
        rows = bank.credits_of(twice[0], *(bank.line(100 + number, "x") for number in range(7)), twice[1])
        proposing.renew(rows)
        assert BankTransaction.objects.filter(confidence=HIGH).count() == 1


class TestWhatCameBack:
    PARTIES = (
        "<RltdPties><Dbtr><Nm>Mill</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>"
        "</RltdPties><RmtInf><Ustrd>RE-2026-1001</Ustrd></RmtInf>"
    )

    def reversed(self, format: str) -> bytes:
        """A credit and its reversal, of which neither names a reference."""
        if format == "camt.053":
            inner = detail(f"<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>{self.PARTIES}")
            undone = entry("119.00", inner=f"<RvslInd>true</RvslInd>{inner}", mark="DBIT")
            return document(entry("119.00", inner=inner), undone, closing="0.00")
        told = ":86:166?00GUTSCHRIFT?20SVWZ+RE-2026-1001?31DE89370400440532013000?32MILL LTD"
        lines = "".join(f":61:2611201120{mark}119,00N166NONREF\n{told}\n" for mark in ("C", "RC"))
        return (
            f":20:S\n:25:12030000/0000202051\n:28C:1\n:60F:C261119EUR0,00\n{lines}:62F:C261120EUR0,00\n-\n"
        ).encode()

    @pytest.mark.parametrize("format", ["camt.053", "MT940"])
    def test_a_reversal_without_references_undoes_the_only_credit(self, format: str) -> None:
        invoice("RE-2026-1001", 11900)
        bank.take(self.reversed(format))
        proposing.propose_due()
        debit, credit = BankTransaction.objects.order_by("amount")
        assert debit.undoes_id == credit.pk and debit.state == BankTransaction.State.RETURNED
        assert credit.confidence == Confidence.NONE and not credit.proposals

    @pytest.mark.parametrize("code", ["109", "166"])
    def test_a_transfer_of_our_own_that_came_back_is_no_payment(self, code: str) -> None:
        invoice("RE-2026-1001", 11900, name="Strom AG")
        told = f":86:{code}?00STORNO?20SVWZ+RE-2026-1001?32STROM AG"
        bank.take(
            f":20:S\n:25:12030000/0000202051\n:28C:1\n:60F:C261119EUR0,00\n:61:2611201120RD119,00N{code}NONREF\n{told}\n"
            ":62F:C261120EUR119,00\n-\n".encode()
        )
        proposing.propose_due()
        row = BankTransaction.objects.get()
        assert row.is_return and row.confidence == Confidence.NONE and not row.proposals
