"""The customers' names as they are written. The mirror's columns have them in small letters, for the search."""

from __future__ import annotations

from collections.abc import Iterable

from invoices.models import Customer, Invoice
from invoices.models.reading import text


def of_invoices(invoices: Iterable[Invoice]) -> dict[str, str]:
    """By the invoice's id: the customer's name of today, else the one on the invoice; empty where there is none. Two
    queries at most. An invoice has all its lines in its object, so it is read only where the customer is not held."""
    invoices = list(invoices)
    owners = {invoice.customer_id for invoice in invoices if invoice.customer_id}
    customers = Customer.objects.filter(pk__in=owners).order_by().values_list("pk", "data") if owners else ()
    today = {pk: text(data, "name") or "" for pk, data in customers}
    names = {invoice.pk: today.get(invoice.customer_id or "", "") for invoice in invoices}
    return names | on_invoices(invoice for invoice in invoices if not names[invoice.pk])


def on_invoices(invoices: Iterable[Invoice]) -> dict[str, str]:
    """The name on each of these invoices, in one query; of those that have one."""
    named = [invoice.pk for invoice in invoices if invoice.customer_name]
    found = Invoice.objects.filter(pk__in=named).order_by().values_list("pk", "data") if named else ()
    return {pk: text(data, "customer_name") or "" for pk, data in found}
