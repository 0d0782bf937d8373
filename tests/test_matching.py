"""Which invoices are proposed for a bank credit, with which confidence and reasons."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from benchmarks import matching as measured
from invoices.statements.matching import Confidence, Proposal, ReasonCode, propose, sentence
from tests.factories import CustomerObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers.matching import MADE, best, codes, credit, invoice, parts

pytestmark = pytest.mark.django_db


class TestANumberInTheText:
    @pytest.mark.parametrize(
        "text",
        [
            "A1B2C3D4-0012",
            "a1b2c3d4-0012",
            "RE-Nr. A1B2C3D4-0012",
            "Invoice no. A1B2C3D4-0012 vom 01.11.2026",
            "RechnungA1B2C3D4-0012",
            "RG A1B2C3D40012 danke",
            "Ihre Rechnung A1B2C3D4 0012",
            "Ihre Rechnung A1B2C3D4/0012, Kunde 100245",
            "INV:A1B2C3D4.0012",
            "Zahlung fuer unsere Rechnung A1B2C3\nD4-0012",
            "SVWZ+A1B2C3D4-0012 EREF+NOTPROVIDED",
            "(A1B2C3D4-0012)",
            "Facture n° A1B2C3D4-0012",
        ],
    )
    def test_is_plain_however_it_is_set(self, text: str) -> None:
        one = invoice("A1B2C3D4-0012")
        found = best(credit(text))
        assert parts(found) == [(one, 2900)]
        assert found is not None and found.confidence == Confidence.HIGH
        assert {ReasonCode.NUMBER, ReasonCode.AMOUNT, ReasonCode.NAME} <= codes(found)

    @pytest.mark.parametrize("field", ["structured_reference", "end_to_end_id"])
    def test_is_read_in_every_field(self, field: str) -> None:
        invoice("A1B2C3D4-0012")
        given: dict[str, Any] = {field: "A1B2C3D4-0012"}
        found = best(replace(credit(), **given))
        assert found is not None and found.confidence == Confidence.HIGH

    @pytest.mark.parametrize("text", ["A1B2C3D4-OO12", "AIB2C3D4-0012", "A1B2C3D4-0-0-12", "A1B2C3D4-00 1-2"])
    def test_with_characters_that_look_alike_is_of_medium_confidence(self, text: str) -> None:
        one = invoice("A1B2C3D4-0012")
        found = best(credit(text))
        assert parts(found) == [(one, 2900)] and found is not None and found.confidence == Confidence.MEDIUM

    @pytest.mark.parametrize(
        "text", ["A1B2C3D4-0021", "A1B2C3D4-0013", "A1B2C3D4-012", "A1B2CD4-0012", "A1B2C3D4-00012"]
    )
    def test_with_a_mistake_is_never_of_high_confidence(self, text: str) -> None:
        one = invoice("A1B2C3D4-0012")
        found = best(credit(text, payer=""))
        assert parts(found) == [(one, 2900)] and found is not None and found.confidence < Confidence.HIGH
        assert ReasonCode.NUMBER_NEAR in codes(found)

    @pytest.mark.parametrize(
        "text",
        [
            "Tel. 0171 100245",
            "Kd.-Nr. 100245",
            "Kundennummer: 100245",
            "Mandat 100245",
            "DE89 1002 4504 0044 0532 0130 00",
            "9100245",
            "1002456",
            "10.02.45",
            "EUR 1.002,45",
        ],
    )
    def test_is_not_found_in_other_numbers(self, text: str) -> None:
        invoice("100245", amount=4711)
        assert best(credit(text, payer="Somebody Else")) is None

    def test_is_not_found_in_a_credit_note_or_a_longer_number_with_high_confidence(self) -> None:
        invoice("A1B2C3D4-0012")
        for text in ("A1B2C3D4-0012-CN-01", "X77/A1B2C3D4-0012", "A1B2C3D4-0012-2"):
            found = best(credit(text))
            assert found is None or found.confidence < Confidence.HIGH, text

    def test_of_the_longer_of_two_counts(self) -> None:
        invoice("0012")
        long = invoice("2026-0012")
        assert parts(best(credit("Rechnung 2026-0012"))) == [(long, 2900)]

    def test_alone_without_its_beginning_is_weak(self) -> None:
        one = invoice("A1B2C3D4-0012")
        found = best(credit("Rechnung 0012"))
        assert parts(found) == [(one, 2900)] and found is not None and found.confidence == Confidence.MEDIUM
        assert ReasonCode.NUMBER_TAIL in codes(found)

    def test_in_a_creditor_reference_is_read(self) -> None:
        one = invoice("539007547034")
        found = best(credit("", structured_reference="RF18 5390 0754 7034"))
        assert parts(found) == [(one, 2900)] and found is not None and found.confidence == Confidence.HIGH


class TestHighConfidence:
    @pytest.fixture(autouse=True)
    def an_invoice(self) -> None:
        invoice("A1B2C3D4-0012")

    def confidence(self, amount: int = 2900, **given: Any) -> Confidence:
        found = best(credit("A1B2C3D4-0012", amount, **given))
        assert found is not None
        return found.confidence

    def test_is_there_without_a_payer_s_name(self) -> None:
        assert self.confidence(payer="") == Confidence.HIGH

    def test_is_not_there_for_another_name_until_the_payer_is_known(self) -> None:
        assert self.confidence(payer="Anna Bauer") == Confidence.MEDIUM
        found = best(credit("A1B2C3D4-0012", payer="Anna Bauer"), cus_mill=1)
        assert found is not None and found.confidence == Confidence.HIGH

    def test_is_not_there_for_a_payer_of_another_customer(self) -> None:
        found = best(credit("A1B2C3D4-0012"), cus_other=3)
        assert found is not None and found.confidence == Confidence.MEDIUM
        assert ReasonCode.PAYER_OF_OTHERS in codes(found)

    def test_is_not_there_for_a_part(self) -> None:
        assert self.confidence(2899) == Confidence.MEDIUM

    def test_is_not_there_where_a_twin_has_the_same_amount(self) -> None:
        invoice("A1B2C3D4-0013")
        assert self.confidence() == Confidence.MEDIUM

    def test_is_there_where_the_twin_is_another_customer_s_and_the_name_tells_them_apart(self) -> None:
        invoice("A1B2C3D4-0013", customer="cus_lake", name="Lake Inc")
        assert self.confidence() == Confidence.HIGH
        assert self.confidence(payer="") == Confidence.MEDIUM

    def test_is_not_there_for_an_invoice_that_is_newer_than_the_money(self) -> None:
        later = int((datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=9)).timestamp())
        invoice("A1B2C3D4-0099", created=later)
        found = best(credit("A1B2C3D4-0099"))
        assert found is not None and found.confidence == Confidence.MEDIUM

    def test_is_not_there_while_a_bank_processes_a_payment(self) -> None:
        stored(PaymentIntentObject(id="pi_1", status="processing"))
        payment = {"type": "payment_intent", "payment_intent": "pi_1"}
        stored(InvoicePaymentObject(invoice="in_A1B2C3D4-0012", payment=payment))
        assert self.confidence() == Confidence.MEDIUM

    def test_is_not_there_where_the_same_amount_was_recorded_before(self) -> None:
        payment = {"type": "payment_record", "payment_record": "pyr_1"}
        stored(InvoicePaymentObject(invoice="in_A1B2C3D4-0012", payment=payment, status="paid", amount_paid=2900))
        assert self.confidence() == Confidence.LOW

    def test_is_not_there_for_what_was_written_off(self) -> None:
        invoice("A1B2C3D4-0044", status="uncollectible")
        found = best(credit("A1B2C3D4-0044"))
        assert found is not None and found.confidence == Confidence.MEDIUM


class TestSeveralInvoices:
    @pytest.fixture(autouse=True)
    def four_invoices(self) -> None:
        for number, amount in (("0012", 1100), ("0013", 2300), ("0014", 4700), ("0015", 9100)):
            invoice(f"ACME-{number}", amount)

    @pytest.mark.parametrize(
        ("text", "amount", "numbers"),
        [
            ("ACME-0012, ACME-0014", 5800, ["0012", "0014"]),
            ("ACME-0012/ACME-0014", 5800, ["0012", "0014"]),
            ("ACME-0012 und ACME-0014", 5800, ["0012", "0014"]),
            ("ACME-0012/13/14", 8100, ["0012", "0013", "0014"]),
            ("ACME-0012 + 0013", 3400, ["0012", "0013"]),
            ("Rechnungen ACME-0012, 0013 und 0015", 12500, ["0012", "0013", "0015"]),
        ],
    )
    def test_that_are_named_and_add_up_are_of_high_confidence(self, text: str, amount: int, numbers: list[str]) -> None:
        found = best(credit(text, amount))
        assert {id for id, _amount in parts(found)} == {f"in_ACME-{number}" for number in numbers}
        assert found is not None and found.confidence == Confidence.HIGH

    def test_of_a_range_are_of_medium_confidence(self) -> None:
        found = best(credit("ACME-0012 bis 0015", 17200))
        assert len(parts(found)) == 4 and found is not None and found.confidence == Confidence.MEDIUM

    def test_without_a_number_are_found_by_their_sum(self) -> None:
        stored(CustomerObject(id="cus_mill", name="Mill Ltd"))
        found = best(credit("many thanks", 1100 + 4700))
        assert [id for id, _amount in parts(found)] == ["in_ACME-0012", "in_ACME-0014"]
        assert found is not None and found.confidence == Confidence.MEDIUM

    def test_are_not_guessed_where_two_sets_have_the_sum(self) -> None:
        stored(CustomerObject(id="cus_mill", name="Mill Ltd"))
        invoice("ACME-0016", 1100)
        assert best(credit("many thanks", 1100 + 4700)) is None

    def test_what_is_left_over_may_be_another_one_s(self) -> None:
        found = best(credit("ACME-0012", 1100 + 9100))
        assert [id for id, _amount in parts(found)] == ["in_ACME-0012", "in_ACME-0015"]
        assert found is not None and found.confidence == Confidence.MEDIUM


class TestTheAmount:
    def test_that_is_less_is_a_part_payment_and_says_so(self) -> None:
        one = invoice("ACME-0012", 10000)
        found = best(credit("ACME-0012", 4000))
        assert parts(found) == [(one, 4000)] and found is not None and found.confidence == Confidence.MEDIUM
        assert "EUR 60.00 of ACME-0012" in " ".join(map(sentence, found.reasons))

    def test_that_is_a_little_less_may_be_a_discount(self) -> None:
        invoice("ACME-0012", 10000)
        assert ReasonCode.SMALL_DIFFERENCE in codes(best(credit("ACME-0012", 9800)))

    def test_that_is_more_leaves_something_over(self) -> None:
        one = invoice("ACME-0012", 10000)
        found = best(credit("ACME-0012", 12000))
        assert parts(found) == [(one, 10000)] and found is not None and found.leftover == 2000

    def test_of_another_currency_fits_nothing(self) -> None:
        invoice("ACME-0012", currency="usd")
        found = best(credit("ACME-0012"))
        assert found is not None and found.parts == () and codes(found) == {ReasonCode.OTHER_CURRENCY}

    def test_is_no_part_of_a_subscription_that_is_charged_automatically(self) -> None:
        parent = {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}
        invoice("ACME-0012", 10000, collection_method="charge_automatically", parent=parent)
        found = best(credit("ACME-0012", 4000))
        assert found is not None and found.parts == () and codes(found) == {ReasonCode.NO_PART_PAYMENTS}
        whole = best(credit("ACME-0012", 10000))
        assert whole is not None and whole.confidence == Confidence.HIGH

    def test_of_several_invoices_takes_the_oldest_with_low_confidence(self) -> None:
        invoice("ACME-0017", created=MADE + 60)
        old = invoice("ACME-0012")
        found = propose([credit("thank you")], {})[1]
        assert parts(found[0]) == [(old, 2900)] and found[0].confidence == Confidence.LOW
        assert len(found) == 2 and ReasonCode.SAME_AMOUNT in codes(found[0])

    def test_alone_is_no_proposal_where_the_name_is_another(self) -> None:
        invoice("ACME-0012")
        assert best(credit("thank you", payer="Anna Bauer")) is None


class TestAnInvoiceThatIsPaid:
    def test_is_told_and_nothing_is_proposed(self) -> None:
        one = invoice("ACME-0012", status="paid", amount_remaining=0)
        found = best(credit("ACME-0012"))
        assert found is not None and found.parts == () and found.confidence == Confidence.NONE
        assert [(reason.code, reason.values["invoice"]) for reason in found.reasons] == [(ReasonCode.ALREADY_PAID, one)]

    def test_of_a_standing_order_points_to_the_customer_s_other_one(self) -> None:
        invoice("ACME-0012", status="paid", amount_remaining=0)
        new = invoice("ACME-0027")
        found = best(credit("ACME-0012"))
        assert parts(found) == [(new, 2900)] and found is not None and found.confidence == Confidence.LOW


class TestCreditsOfOneCall:
    def test_second_with_the_same_number_and_amount_is_a_duplicate(self) -> None:
        one = invoice("ACME-0012")
        found = propose([credit("ACME-0012", id=1), credit("ACME-0012", id=2)], {})
        assert parts(found[1][0]) == [(one, 2900)] and found[1][0].confidence == Confidence.HIGH
        assert found[2][0].parts == () and codes(found[2][0]) == {ReasonCode.DUPLICATE}

    def test_never_take_more_than_remains(self) -> None:
        invoice("ACME-0012", 10000)
        credits = [credit("ACME-0012", 6000, id=each) for each in range(4)]
        found = propose(credits, {})
        taken = sum(part.amount for each in found.values() for part in each[0].parts)
        assert taken == 10000

    def test_surer_one_takes_the_invoice_first(self) -> None:
        one = invoice("ACME-0012")
        found = propose([credit("thank you", id=1), credit("ACME-0012", id=2)], {})
        assert found[1] == () and parts(found[2][0]) == [(one, 2900)]

    def test_are_asked_for_together(self, django_assert_max_num_queries: Any) -> None:
        for each in range(40):
            stored(CustomerObject(id=f"cus_{each}", name=f"Baker {each}"))
            invoice(f"ACME-{each:04d}", 1000 + each, customer=f"cus_{each}", name=f"Baker {each}")
        credits = [credit(f"ACME-{each:04d}", 1000 + each, payer=f"Baker {each}", id=each) for each in range(40)]
        with django_assert_max_num_queries(20):
            found = propose(credits, {})
        assert all(each[0].confidence == Confidence.HIGH for each in found.values())


class TestThePayer:
    @pytest.mark.parametrize("payer", ["MILL LTD", "Mill Limited", "Mill Ltd. & Co"])
    def test_with_the_customer_s_name_is_enough_with_the_amount(self, payer: str) -> None:
        stored(CustomerObject(id="cus_mill", name="Mill Ltd"))
        one = invoice("ACME-0012")
        found = best(credit("thanks", payer=payer))
        assert parts(found) == [(one, 2900)] and found is not None and found.confidence == Confidence.MEDIUM

    def test_who_is_known_is_enough_with_the_amount(self) -> None:
        one = invoice("ACME-0012")
        found = best(credit("thanks", payer="Anna Bauer"), cus_mill=2)
        assert parts(found) == [(one, 2900)] and found is not None
        assert "paid for this customer before (2 times)" in " ".join(map(sentence, found.reasons))


def test_a_proposal_is_kept_as_json() -> None:
    invoice("ACME-0012", 10000)
    found = best(credit("ACME-0012", 4000))
    assert found is not None and Proposal.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_hostile_texts_are_read_to_a_limit() -> None:
    texts = [
        "1 " * 5000,
        "A1-" * 5000,
        "DE89" * 3000,
        "0012/13" * 2000,
        "\u0000\ud800" * 100,
        "ﬁ" * 3000,
        "1.1.1." * 900,
    ]
    propose([credit(text, id=number) for number, text in enumerate(texts)], {})


class TestAPayerWhoIsSomebodyElse:
    """Found by benchmarks/matching.py."""

    def test_another_customer_with_a_like_name_is_never_of_high_confidence(self) -> None:
        """The number is copied from another's invoice of the same price, and both families have one name."""
        stored(CustomerObject(id="cus_leo", name="Leo Weber"))
        own = invoice("A1B2C3D4-0851", customer="cus_leo", name="Leo Weber")
        other = invoice("Z9Y8X7W6-0688", customer="cus_bruno", name="Bruno Weber")
        found = propose([credit("inv z9y8x7w6-0688 - thx", payer="Leo Weber")], {})[1]
        assert [parts(each) for each in found] == [[(own, 2900)], [(other, 2900)]]
        assert all(each.confidence == Confidence.LOW for each in found)
        assert {ReasonCode.NAME_OF_ANOTHER, ReasonCode.OWN_INVOICE} <= codes(found[1])

    def test_a_parent_of_several_with_one_price(self) -> None:
        named = invoice("2026-01098", customer="cus_greta", name="Greta Zeller")
        invoice("2026-00812", customer="cus_david", name="David Zeller")
        found = best(credit("2026-01098 / thanks", payer="Zeller Holding AG"))
        assert parts(found) == [(named, 2900)] and found is not None and found.confidence == Confidence.MEDIUM
        assert ReasonCode.RIVAL in codes(found)

    def test_who_owes_nothing_may_pay_for_another(self) -> None:
        stored(CustomerObject(id="cus_leo", name="Leo Weber"))
        other = invoice("Z9Y8X7W6-0688", customer="cus_bruno", name="Bruno Weber")
        found = best(credit("z9y8x7w6-0688", payer="Leo Weber"))
        assert parts(found) == [(other, 2900)] and found is not None and found.confidence == Confidence.MEDIUM

    def test_one_who_pays_for_many_tells_nobody(self) -> None:
        """A payment service: its account was confirmed for six customers."""
        mine = invoice("A1B2C3D4-0012", customer="cus_1", name="Mill Ltd")
        some = {f"cus_{number}": 1 for number in range(1, 6)}
        assert parts(best(credit("PP.1234", payer="Example Payments"), **some)) == [(mine, 2900)]
        assert best(credit("PP.1234", payer="Example Payments"), **some, cus_6=1) is None

    @pytest.mark.parametrize("status", ["paid", "void"])
    def test_a_text_about_a_paid_invoice_is_about_no_other_customers(self, status: str) -> None:
        invoice("A1B2C3D4-0012", status=status, amount_remaining=0)
        invoice("Z9Y8X7W6-0012", customer="cus_other", name="Miller Ltd")
        found = best(credit("A1B2C3D4-0012", payer="Mill Group"))
        assert parts(found) == []


@pytest.mark.parametrize("seed", [5, 16])
def test_no_wrong_proposal_has_high_confidence(seed: int) -> None:
    """Two months of credits of all kinds, of which the truth is known. In each of these one was wrong once."""
    score: measured.Score = defaultdict(Counter)
    wrong: list[str] = []
    number, _seconds = measured.run(seed, 900, score, wrong)
    assert number >= 360 and [each for each in wrong if each.startswith("wrong High")] == []
    right = sum(count for said in score.values() for name, count in said.items() if name.startswith("right"))
    assert right > number * 0.8
