"""Approval by a second person: who must agree, who may, and what becomes of a request that waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction

from invoices import clock, emails, operations, refetch
from invoices.models import Invoice, Operation
from invoices.operations import decisions
from tests.factories import invoice_at
from tests.helpers.database import rewrite
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State


@pytest.fixture
def big(sandbox: SandboxProcess) -> str:
    """An open invoice of USD 2,000.00, above the threshold."""
    invoice = invoice_at(sandbox, 200_000)
    refetch.refetch("invoice", invoice.id)
    return invoice.id


def at_stripe(sandbox: SandboxProcess, id: str) -> str:
    return sandbox.client().v1.invoices.retrieve(id).status


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("void", {}),
        ("mark_uncollectible", {}),
        ("pay", {"paid_out_of_band": True}),
        ("pay", {"forgive": True}),
        ("attach_out_of_band_payment", {"amount": 150_000, "method": "Cash", "received_on": "2026-11-02"}),
    ],
)
def test_what_waits_and_then_is_done(
    sandbox: SandboxProcess, big: str, agent: User, manager: User, action: str, params: dict[str, Any]
) -> None:
    operation = act(action, big, agent, params=params)
    assert operation.state == State.AWAITING_APPROVAL
    assert at_stripe(sandbox, big) == "open"
    done = decisions.approve(operation.pk, approver=manager, expected={"status": "open", "amount_remaining": 200_000})
    assert done.state == State.SUCCEEDED, done.message
    assert (done.approver, done.actor) == (manager, agent)
    assert Invoice.objects.get(pk=big).data["amount_remaining"] == done.after["amount_remaining"]


def test_a_charge_and_small_amounts_do_not_wait(sandbox: SandboxProcess, big: str, agent: User) -> None:
    assert act("pay", big, agent).state == State.SUCCEEDED
    small = invoice_at(sandbox, 100_000)  # the threshold itself
    assert act("void", small.id, agent).state == State.SUCCEEDED


def test_the_threshold_is_in_the_currency_s_own_units(sandbox: SandboxProcess, agent: User, settings: Any) -> None:
    yen = invoice_at(sandbox, 1001, currency="jpy")
    assert act("void", yen.id, agent).state == State.AWAITING_APPROVAL
    settings.APPROVAL_THRESHOLDS = {"default": 1000, "jpy": 150_000}
    other = invoice_at(sandbox, 1001, currency="jpy")
    assert act("void", other.id, agent).state == State.SUCCEEDED


def test_never_the_requester_not_even_a_superuser(sandbox: SandboxProcess, big: str) -> None:
    root = User.objects.create_superuser("root", "root@example.com", "a long enough password")
    operation = act("void", big, root)
    with pytest.raises(operations.Refusal) as refusal:
        decisions.approve(operation.pk, approver=root)
    assert refusal.value.code == "permission_denied"
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.filter(pk=operation.pk).update(approver=root)
    assert at_stripe(sandbox, big) == "open"


def test_without_the_permission_nobody_approves(big: str, agent: User, auditor: User) -> None:
    operation = act("void", big, agent)
    with pytest.raises(operations.Refusal):
        decisions.approve(operation.pk, approver=auditor)
    assert Operation.objects.get(pk=operation.pk).state == State.AWAITING_APPROVAL


def test_rejected_with_a_reason(sandbox: SandboxProcess, big: str, agent: User, manager: User) -> None:
    operation = act("void", big, agent)
    with pytest.raises(operations.Invalid):
        decisions.reject(operation.pk, approver=manager, reason=" ")
    rejected = decisions.reject(operation.pk, approver=manager, reason="it is owed")
    assert (rejected.state, rejected.code) == (State.CANCELLED, "rejected")
    with pytest.raises(operations.Refusal):
        decisions.approve(operation.pk, approver=manager)
    assert at_stripe(sandbox, big) == "open"


def test_withdrawn_by_the_one_who_asked(big: str, agent: User, manager: User) -> None:
    operation = act("void", big, agent)
    with pytest.raises(operations.Refusal):
        decisions.withdraw(operation.pk, actor=manager)
    assert decisions.withdraw(operation.pk, actor=agent).code == "withdrawn"


def test_a_later_charge_withdraws_it(big: str, agent: User, manager: User) -> None:
    operation = act("void", big, agent)
    assert act("pay", big, manager).state == State.SUCCEEDED
    operation.refresh_from_db()
    assert (operation.state, operation.code) == (State.CANCELLED, "withdrawn")


def test_waiting_holds_nothing_but_a_second_request_is_pointed_to_the_first(big: str, agent: User) -> None:
    first = act("void", big, agent)
    with pytest.raises(operations.Refusal) as refusal:
        act("void", big, agent)
    assert (refusal.value.code, refusal.value.operation) == ("approval_required", first)


def test_an_invoice_that_changed_meanwhile_is_not_touched(
    sandbox: SandboxProcess, big: str, agent: User, manager: User
) -> None:
    operation = act("void", big, agent)
    sandbox.client().v1.invoices.mark_uncollectible(big)
    seen = {"status": "open", "amount_remaining": 200_000}
    done = decisions.approve(operation.pk, approver=manager, expected=seen)
    assert (done.state, done.code) == (State.FAILED, "invoice_changed")
    assert at_stripe(sandbox, big) == "uncollectible"


def test_stripe_away_decides_nothing(sandbox: SandboxProcess, big: str, agent: User, manager: User) -> None:
    operation = act("void", big, agent)
    sandbox.faults(error_500=1.0)
    with pytest.raises(operations.Refusal) as refusal:
        decisions.approve(operation.pk, approver=manager)
    assert refusal.value.code == "stripe_unavailable"
    assert Operation.objects.get(pk=operation.pk).state == State.AWAITING_APPROVAL


def test_it_expires_after_seven_days(big: str, agent: User, manager: User) -> None:
    operation = act("void", big, agent)
    rewrite(operation, created_at=clock.now() - timedelta(days=7, minutes=1))
    operations.settle_due()
    operation.refresh_from_db()
    assert (operation.state, operation.code) == (State.EXPIRED, "expired")


def test_the_approvers_are_told_once_and_not_the_requester(big: str, manager: User) -> None:
    other = User.objects.create_superuser("other", "other@example.com", "a long enough password")
    act("void", big, manager)
    operations.settle_due()
    operations.settle_due()
    assert emails.send_due() == 1
    assert [letter.to for letter in mail.outbox] == [[other.email]]
    assert "USD 2,000.00" in mail.outbox[0].subject and "the customer asked" in mail.outbox[0].body


def test_a_mail_server_that_is_away_delays_the_letter_and_not_the_request(
    big: str, agent: User, manager: User, settings: Any, later: Callable[[float], None]
) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
        "django.core.mail.backends.smtp.EmailBackend",
        "127.0.0.1",
        9,
    )
    act("void", big, agent)
    assert decisions.announce() == 1 and emails.send_due() == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    later(60)
    assert decisions.announce() == 0 and emails.send_due() == 1
