"""The reading endpoints: what the mirror and the journal hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from invoices.api import filters, parameters
from invoices.api.base import ListRetrieve, StripeView, listed
from invoices.api.envelope import unrecognized
from invoices.api.expand import steps
from invoices.api.pagination import Page
from invoices.api.serializers import DriftSerializer, OperationSerializer, RunSerializer, shown
from invoices.models import Drift, Invoice, InvoicePayment, Mirrored, Operation, ReconciliationRun


class MirrorView(ListRetrieve):
    """Objects of Stripe's, as we last saw them; deleted ones are gone, but still good as cursors."""

    model: type[Mirrored]
    by = "created"

    def everything(self) -> QuerySet[Any]:
        return self.model.objects.all()

    def rows(self) -> QuerySet[Any]:
        return self.everything().filter(deleted_at=None).only("pk", "data", "deleted_at", "seen_until")

    def present(self, row: Mirrored) -> dict[str, Any]:
        return shown(row) or {}

    def headers_for(self, row: Mirrored) -> dict[str, str]:
        """How old it is: until when, by Stripe's clock, this state is known to have held (within 3 s)."""
        return {"Invoice-Desk-Seen-At": f"{row.seen_until:%Y-%m-%dT%H:%M:%SZ}"} if row.seen_until else {}


class InvoiceView(MirrorView):
    """`/v1/invoices`"""

    kind, param, model, filters = "invoice", "invoice", Invoice, filters.InvoiceFilter
    permission = "invoices.view_invoice"

    def lines(self, request: Request, id: str) -> Response:
        """All lines of one invoice, in Stripe's order, by cursor."""
        given = parameters.given(request)
        steps("line_item", parameters.take_array(given, "expand"), listed=True)
        values = parameters.flat(given)
        page = Page.take(values)
        parameters.refuse_unknown(values, ())
        lines = (self.find(id).data or {}).get("lines")
        held = lines.get("data") if isinstance(lines, dict) else None
        found, more = page.of_list(held if isinstance(held, list) else [], "line_item")
        # At the end of what we hold Stripe may have more: the mirror then has already asked for a read.
        unread = isinstance(lines, dict) and lines.get("has_more") is True and not page.before
        return listed(request, found, more or unread)


class InvoicePaymentView(MirrorView):
    """`/v1/invoice_payments`"""

    kind, param, model = "invoice_payment", "invoice_payment", InvoicePayment
    filters = filters.InvoicePaymentFilter
    permission = "invoices.view_invoicepayment"


class OperationView(ListRetrieve):
    """`/v1/operations`: what people and services asked for, and what came of it."""

    kind, by, filters = "operation", "created_at", filters.OperationFilter
    permission = "invoices.view_operation"

    def everything(self) -> QuerySet[Any]:
        return Operation.objects.select_related("actor", "approver")

    def present(self, row: Operation) -> dict[str, Any]:
        return dict(OperationSerializer(row).data)

    def lookup(self, id: str) -> Operation | None:
        try:
            return self.rows().filter(pk=UUID(id)).first()
        except ValueError:
            return None


class NumberedView(ListRetrieve):
    """Rows of ours that are numbered."""

    def lookup(self, id: str) -> Any:
        return self.rows().filter(pk=int(id)).first() if parameters.INTEGER.fullmatch(id) else None


class RunView(NumberedView):
    """`/v1/reconciliation_runs`"""

    kind, by, filters = "reconciliation_run", "started_at", filters.RunFilter
    permission = "invoices.view_reconciliationrun"

    def everything(self) -> QuerySet[Any]:
        return ReconciliationRun.objects.all()

    def present(self, row: ReconciliationRun) -> dict[str, Any]:
        return dict(RunSerializer(row).data)


class DriftView(NumberedView):
    """`/v1/drift`: each difference between Stripe and the mirror that no event explained."""

    kind, by, filters = "drift", "found_at", filters.DriftFilter
    permission = "invoices.view_drift"

    def everything(self) -> QuerySet[Any]:
        return Drift.objects.all()

    def present(self, row: Drift) -> dict[str, Any]:
        return dict(DriftSerializer(row).data)


class Unrecognized(StripeView):
    """Any other address below /v1."""

    schema = None
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise unrecognized(request)

    def list(self, request: Request) -> Response:
        raise AssertionError("unreachable: `initial` has raised")
