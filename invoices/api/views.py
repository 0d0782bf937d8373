"""The reading endpoints: Stripe's objects from the mirror; operations, runs and drift from the journal."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import clock, prepared, scheduled_refetches
from invoices.api import filters, parameters
from invoices.api.base import ListAndRetrieveView, StripeView, list_response
from invoices.api.envelope import unrecognized_url
from invoices.api.expand import parse_paths
from invoices.api.pagination import Page
from invoices.api.schema import LIST_PARAMETERS, describe
from invoices.api.schema_shapes import list_of
from invoices.api.serializers import (
    DriftSerializer,
    Json,
    OperationSerializer,
    RunSerializer,
    stripe_object,
    stripe_text,
    with_first_lines,
)
from invoices.models import Drift, Invoice, InvoicePayment, Mirrored, Operation, ReconciliationRun

# One statement for the row and for what is asked of the queue of refetches. Django would take longer to write it.
FIND = """
    SELECT found.id, found.data, found.seen_until, EXISTS (
        SELECT 1 FROM invoices_scheduledrefetch AS asked WHERE asked.object_type = %s AND asked.object_id = found.id
        AND asked.given_up_at IS NULL AND asked.wanted_at IS NULL)
    FROM {table} AS found WHERE found.id = %s AND found.stored_at IS NOT NULL AND found.deleted_at IS NULL
"""


class Found(NamedTuple):
    """One object of the mirror, by its id."""

    pk: str
    text: str | None  # the object's JSON, as it is stored
    seen_until: Any
    is_unwanted: bool  # it is to be read from Stripe, and nobody waits for that


class MirrorView(ListAndRetrieveView):
    """Stripe's objects as the mirror has them. A deleted one is not shown, and can still be used as a cursor."""

    model: type[Mirrored]
    time_column = "created"

    def all_rows(self) -> QuerySet[Any]:
        return self.model.objects.all()

    def visible_rows(self) -> QuerySet[Any]:
        return self.all_rows().filter(deleted_at=None).only("pk", "data", "deleted_at", "seen_until")

    def to_object(self, row: Any) -> dict[str, Any]:
        if isinstance(row, Found):
            return with_first_lines(self.object_type, json.loads(row.text or "{}"))
        return stripe_object(row) or {}

    def texts_of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.annotate(text=Cast("data", TextField())).values_list("text", flat=True)

    def to_json(self, text: str) -> Json:
        return stripe_text(self.object_type, text)

    def to_content(self, row: Any) -> Json:
        return self.to_json(row.text)

    def lookup(self, id: str) -> Found | None:
        rows = prepared.rows(FIND.format(table=self.model._meta.db_table), [self.object_type, id])
        return next((Found(key, text, clock.of_column(until), soon) for key, text, until, soon in rows), None)

    def find(self, id: str) -> Any:
        row = super().find(id)
        if row.is_unwanted:
            scheduled_refetches.look(self.object_type, row.pk)  # who asks for one object waits for its newest state
        return row

    def object_headers(self, row: Any) -> dict[str, str]:
        """Until when, by Stripe's clock, the object is known to have been so, within 3 seconds. UTC."""
        return {"Invoice-Desk-Seen-At": f"{row.seen_until:%Y-%m-%dT%H:%M:%SZ}"} if row.seen_until else {}


class InvoiceView(MirrorView):
    """`/v1/invoices`"""

    object_type, id_param, model = "invoice", "invoice", Invoice
    filterset_class = filters.InvoiceFilter
    permission = "invoices.view_invoice"

    @describe("Invoices", "List an invoice's lines", list_of("line_item"), parameters=LIST_PARAMETERS)
    def lines(self, request: Request, id: str) -> Response:
        """All lines of one invoice, in Stripe's order, by cursor."""
        nested = parameters.of_request(request)
        parse_paths("line_item", parameters.take_array(nested, "expand"), in_list=True)  # refuses all: none expands
        values = parameters.flatten(nested)
        page = Page.take_from(values)
        parameters.refuse_unknown(values, ())
        lines = (json.loads(self.find(id).text or "null") or {}).get("lines")
        mirrored = lines.get("data") if isinstance(lines, dict) else None
        found, has_more = page.of_list(mirrored if isinstance(mirrored, list) else [], "line_item")
        # `has_more` in the mirror: Stripe has lines after those that we have, and a refetch is scheduled.
        more_at_stripe = isinstance(lines, dict) and lines.get("has_more") is True and not page.ending_before
        return list_response(request, found, has_more or more_at_stripe)


class InvoicePaymentView(MirrorView):
    """`/v1/invoice_payments`"""

    object_type, id_param, model = "invoice_payment", "invoice_payment", InvoicePayment
    filterset_class = filters.InvoicePaymentFilter
    permission = "invoices.view_invoicepayment"


class OperationView(ListAndRetrieveView):
    """`/v1/operations`: what people and services asked for, and what came of it."""

    object_type, time_column, filterset_class = "operation", "created_at", filters.OperationFilter
    permission = "invoices.view_operation"

    def all_rows(self) -> QuerySet[Any]:
        found = Operation.objects.select_related("actor", "approver", "token__created_by")
        return found.prefetch_related("contradictions__resolved_by")

    def to_object(self, row: Operation) -> dict[str, Any]:
        return dict(OperationSerializer(row).data)

    def lookup(self, id: str) -> Operation | None:
        try:
            return self.visible_rows().filter(pk=UUID(id)).first()
        except ValueError:
            return None


class NumberedView(ListAndRetrieveView):
    """Rows whose id is a number."""

    def lookup(self, id: str) -> Any:
        return self.visible_rows().filter(pk=int(id)).first() if parameters.INTEGER.fullmatch(id) else None


class RunView(NumberedView):
    """`/v1/reconciliation_runs`"""

    object_type, time_column, filterset_class = "reconciliation_run", "started_at", filters.RunFilter
    permission = "invoices.view_reconciliationrun"

    def all_rows(self) -> QuerySet[Any]:
        return ReconciliationRun.objects.all()

    def to_object(self, row: ReconciliationRun) -> dict[str, Any]:
        return dict(RunSerializer(row).data)


class DriftView(NumberedView):
    """`/v1/drift`: each difference between Stripe and the mirror that no event explained."""

    object_type, time_column, filterset_class = "drift", "found_at", filters.DriftFilter
    permission = "invoices.view_drift"

    def all_rows(self) -> QuerySet[Any]:
        return Drift.objects.all()

    def to_object(self, row: Drift) -> dict[str, Any]:
        return dict(DriftSerializer(row).data)


class Unrecognized(StripeView):
    """Any other address below /v1: a 404 in Stripe's words, also without a key."""

    schema = None
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise unrecognized_url(request)

    def list(self, request: Request) -> Response:
        raise AssertionError("unreachable: `initial` has raised")
