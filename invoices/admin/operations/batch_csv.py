"""The rows of a batch, and the batch as a CSV file, which is in English in every language: programs read it."""

import csv
from collections.abc import Iterator
from typing import Any

from invoices import money, recorded
from invoices.admin.invoices import wording as invoice_wording
from invoices.admin.operations import wording
from invoices.models import Batch, BatchItem, Invoice, Operation
from invoices.streaming import Echo, cell

COLUMNS = "invoice number customer amount state code decline_code message advice operation".split()
CHUNK_SIZE = 50  # invoices that are read together


def rows(batch: Batch, items: list[BatchItem]) -> Iterator[dict[str, Any]]:
    """Each item with its invoice and its operation (None: not begun), in two queries for all of them."""
    invoices = Invoice.objects.in_bulk([item.invoice for item in items])
    made = Operation.objects.filter(batch=batch).in_bulk([item.operation_id(batch.pk) for item in items])
    for item in items:
        invoice = invoices.get(item.invoice)
        yield {
            "pk": item.invoice,
            "number": invoice_wording.number(invoice) if invoice else item.invoice,
            "customer": invoice_wording.customer(invoice) if invoice else "",
            "amount": money.text(item.amount, invoice.currency) if invoice else "–",
            "operation": made.get(item.operation_id(batch.pk)),
        }


def lines(batch: Batch) -> Iterator[str]:
    """The CSV file line by line, so that a long batch needs no more memory than a short one."""
    writer = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for begin in range(0, len(batch.items), CHUNK_SIZE):
        with recorded.in_english():
            found = [_values(batch, row) for row in rows(batch, batch.items[begin : begin + CHUNK_SIZE])]
        for values in found:
            yield writer.writerow([cell(value) for value in values])


def _values(batch: Batch, row: dict[str, Any]) -> list[Any]:
    operation, known = row["operation"], [row["pk"], row["number"], row["customer"], row["amount"]]
    if operation is None:
        return [*known, "not begun" if batch.cancelled_at or batch.finished_at else "waiting", "", "", "", "", ""]
    result = (operation.code, operation.decline_code, wording.outcome(operation), operation.advice, operation.pk)
    return [*known, operation.state, *result]
