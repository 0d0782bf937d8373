"""/readyz and /metrics. They need no sign-in, never redirect, and show no secrets."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import generate_latest

from invoices.door import for_insiders, is_inside
from invoices.health import checks, gauges
from invoices.health.probe import Probe


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker, worker, events and reconciliation are all well; otherwise 503 with the reasons.

    Answers within a few seconds even if the database or the broker hangs: both are probed at the same time, each with
    a time limit. Outsiders learn the status and nothing else.
    """
    database, broker = Probe.begin(checks.database_health), Probe.begin(checks.reach_broker)
    reasons: list[str] = []
    members: dict[str, Any] = {}
    for name, probe in {"database": database, "broker": broker}.items():
        failure = probe.failure()
        members[name] = {"ok": not failure}
        if failure:
            reasons.append(f"the {name} does not answer ({failure})")
        elif probe is database:
            members |= probe.result
            reasons += checks.reasons_not_ready(probe.result)
    details = {"reasons": reasons} | members if is_inside(request) else {}
    return JsonResponse({"ready": not reasons} | details, status=503 if reasons else 200)


@for_insiders
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus: what this process counted (with PROMETHEUS_MULTIPROC_DIR: all processes that share the folder),
    then what waits in the database and the broker now, whichever process is asked."""
    response = ExportToDjangoView(request)
    response.content += generate_latest(gauges.REGISTRY)
    return response
