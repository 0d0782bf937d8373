"""The table "What is found when" of docs/operating.md, row by row: each difference is planted, and the run that the row
names finds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from django.conf import settings as conf

from invoices import gateway, mirror, reconcile, refetch
from invoices.models import (
    MIRRORED,
    Charge,
    CreditNote,
    Customer,
    Drift,
    Event,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    ReconciliationRun,
    Refund,
)
from invoices.reconcile import suspects
from invoices.reconcile.windows import DAY_SECONDS, FULL_RUN_PARTS
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.stripe_state import drain
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = (ROOT / "docs/operating.md").read_text().partition("\n## What is found when\n")[2].partition("\n## ")[0]
ROWS = [
    (what, by, within)
    for what, by, within in re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
    if what not in ("what differs", "---")
]
WITHIN = {"catch-up": "a quarter of an hour", "sweep": "a day", "part of a full run": "28 days", "proof": "a week"}


class Books:
    """An account and its mirror, equal: an old paid invoice, a new paid one, an open one and a draft. Both that were
    paid have a credit note and a refund."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox, self.stripe = sandbox, sandbox.client()
        now = sandbox.clock()["now"]
        sandbox.clock(now=now - 90 * DAY_SECONDS)
        self.old = self.paid()
        sandbox.clock(real=True)
        self.new, self.open = self.paid(), invoice_at(sandbox).id
        self.draft = invoice_at(sandbox, finalize=False).id
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()

    def paid(self) -> str:
        id = str(invoice_at(self.sandbox, lines=3).id)
        self.stripe.v1.invoices.pay(id)
        self.stripe.v1.credit_notes.create({"invoice": id, "amount": 100, "refund_amount": 100})
        return id

    def charge(self, invoice: str) -> Charge:
        return Charge.objects.get(payment_intent=self.payment(invoice).payment_intent)

    def refund(self, invoice: str) -> Refund:
        return Refund.objects.get(payment_intent=self.payment(invoice).payment_intent)

    def payment(self, invoice: str) -> InvoicePayment:
        return InvoicePayment.objects.get(invoice_id=invoice)


def wrong(row: Any, column: str, **members: Any) -> tuple[str, str]:
    """Makes the row what it would be if a change at Stripe had told nobody: the object and its column were others."""
    value = next(iter(members.values()))
    type(row).rows.filter(pk=row.pk).update(data={**row.data, **members}, **({column: value} if column else {}))
    return row.OBJECT, row.pk


def without(row: Any) -> tuple[str, str]:
    type(row).rows.filter(pk=row.pk).delete()
    return row.OBJECT, row.pk


def described(books: Books, invoice: str) -> tuple[str, str]:
    """At Stripe; its event waits in Stripe's list."""
    books.stripe.v1.invoices.update(invoice, {"metadata": {"told": "nobody"}})
    return "invoice", invoice


def renamed(books: Books) -> tuple[str, str]:
    customer = str(Invoice.objects.values_list("customer_id", flat=True).get(pk=books.open))
    books.stripe.v1.customers.update(customer, {"email": "moved@example.com"})
    return "customer", customer


def credited(books: Books) -> tuple[str, str]:
    note = books.stripe.v1.credit_notes.create({"invoice": books.open, "amount": 100})
    return "credit_note", note.id


def charge_changed(books: Books) -> tuple[str, str]:
    charge = books.charge(books.new).pk
    books.stripe.v1.charges.update(charge, {"metadata": {"order": "17"}})
    return "charge", charge


def refunded(books: Books) -> tuple[str, str]:
    charge = books.stripe.v1.refunds.retrieve(books.refund(books.new).pk).charge
    return "refund", books.stripe.v1.refunds.create({"charge": str(charge), "amount": 10}).id


def deleted(books: Books) -> tuple[str, str]:
    books.stripe.v1.invoices.delete(books.draft)
    return "invoice", books.draft


def deleted_untold(books: Books) -> tuple[str, str]:
    stored(InvoiceObject(id="in_deleted_draft", status="draft"))
    return "invoice", "in_deleted_draft"


def of_nobody(books: Books) -> tuple[str, str]:
    old = Invoice.objects.get(pk=books.old).data["created"]
    stored(InvoiceObject(id="in_of_nobody", status="paid", created=old))
    return "invoice", "in_of_nobody"


def wrong_line(books: Books) -> tuple[str, str]:
    row = Invoice.objects.get(pk=books.old)
    lines = [{**line, "amount": line["amount"] + 1} for line in row.data["lines"]["data"]]
    return wrong(row, "", lines={**row.data["lines"], "data": lines})


def wrong_column(books: Books) -> tuple[str, str]:
    """The list shows it as open, and its object says that it is paid."""
    Invoice.rows.filter(pk=books.old).update(status="open")
    return "invoice", books.old


def wrong_later_line(books: Books) -> tuple[str, str]:
    long = str(invoice_at(books.sandbox, lines=11, amount=1100).id)
    refetch.refetch("invoice", long)
    row = Invoice.objects.get(pk=long)
    lines = row.data["lines"]["data"]
    return wrong(row, "", lines={**row.data["lines"], "data": [*lines[:-1], {**lines[-1], "amount": 1}]})


def of_old(books: Books, model: type[Any]) -> Any:
    """The customer or PaymentIntent of the old invoice."""
    payment = books.payment(books.old)
    customer = Invoice.objects.values_list("customer_id", flat=True).get(pk=books.old)
    return model.objects.get(pk=payment.payment_intent if model is PaymentIntent else customer)


