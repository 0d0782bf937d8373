"""Reconciliation runs by token: `POST /v1/reconciliation_runs` starts one, and `GET …/:id?wait=` follows it."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import OperationalError
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import clock, tasks
from invoices.api import parameters
from invoices.api.actions import take_wait
from invoices.api.base import require_permissions, require_scope
from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.schema import WAIT, body_of, describe
from invoices.api.schema_shapes import TEXT, ref
from invoices.api.views import RunView
from invoices.models import Invoice, ReconciliationRun
from invoices.operations import waiting
from invoices.reconcile import runs

Kind = ReconciliationRun.Kind
SCOPE = "reconcile"  # no word of a token's own: one that may act may do this too
BODY = body_of(
    {
        "kind": {**TEXT, "enum": [str(kind) for kind in runs.STARTABLE]},
        "invoice": {**TEXT, "description": "Of the kind `invoice`: the one that is compared"},
    },
    ["kind"],
)


class StartedRunView(RunView):
    """`/v1/reconciliation_runs`, with the way to start one."""

    may_wait = True

    @describe(
        "Reconciliation runs",
        "Start one; where one of this kind is under way, this is it",
        ref("reconciliation_run"),
        body=BODY,
        parameters=[WAIT],
        description=f"The workers carry it out. Needs the permission `{runs.PERMISSION}`, and a token that may act.",
    )
    def create(self, request: Request) -> Response:
        require_scope(request, SCOPE)
        require_permissions(request, runs.PERMISSION)
        nested = parameters.of_request(request)
        seconds = take_wait(request, nested, waiting.DEFAULT_SECONDS)
        kind, invoice = _asked(parameters.flatten(nested))
        if running := _under_way(kind):
            return Response(self.to_object(running))
        asked_at = clock.now()
        try:
            tasks.start_reconciliation.delay(kind, invoice, request.user.pk, asked_at)
        except (OperationalError, OSError):
            raise _not_begun("The workers cannot be reached, so nothing was started.") from None
        run = waiting.until(lambda: runs.begun_since(asked_at, kind, invoice), seconds)
        if run is None:
            raise _not_begun(f"It was asked for, and no worker has begun it yet. Look at {request.path}?kind={kind}.")
        return Response(self.to_object(run))

    def retrieve(self, request: Request, id: str) -> Response:
        nested = parameters.of_request(request)
        seconds = take_wait(request, nested, 0)
        parameters.refuse_unknown(parameters.flatten(nested), ())
        run = self.find(id)
        waiting.until(lambda: None if self.find(id).state == ReconciliationRun.State.RUNNING else run, seconds)
        return Response(self.to_object(self.find(id)))


def _asked(values: dict[str, Any]) -> tuple[str, str]:
    """The kind, and the invoice where it is about one. Raises ApiError."""
    parameters.refuse_unknown(values, ("kind", "invoice"))
    kind, invoice = values.get("kind"), values.get("invoice", "")
    if kind is None:
        raise invalid("Missing required param: kind.", "kind", "parameter_missing")
    if kind not in runs.STARTABLE:
        raise invalid(f"Invalid kind: must be one of {parameters.one_of(map(str, runs.STARTABLE))}", "kind")
    if (kind == Kind.INVOICE) != bool(invoice):
        message = "An invoice is named for the kind invoice, and for no other."
        raise invalid(message, "invoice", None if invoice else "parameter_missing")
    if invoice and not Invoice.objects.filter(pk=str(invoice)[:255]).exists():
        raise no_such_object("invoice", str(invoice)[:255], "invoice", status=400)
    return str(kind), str(invoice)


def _under_way(kind: str) -> ReconciliationRun | None:
    """The run of this kind that is under way. Raises ApiError where another one keeps it from beginning."""
    running = runs.under_way(kind)
    if running is None or running.kind == kind:
        return running
    message = f"Run {running.pk} ({running.get_kind_display()}) is under way. This one can begin when that has ended."
    raise ApiError(409, message, code="run_in_progress", headers={"Stripe-Should-Retry": "false"})


def _not_begun(message: str) -> ApiError:
    headers = {"Retry-After": "5", "Stripe-Should-Retry": "true"}
    return ApiError(503, message, type="api_error", code="run_not_begun", headers=headers)
