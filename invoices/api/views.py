"""The reading endpoints of what is ours: operations, runs and drift from the journal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from invoices import operations
from invoices.api import filters, parameters
from invoices.api.base import ListAndRetrieveView
from invoices.api.serializers import BatchSerializer, DriftSerializer, OperationSerializer, RunSerializer
from invoices.models import Batch, Drift, Operation, ReconciliationRun


class OperationView(ListAndRetrieveView):
    """`/v1/operations`: what people and services asked for, and what came of it."""

    object_type, time_column, filterset_class = "operation", "created_at", filters.OperationFilter
    permission = "invoices.view_operation"

    def all_rows(self) -> QuerySet[Any]:
        found = Operation.objects.select_related("actor", "approver", "token__created_by", "decision_token__created_by")
        return found.prefetch_related("contradictions__resolved_by")

    def to_object(self, row: Operation) -> dict[str, Any]:
        return dict(OperationSerializer(row).data)

    def lookup(self, id: str) -> Operation | None:
        try:
            return self.visible_rows().filter(pk=UUID(id)).first()
        except ValueError:
            return None


class BatchView(ListAndRetrieveView):
    """`/v1/batches`: one action on many invoices."""

    object_type, time_column, filterset_class = "batch", "created_at", filters.BatchFilter
    permission = "invoices.view_batch"

    def all_rows(self) -> QuerySet[Any]:
        return Batch.objects.select_related("actor", "approver", "cancelled_by", "token__created_by")

    def to_object(self, row: Batch) -> dict[str, Any]:
        return dict(BatchSerializer(row).data)

    def to_content(self, row: Batch) -> dict[str, Any]:
        """Of one alone also how far it is: the number of its operations in each state, and of invoices that wait."""
        return self.to_object(row) | {"progress": operations.batch.progress(row)}

    def lookup(self, id: str) -> Batch | None:
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
        return Drift.objects.select_related("explanation")

    def to_object(self, row: Drift) -> dict[str, Any]:
        return dict(DriftSerializer(row).data)
