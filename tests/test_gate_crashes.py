"""What the crash matrix found at the gate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from invoices import operations, refetch
from invoices.models import Operation, OutcomeBy
from tests.factories import invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_lost_database_had_sent_is_told_as_ours_as_soon_as_it_is_settled(
    sandbox: SandboxProcess, manager: User, later: Callable[[float], None]
) -> None:
    """The database is an older copy in which a form's request is ready, and its sending is not on record. It is taken
    over two minutes after it was asked for, and ends with what really happened."""
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    operation = operations.request("void", invoice.id, actor=manager, source="admin", reason="a duplicate")
    sandbox.client().raw_request(
        "post",
        f"/v1/invoices/{invoice.id}/void",
        expand=["payments"],
        idempotency_key=f"{operation.stripe_key_base}-void",
    )
    later(125)
    operations.settle_due()
    operation.refresh_from_db()
    assert (operation.state, operation.outcome_by) == (Operation.State.SUCCEEDED, OutcomeBy.US), operation.message
