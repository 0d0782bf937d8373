"""The tallies: each transition, whoever counts and whenever it dies, and that they equal a plain count in the end."""

from __future__ import annotations

import random
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from invoices import changes, tallies
from invoices.models import MIRRORED, Charge, Invoice, Tallied, Tally, TallyProgress
from invoices.models.tallies import NO_DAY
from invoices.tallies import buckets, counting
from tests.factories import ChargeObject, InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC).replace(microsecond=0)


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def held() -> dict[tuple[str, str], tuple[int, int]]:
    """Queue and currency → number and sum, of what is counted."""
    found: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for row in Tally.objects.all():
        found[row.queue, row.currency] += row.count
        amounts[row.queue, row.currency] += row.amount
    return {key: (found[key], amounts[key]) for key in found}


def plain() -> Counter[tuple[str, date, str, str, int]]:
    """Every object counted anew, as the rule has it."""
    since = TallyProgress.objects.get().counted_from
    rows = [
        row
        for kind, model in ((Invoice.OBJECT, Invoice), (Charge.OBJECT, Charge))
        for row in buckets.of(kind, list(model.rows.values_list("pk", flat=True)), since)
    ]
    return Counter((row.queue, row.day, row.currency, row.reason, row.amount) for row in rows)


def summed(rows: Counter[tuple[str, date, str, str, int]]) -> dict[tuple[str, date, str, str], tuple[int, int]]:
    found: dict[tuple[str, date, str, str], tuple[int, int]] = {}
    for (*key, amount), number in rows.items():
        count, sum = found.get(tuple(key), (0, 0))  # type: ignore[arg-type]
        found[tuple(key)] = (count + number, sum + amount * number)  # type: ignore[index]
    return found


def assert_equal_to_a_plain_count() -> None:
    tallies.run_due()
    expected = plain()
    fields = ("queue", "day", "currency", "reason", "amount")
    assert Counter(Tallied.objects.values_list(*fields)) == expected
    assert {row.bucket: (row.count, row.amount) for row in Tally.objects.all()} == summed(expected)


def invoice(**given: Any) -> dict[str, Any]:
    return InvoiceObject(**given)


def attempt(of: dict[str, Any], status: str, **given: Any) -> dict[str, Any]:
    """A PaymentIntent of this invoice, and the payment that names it; the PaymentIntent."""
    intent = PaymentIntentObject(status=status, customer=of["customer"], **given)
    stored(intent)
    stored(InvoicePaymentObject(invoice=of["id"], payment={"type": "payment_intent", "payment_intent": intent["id"]}))
    return intent


DECLINED = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}


