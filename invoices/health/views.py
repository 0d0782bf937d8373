"""/healthz, /readyz and /metrics. They need no sign-in, never redirect, and show no secrets."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import generate_latest

from invoices.health import checks, gauges
from invoices.health.probe import Probe


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process runs. It checks nothing else, so that trouble elsewhere does not get the process restarted."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker, worker, events and reconciliation are all well; otherwise 503 with the reasons.

    Answers within a few seconds even if the database or the broker hangs: both are probed at the same time, each with
    a time limit.
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
    return JsonResponse({"ready": not reasons, "reasons": reasons} | members, status=503 if reasons else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus: what django-prometheus counts in this process, then what waits in the database now."""
    response = ExportToDjangoView(request)
    response.content += generate_latest(gauges.REGISTRY)
    return response
