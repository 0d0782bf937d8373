"""What finance does with credits in tests: an invoice to pay, a match that is confirmed, the pages of the bank room."""

from __future__ import annotations

import html
import uuid
from typing import Any

from django.contrib.auth.models import User

from invoices import refetch
from invoices.models import BankTransaction, Batch, Invoice
from invoices.operations import batch as batches
from invoices.statements import recording
from invoices.statements.recording import Confirmed, confirm
from tests.factories import customer_at, invoice_at
from tests.helpers import bank
from tests.helpers.admin_pages import text as content_of
from tests.sandbox_process import SandboxProcess

STATEMENTS, TRANSACTIONS = "/admin/invoices/bankstatement/", "/admin/invoices/banktransaction/"


def open_invoice(sandbox: SandboxProcess, amount: int = 5000, **given: Any) -> Invoice:
    made = invoice_at(sandbox, customer=customer_at(sandbox).id, amount=amount, currency="eur", **given)
    refetch.refetch("invoice", made.id)
    return Invoice.objects.get(pk=made.id)


def credit_of(amount: int = 5000, text: str = "", **more: Any) -> BankTransaction:
    return bank.credits_of(bank.line(amount, text, **more))[0]


def word(credit: BankTransaction, invoice: Invoice, amount: int | None = None) -> Confirmed:
    return Confirmed(credit.pk, invoice.pk, amount or credit.left)


def confirmed(*words: Confirmed, by: User, id: uuid.UUID | None = None) -> Batch:
    return confirm(words, by=by, reason="The money is on our bank account", batch_id=id or uuid.uuid4())


def recorded_at(sandbox: SandboxProcess) -> int:
    """How many payments were reported to Stripe."""
    return int(sandbox.stats()["requests"].get("POST /v1/payment_records/report_payment", 0))


def run() -> None:
    batches.run_due()
    recording.settle_due()


def page(credit: BankTransaction) -> str:
    """The address of a credit's page."""
    return f"{TRANSACTIONS}{credit.pk}/"


def text(response: Any, status: int = 200) -> str:
    """What a page says, without marks of HTML's own."""
    assert response.status_code == status, content_of(response)[:2000]
    return html.unescape(content_of(response))