class TestTransitions:
    def test_an_open_invoice_is_counted_by_its_due_day_until_it_is_paid(self) -> None:
        due = NOW - timedelta(days=3)
        one = invoice(due_date=seconds(due), amount_remaining=700)
        stored(one)
        stored(invoice(currency="jpy", amount_remaining=5))
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 700), ("open", "jpy"): (1, 5)}
        assert set(Tally.objects.values_list("currency", "day")) == {("usd", due.date()), ("jpy", NO_DAY)}
        stored(one, amount_remaining=300, amount_paid=400)
        tallies.run_due()
        assert held()["open", "usd"] == (1, 300)
        stored(one, status="paid", amount_remaining=0, amount_paid=700)
        tallies.run_due()
        assert held() == {("open", "jpy"): (1, 5)}
        assert not Tally.objects.filter(count=0).exists()

    def test_the_queues_of_an_open_invoice_follow_its_payment(self) -> None:
        one = invoice(attempt_count=1)
        stored(one)
        intent = attempt(one, "requires_payment_method", last_payment_error=DECLINED)
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 1000), ("payment_failed", "usd"): (1, 1000)}
        assert Tally.objects.get(queue="payment_failed").reason == "insufficient_funds"
        for status, queue in (("requires_action", "needs_customer"), ("processing", "debit_under_way")):
            stored(intent, status=status, last_payment_error=None)
            tallies.run_due()
            assert held() == {("open", "usd"): (1, 1000), (queue, "usd"): (1, 1000)}

    def test_a_payment_that_was_never_tried_has_not_failed(self) -> None:
        one = invoice()
        stored(one)
        attempt(one, "requires_payment_method")
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 1000)}

    def test_money_under_way_comes_before_an_attempt_that_failed(self) -> None:
        one = invoice(attempt_count=2)
        stored(one)
        attempt(one, "requires_payment_method", last_payment_error=DECLINED)
        attempt(one, "processing")
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 1000), ("debit_under_way", "usd"): (1, 1000)}

    def test_a_payment_that_only_its_payment_intent_tells_of(self) -> None:
        """Stripe sends no event of an invoice payment that is not made yet."""
        one = invoice(attempt_count=1)
        stored(one)
        tallies.run_due()
        assert held()["payment_failed", "usd"] == (1, 1000)
        names = {"customer_reference": None, "order_reference": one["id"]}
        stored(PaymentIntentObject(status="requires_action", customer=one["customer"], payment_details=names))
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 1000), ("needs_customer", "usd"): (1, 1000)}

    def test_a_currency_that_changes_moves_the_whole_amount(self) -> None:
        one = invoice(amount_remaining=900)
        stored(one)
        tallies.run_due()
        stored(one, currency="kwd", amount_remaining=9000)
        tallies.run_due()
        assert held() == {("open", "kwd"): (1, 9000)}

    def test_a_deleted_and_a_removed_row_are_not_counted(self) -> None:
        stored(invoice(id="in_removed"))
        stored(invoice(id="in_kept"))
        tallies.run_due()
        Invoice.rows.filter(pk="in_removed").delete()
        Invoice.rows.filter(pk="in_kept").update(deleted_at=NOW)
        tallies.run_due()
        assert held() == {} and not Tallied.objects.exists()

    def test_what_was_paid_late_or_after_a_failure_is_recovered(self) -> None:
        paid = {"status": "paid", "amount_remaining": 0, "amount_paid": 1000}
        moments = {"status_transitions": {"paid_at": seconds(NOW)}}
        stored(invoice(**paid, **moments))
        stored(invoice(**paid, **moments, due_date=seconds(NOW - timedelta(days=1))))
        stored(invoice(**paid, **moments, attempt_count=3))
        failed_once = invoice(**paid, **moments, attempt_count=1)
        stored(failed_once)
        intent = attempt(failed_once, "succeeded")
        stored(ChargeObject(payment_intent=intent["id"], status="failed", failure_code="card_declined"))
        long_ago = {"status_transitions": {"paid_at": seconds(NOW - timedelta(days=100))}}
        stored(invoice(**paid, **long_ago, attempt_count=3))
        tallies.run_due()
        assert held()["recovered", "usd"] == (3, 3000)

    def test_a_charge_is_counted_by_its_reason_and_whether_it_was_paid_later(self) -> None:
        intent = PaymentIntentObject()
        stored(intent)
        outcome = {"reason": "insufficient_funds"}
        declined = ChargeObject(
            payment_intent=intent["id"], status="failed", failure_code="card_declined", outcome=outcome
        )
        stored(declined)
        stored(ChargeObject(status="pending"))
        tallies.run_due()
        assert held() == {("charge_declined", "usd"): (1, 1000)}
        assert Tally.objects.get().reason == "insufficient_funds"
        stored(ChargeObject(payment_intent=intent["id"]))
        stored(intent, status="succeeded")
        tallies.run_due()
        assert held() == {("charge_declined_paid", "usd"): (1, 1000), ("charge_succeeded", "usd"): (1, 1000)}

    def test_an_unreadable_and_a_huge_amount(self) -> None:
        stored(invoice(amount_remaining=None, currency=None))
        stored(invoice(amount_remaining=2**63 - 1, due_date=-(2**55)))
        stored(invoice(amount_remaining=2**63 - 1))
        tallies.run_due()
        assert held() == {("open", ""): (1, 0), ("open", "usd"): (2, 2 * 10**12)}


