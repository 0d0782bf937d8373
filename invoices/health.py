"""Is it alive, is it ready, how much waits: /healthz, /readyz, /metrics. No sign-in, no redirect, no secret."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from backoffice.celery import reach_broker
from invoices import clock
from invoices.models import Event, Heartbeat, Operation, ReconciliationRun

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that one look may take
WORKER_SILENT = timedelta(minutes=1)
EVENT_WAITS = timedelta(minutes=5)
RECONCILED_WITHIN = timedelta(hours=36)  # nightly, and time to mend it when a night failed


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nobody else, so that no trouble elsewhere gets it restarted."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all of it works; 503 with the reasons when not. Answers within a few seconds, whatever hangs."""
    looks = {"database": _Look.begin(facts), "broker": _Look.begin(reach_broker)}
    answer: dict[str, Any] = {}
    reasons: list[str] = []
    for name, look in looks.items():
        trouble = look.trouble()
        answer[name] = {"ok": not trouble}
        if trouble:
            reasons.append(f"the {name} does not answer ({trouble})")
        else:
            answer |= look.found or {}
            reasons += [] if look.found is None else doubts(look.found)
    return JsonResponse({"ready": not reasons, "reasons": reasons} | answer, status=503 if reasons else 200)


def facts() -> dict[str, Any]:
    """What the database knows of everyone's health."""
    now = clock.now()
    seen_at = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    pending = _pending()
    run = (
        ReconciliationRun.objects.filter(
            state=ReconciliationRun.State.FINISHED,
            kind__in=[ReconciliationRun.Kind.SWEEP, ReconciliationRun.Kind.FULL],
            dry_run=False,
            finished_at__isnull=False,
        )
        .order_by("-finished_at")
        .first()
    )
    return {
        "worker": {"seen_at": seen_at, "seconds_ago": _age(now, seen_at)},
        "events": {"pending": pending["pending"], "oldest_pending_seconds": _age(now, pending["oldest"])},
        "last_reconciliation": run
        and {
            "kind": run.kind,
            "finished_at": run.finished_at,
            "seconds_ago": _age(now, run.finished_at),
            "exit_code": run.exit_code,
        },
    }


def doubts(found: dict[str, Any]) -> Iterator[str]:
    """Why these facts do not allow us to say that we are ready."""
    seen, oldest = found["worker"]["seconds_ago"], found["events"]["oldest_pending_seconds"]
    run = found["last_reconciliation"]
    if seen is None:
        yield "no worker was ever seen"
    elif seen > WORKER_SILENT.total_seconds():
        yield f"no worker seen for {seen:.0f} s"
    if oldest is not None and oldest > EVENT_WAITS.total_seconds():
        yield f"an event has been waiting for {oldest:.0f} s"
    if run is None:
        yield "no reconciliation has finished yet"
    elif run["seconds_ago"] > RECONCILED_WITHIN.total_seconds():
        yield f"the last reconciliation finished {run['seconds_ago'] / 3600:.0f} hours ago"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What django-prometheus counts, and what waits in the database now."""
    response = ExportToDjangoView(request)
    response.content += generate_latest(WAITING)
    return response


class _Waiting:
    """The gauges that are read from the database when somebody looks; absent where it does not answer."""

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        look = _Look.begin(waiting)
        if look.trouble():
            return
        for name, text, labels, samples in look.found:
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for values, number in samples:
                gauge.add_metric(values, number)
            yield gauge


def waiting() -> list[tuple[str, str, list[str], list[tuple[list[str], float]]]]:
    """Name, help, labels and samples of each gauge."""
    pending = _pending()
    failed = Event.objects.filter(state=Event.State.FAILED).count()
    states = dict(
        Operation.objects.filter(state__in=Operation.UNFINISHED)
        .values_list("state")
        .annotate(Count("id"))
        .order_by("state")
    )
    return [
        (
            "invoice_desk_events",
            "Events that wait, and that failed",
            ["state"],
            [(["pending"], pending["pending"]), (["failed"], failed)],
        ),
        (
            "invoice_desk_oldest_pending_event_seconds",
            "For how long the oldest pending event has been waiting",
            [],
            [([], _age(clock.now(), pending["oldest"]) or 0)],
        ),
        (
            "invoice_desk_unfinished_operations",
            "Operations without an outcome",
            ["state"],
            [([state.value], states.get(state.value, 0)) for state in Operation.UNFINISHED],
        ),
    ]


def _pending() -> dict[str, Any]:
    return Event.objects.filter(state=Event.State.PENDING).aggregate(pending=Count("id"), oldest=Min("received_at"))


def _age(now: datetime, moment: datetime | None) -> float | None:
    return None if moment is None else round(max((now - moment).total_seconds(), 0), 1)


class _Look(threading.Thread):
    """One look at something that may hang, in a thread of its own; while it does, nobody begins a second."""

    begun: dict[Callable[[], Any], _Look] = {}
    beginning = threading.Lock()

    def __init__(self, look: Callable[[], Any]) -> None:
        super().__init__(daemon=True, name=f"look at {look.__name__}")
        self.look = look
        self.found: Any = None
        self.error: Exception | None = None

    @classmethod
    def begin(cls, look: Callable[[], Any]) -> _Look:
        with cls.beginning:
            running = cls.begun.get(look)
            if running is None or not running.is_alive():
                running = cls.begun[look] = cls(look)
                running.start()
            return running

    def run(self) -> None:
        try:
            self.found = self.look()
        except Exception as error:
            log.warning("%s: %s", self.name, error)
            self.error = error
        finally:
            connections.close_all()

    def trouble(self) -> str:
        """Waits a moment for the end; what went wrong, in a word without addresses or secrets; empty when nothing."""
        self.join(PATIENCE)
        if self.is_alive():
            return f"not within {PATIENCE:g} s"
        return type(self.error).__name__ if self.error else ""


WAITING = CollectorRegistry(auto_describe=False)
WAITING.register(_Waiting())