# What differs → plants it, and returns the object (its `object` value, its id) that the run must name.
PLANTED: dict[str, Callable[[Books], tuple[str, str]]] = {
    "the webhook of a new invoice was lost": lambda books: ("invoice", str(invoice_at(books.sandbox).id)),
    "the webhook of a draft was lost": lambda books: described(books, books.draft),
    "the webhook of a draft's deletion was lost": deleted,
    "the webhook of an open invoice was lost": lambda books: described(books, books.open),
    "the webhook of a paid invoice was lost": lambda books: described(books, books.old),
    "the webhook of a customer was lost": renamed,
    "the webhook of a charge was lost": charge_changed,
    "the webhook of a credit note was lost": credited,
    "the webhook of a refund was lost": refunded,
    "an open payment changed": lambda books: wrong(books.payment(books.open), "amount_requested", amount_requested=7),
    "a draft or open invoice changed without an event": lambda books: wrong(
        Invoice.objects.get(pk=books.open), "amount_due", amount_due=7
    ),
    "an invoice of the last 30 days changed without an event": lambda books: wrong(
        Invoice.objects.get(pk=books.new), "status", status="open"
    ),
    "a charge of the last 30 days changed without an event": lambda books: wrong(
        books.charge(books.new), "amount_refunded", amount_refunded=7
    ),
    "a refund of the last 30 days changed without an event": lambda books: wrong(
        books.refund(books.new), "status", status="pending"
    ),
    "a draft was deleted without an event": deleted_untold,
    "a row of the last 30 days is missing": lambda books: without(Invoice.objects.get(pk=books.new)),
    "an old final invoice changed without an event": lambda books: wrong(
        Invoice.objects.get(pk=books.old), "", metadata={"told": "nobody"}
    ),
    "a customer changed without an event": lambda books: wrong(
        of_old(books, Customer), "email", email="was@example.com"
    ),
    "a PaymentIntent changed without an event": lambda books: wrong(of_old(books, PaymentIntent), "amount", amount=7),
    "an old charge changed without an event": lambda books: wrong(books.charge(books.old), "amount", amount=7),
    "an old credit note changed without an event": lambda books: wrong(
        CreditNote.objects.get(invoice_id=books.old), "amount", amount=7
    ),
    "an old row is missing": lambda books: without(Invoice.objects.get(pk=books.old)),
    "a row that Stripe does not have": of_nobody,
    "one of the first ten lines of an old invoice is wrong": wrong_line,
    "the content of any invoice differs": lambda books: wrong(
        Invoice.objects.get(pk=books.old), "", metadata={"told": "nobody"}
    ),
    "a customer, payment or PaymentIntent differs": lambda books: wrong(
        of_old(books, Customer), "email", email="was@example.com"
    ),
    "a charge differs": lambda books: wrong(books.charge(books.old), "", metadata={"told": "nobody"}),
    "a credit note or refund differs": lambda books: wrong(books.refund(books.old), "", metadata={"told": "nobody"}),
    "a column says otherwise than its object": wrong_column,
    "a line after the tenth is wrong": wrong_later_line,
}


def test_the_rows_are_those_that_are_planted() -> None:
    assert [what for what, _, _ in ROWS] == list(PLANTED)
    assert all(WITHIN[by] == within for _, by, within in ROWS)
    assert f"{FULL_RUN_PARTS} days" == WITHIN["part of a full run"]
    assert conf.CELERY_BEAT_SCHEDULE["catch_up"]["schedule"] == crontab(minute="*/15")


@pytest.mark.parametrize(("what", "by", "within"), [pytest.param(*row, id=row[0]) for row in ROWS])
def test_each_difference_is_found(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, what: str, by: str, within: str
) -> None:
    books = Books(sandbox)
    # Moments ago nothing differed: the account is quiet, and no event or refetch would explain a difference.
    assert not Event.objects.filter(state="pending").exists() and not Drift.objects.exists()
    if by == "proof":
        monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))  # no event comes meanwhile
        assert reconcile.verify().exit_code == reconcile.CLEAN
    object, id = PLANTED[what](books)
    FIND[by](object, id)


def by_catch_up(object: str, id: str) -> None:
    assert reconcile.catch_up().events > 0
    assert Event.objects.filter(object_type=object, object_id=id, state="pending").exists()
    drain()
    before = MIRRORED[object].objects.get(pk=id)
    refetch.refetch(object, id)
    after = MIRRORED[object].objects.get(pk=id)
    assert bool(before.deleted_at) == bool(after.deleted_at)
    assert mirror.content(before.data or {}) == mirror.content(after.data or {})


def by_run(kind: str, object: str, id: str, part: int | None = None) -> None:
    run = reconcile.sweep_lists(kind, part=part)
    assert run.state == "finished", run.error
    found = Drift.objects.filter(run=run)
    assert {(row.object_type, row.object_id) for row in found} == {(object, id)}
    assert run.exit_code == (4 if id == "in_of_nobody" else 3)


def by_part(object: str, id: str) -> None:
    """The part that has the object's day of creation. tests/test_schedule.py: each part has its turn within 28 days."""
    created = MIRRORED[object].objects.filter(pk=id).values_list("created", flat=True).first()
    created = created or datetime.fromtimestamp(_created_at_stripe(object, id), UTC)
    by_run("part", object, id, int(created.timestamp()) // DAY_SECONDS % FULL_RUN_PARTS)


def _created_at_stripe(object: str, id: str) -> int:
    return int(gateway.read(f"{gateway.PATHS[object]}/{id}").data["created"])


def by_proof(object: str, id: str) -> None:
    assert reconcile.verify().exit_code == reconcile.NOT_EQUAL


FIND: dict[str, Callable[[str, str], None]] = {
    "catch-up": by_catch_up,
    "sweep": lambda object, id: by_run(ReconciliationRun.Kind.SWEEP, object, id),
    "part of a full run": by_part,
    "proof": by_proof,
}
