"""No secret and no card data in the journal's operations, in any log, or on any page of them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.test import Client

from invoices import operations
from invoices.models import ApiToken, Operation
from tests.factories import invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

CARDS = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")


def test_operations_logs_and_pages(
    sandbox: SandboxProcess,
    agent: User,
    client: Client,
    deliver: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    settings: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    _, token = ApiToken.objects.create(user=agent, name="a service")
    paths = []
    for card in CARDS:
        invoice = invoice_at(sandbox, card=card)
        paths += [f"/admin/invoices/invoice/{invoice.id}/change/", f"/v1/operations?invoice={invoice.id}"]
        operation = operations.execute("pay", invoice.id, actor=agent, source="admin", reason="asked")
        paths.append(f"/admin/invoices/operation/{operation.pk}/change/")
        lost = invoice_at(sandbox, card=card).id
        sandbox.faults(drop_reply=1.0, only=["POST /v1/invoices/*/pay"])
        unknown = operations.execute("pay", lost, actor=agent, source="admin", reason="asked")
        sandbox.clear_faults()
        Operation.objects.filter(pk=unknown.pk).exclude(state__in=Operation.FINAL).update(settle_at=None)
        operations.settle_due()
    deliver()
    client.force_login(agent)
    pages = []
    for path in paths:
        headers = {"Authorization": f"Bearer {token}"} if path.startswith("/v1") else {}
        answer = client.get(path, headers=headers, follow=True)
        assert answer.status_code == 200, path
        pages.append(answer.content.decode())
    kept = serializers.serialize("json", Operation.objects.all())
    printed = capfd.readouterr()
    everything = {
        "the journal": kept,
        "the log": caplog.text + printed.err + printed.out,
        "a page": "\n".join(pages),
    }
    secrets = ["_secret_", sandbox.key, token, *settings.STRIPE_WEBHOOK_SECRETS, settings.SECRET_KEY]
    for name, text in everything.items():
        for secret in secrets:
            assert secret not in text, f"{secret[:12]} stands in {name}"
    assert "4242424242424242" not in json.dumps(everything)