class TestWhoeverCounts:
    def test_what_is_there_before_is_counted_in_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "WALKED_AT_ONCE", 2)
        for _ in range(5):
            stored(invoice())
            stored(ChargeObject())
        for _ in range(2):
            tallies.run_due(0)
        assert not tallies.state().is_filled
        assert 0 < Tallied.objects.count() < 10
        assert_equal_to_a_plain_count()
        assert tallies.state().is_filled and len(held()) == 2

    @pytest.mark.parametrize("killed_at", ["_move", "affected", "of"])
    def test_a_step_that_dies_counts_nothing_and_the_next_one_counts_it_once(
        self, killed_at: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tallies.run_due()
        stored(invoice())
        with monkeypatch.context() as patch:
            patch.setattr(counting, killed_at, lambda *arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                tallies.run_due()
        assert held() == {}
        tallies.run_due()
        assert held() == {("open", "usd"): (1, 1000)}

    def test_one_that_dies_before_its_commit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tallies.run_due()
        stored(invoice())
        with monkeypatch.context() as patch:
            patch.setattr(TallyProgress, "save", lambda *arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                tallies.run_due()
        assert held() == {} and not Tallied.objects.exists()
        assert_equal_to_a_plain_count()

    def test_one_that_read_the_changes_before_another_counted_them_counts_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tallies.run_due()
        stored(invoice())
        read = changes.page

        def read_and_lose(*arguments: Any, **options: Any) -> changes.Page:
            page = read(*arguments, **options)
            monkeypatch.setattr(changes, "page", read)
            tallies.run_due()  # another process, meanwhile
            return page

        monkeypatch.setattr(changes, "page", read_and_lose)
        assert counting._follow() is False
        assert held() == {("open", "usd"): (1, 1000)}

    def test_two_at_once(self) -> None:
        tallies.run_due()
        for _ in range(30):
            stored(invoice())

        def work() -> None:
            try:
                tallies.run_due()
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_equal_to_a_plain_count()
        assert held() == {("open", "usd"): (30, 30_000)}

    def test_after_a_backup_was_restored_everything_is_counted_anew(self) -> None:
        stored(invoice())
        tallies.run_due()
        TallyProgress.objects.update(after=10**6)
        Tallied.objects.update(amount=5)
        assert_equal_to_a_plain_count()
        assert held() == {("open", "usd"): (1, 1000)}


class TestProof:
    def prove(self) -> tallies.State:
        tallies.begin_proof()
        tallies.run_due()
        return tallies.state()

    def test_it_finds_nothing_where_all_is_well(self) -> None:
        stored(invoice())
        tallies.run_due()
        found = self.prove()
        assert found.proved_at is not None and found.wrong == 0

    def test_it_puts_right_what_is_counted_wrong(self, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(3):
            stored(invoice())
        tallies.run_due()
        Tallied.objects.filter(pk=Tallied.objects.first().pk).delete()  # type: ignore[union-attr]
        Tally.objects.update(amount=1)
        assert self.prove().wrong == 2  # the object, and the sum
        assert "counted wrong" in caplog.text and "sums were wrong" in caplog.text
        assert held() == {("open", "usd"): (3, 3000)}
        assert self.prove().wrong == 0

    def test_what_changed_in_this_moment_is_not_wrong(self) -> None:
        tallies.run_due()
        tallies.begin_proof()
        stored(invoice())
        assert counting._walk_on() and counting._walk_on()
        assert tallies.state().proved_at is not None and tallies.state().wrong == 0
        assert_equal_to_a_plain_count()

    def test_it_forgets_old_days(self) -> None:
        stored(ChargeObject(created=seconds(NOW - timedelta(days=30))))
        tallies.run_due()
        assert held() == {("charge_succeeded", "usd"): (1, 1000)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(counting, "TALLIED_DAYS", 10)
            assert self.prove().wrong == 0
        assert held() == {} and not Tallied.objects.exists()


def test_after_a_storm_of_changes_they_equal_a_plain_count() -> None:
    chance = random.Random(7)
    invoices = [invoice(id=f"in_{number}", customer=f"cus_{number % 5}") for number in range(12)]
    kinds = {
        "invoice": lambda: {
            **chance.choice(invoices),
            "status": chance.choice(["draft", "open", "open", "open", "paid", "void", "uncollectible"]),
            "currency": chance.choice(["usd", "jpy", "kwd"]),
            "amount_remaining": chance.randrange(2000),
            "amount_paid": chance.randrange(2000),
            "attempt_count": chance.randrange(3),
            "due_date": chance.choice([None, seconds(NOW - timedelta(days=chance.randrange(-5, 200)))]),
            "status_transitions": {"paid_at": seconds(NOW - timedelta(days=chance.randrange(60)))},
        },
        "invoice_payment": lambda: InvoicePaymentObject(
            id=f"inpay_{(number := chance.randrange(12))}",
            invoice=f"in_{number % 7}",  # Stripe never gives a payment to another invoice
            status=chance.choice(["open", "open", "paid", "canceled"]),
            payment={"type": "payment_intent", "payment_intent": f"pi_{number}"},
        ),
        "payment_intent": lambda: PaymentIntentObject(
            id=f"pi_{(number := chance.randrange(12))}",
            customer=f"cus_{number % 7 % 5}",
            status=chance.choice([*buckets.WAITING, "succeeded"]),
            last_payment_error=chance.choice([None, DECLINED, {"code": "expired_card"}]),
            payment_details={"order_reference": f"in_{number % 7}"},
        ),
        "charge": lambda: ChargeObject(
            id=f"ch_{(number := chance.randrange(20))}",
            payment_intent=f"pi_{number % 13}",
            status=chance.choice(["succeeded", "failed", "pending"]),
            created=seconds(NOW - timedelta(days=chance.randrange(50))),
            failure_code="card_declined",
        ),
    }
    for step in range(150):
        kind = chance.choice(list(kinds))
        data = kinds[kind]()
        _force(kind, data)
        if chance.random() < 0.1:
            _gone(chance.choice(list(kinds)), chance)
        if step % 10 == 0:
            tallies.run_due(chance.choice([0, 5]))
    tallies.run_due(60)
    assert_equal_to_a_plain_count()
    tallies.begin_proof()
    tallies.run_due(60)
    assert tallies.state().wrong == 0


def _force(kind: str, data: dict[str, Any]) -> None:
    """Stores this state whatever the one before was: the freshness rule would keep a status that is further along."""
    model = MIRRORED[kind]
    with transaction.atomic():
        model.rows.filter(pk=data["id"]).delete()
        stored(data)


def _gone(kind: str, chance: random.Random) -> None:
    rows = MIRRORED[kind].rows.all()
    if ids := list(rows.order_by("pk").values_list("pk", flat=True)):
        found = rows.get(pk=chance.choice(ids))
        rows.filter(pk=found.pk).update(deleted_at=None if found.deleted_at else NOW)
