"""Customers are shown by the name that they are stored with: no list makes another spelling of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import customer_names
from invoices.models import Invoice, Operation
from invoices.record_tables.of_stripe import INVOICE_PAYMENTS
from tests.factories import CustomerObject, InvoiceObject, InvoicePaymentObject, stored

pytestmark = pytest.mark.django_db
WRITTEN = "Haddad Analytics KK"


@pytest.fixture(params=["held", "only on the invoice"])
def invoice(request: Any) -> Invoice:
    on_invoice = "HADDAD of last year" if request.param == "held" else WRITTEN
    found: Invoice = stored(InvoiceObject(customer="cus_kk", customer_name=on_invoice))
    if request.param == "held":
        stored(CustomerObject(id="cus_kk", name=WRITTEN))
    return found


def test_the_name_is_shown_as_it_is_stored(client: Client, manager: User, invoice: Invoice) -> None:
    stored(InvoicePaymentObject(invoice=invoice.pk))
    Operation.objects.create(action="void", invoice=invoice.pk, actor=manager, source="admin", state="refused")
    client.force_login(manager)
    for model in ("invoice", "invoicepayment", "operation"):
        found = client.get(f"/admin/invoices/{model}/").content.decode()
        assert WRITTEN in found and "Haddad Analytics Kk" not in found, model


def test_files_have_it_too(invoice: Invoice) -> None:
    payment = stored(InvoicePaymentObject(invoice=invoice.pk))
    assert [seen.name for seen in INVOICE_PAYMENTS.seen([payment])] == [WRITTEN]


def test_names_take_two_queries_however_many(django_assert_max_num_queries: Any) -> None:
    invoices = [stored(InvoiceObject(customer=f"cus_{n}", customer_name=f"Firm {n} AB")) for n in range(30)]
    for n in range(15):
        stored(CustomerObject(id=f"cus_{n}", name=f"Firm {n} AB"))
    with django_assert_max_num_queries(2):
        names = customer_names.of_invoices(invoices)
    assert set(names.values()) == {f"Firm {n} AB" for n in range(30)}
