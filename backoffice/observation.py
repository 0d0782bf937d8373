"""What makes the processes observable: a log line for each request, Celery's tasks, and where both are reported to."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import celery
from celery.signals import worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty

from invoices.request_origin import request_id
from invoices.sight import context, counters, errors, logs, tracing

log = logging.getLogger("backoffice.requests")

# Asked for every few seconds, or many times for one page: told at the level DEBUG, unless they fail.
QUIET_PATHS = ("/healthz", "/readyz", "/metrics", settings.STATIC_URL)
MAX_PATH_LENGTH = 200  # characters in the log


def start() -> None:
    """Called once in each process, when Django is set up."""
    tracing.start(settings.OTEL_EXPORTER_OTLP_ENDPOINT)
    errors.start(settings.SENTRY_DSN, environment="production" if settings.PRODUCTION else "development")
    threading.excepthook = _log_end_of_thread
    if settings.LOG_FORMAT == "json":
        sys.excepthook = _log_end_of_process
        logging.raiseExceptions = False  # where a line cannot be written, its arguments are not printed either


def _log_end_of_process(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("the process ended with an error", exc_info=(kind, error, trace))


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        log.error("a thread ended with an error", exc_info=args.exc_value)


# --- requests ---------------------------------------------------------------------------------------------------------


class RequestLogMiddleware:
    """One line and one span for each request. It comes after RequestIdMiddleware, whose id both carry.

    The path is told without the query, in which people search for names and addresses; the user by the id.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started, status = perf_counter(), 500
        id, method = request_id(request), str(request.method)[:16]
        with (
            context.bound(request_id=id, user=partial(user_id, request)),
            tracing.span(method, kind="server", root=f"request {id}", http__request__method=method) as span,
        ):
            try:
                response = self.get_response(request)
                status = response.status_code
            finally:
                route = request.resolver_match.route if request.resolver_match else ""
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("http.route", route)
                span.set_attribute("invoice_desk.user", user_id(request) or 0)
                quiet = request.path.startswith(QUIET_PATHS) and status < 400
                logs.tell(
                    log,
                    "request",
                    level=logging.DEBUG if quiet else logging.INFO,
                    method=method,
                    path=request.path[:MAX_PATH_LENGTH],
                    route=route,
                    status=status,
                    milliseconds=round((perf_counter() - started) * 1000, 1),
                )
            return response


def user_id(request: HttpRequest) -> int | None:
    """The id of the request's user, as far as it is known: nobody is looked up for the log."""
    user: Any = request.__dict__.get("user")
    if user is None or (isinstance(user, LazyObject) and user._wrapped is empty):
        return None
    return user.pk


# --- tasks ------------------------------------------------------------------------------------------------------------


class ObservedTask(celery.Task):
    """A task of Celery's: counted, timed, and with a span of its own.

    The span is linked to the request that sent the wake-up. The rows that the task finds may be of others: each goes on
    in the trace of its own request (`invoices.sight.tracing`).
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.name.rpartition(".")[2]
        woken_by = getattr(self.request, "woken_by", None) or (self.request.headers or {}).get("woken_by") or ""
        links = [f"request {woken_by}"] if woken_by else []
        started, outcome = perf_counter(), "failed"
        with (
            context.bound(task=name, woken_by=woken_by),
            tracing.span(f"task {name}", kind="consumer", links=links),
        ):
            try:
                result = self.run(*args, **kwargs)
                outcome = "succeeded"
                return result
            finally:
                seconds = perf_counter() - started
                counters.TASKS.labels(name, outcome).observe(seconds)
                logs.tell(log, "task", level=logging.DEBUG, outcome=outcome, milliseconds=round(seconds * 1000, 1))


def address(text: str) -> tuple[str, int]:
    """`127.0.0.1:9808`, or `[::1]:9808`. Raises ImproperlyConfigured."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ImproperlyConfigured(
            f"WORKER_METRICS_ADDRESS must be an address and a port, such as 127.0.0.1:9808, not “{text}”."
        )
    return host.strip("[]"), int(port)


@worker_ready.connect
def _serve_counters(**given: object) -> None:
    """A worker has no web server: it answers Prometheus at an address of its own, with its own counters.

    A port that is taken, such as by the worker before that is still ending, must not end the worker.
    """
    if not settings.WORKER_METRICS_ADDRESS:
        return
    import os

    from prometheus_client import CollectorRegistry, multiprocess, start_http_server

    registry: dict[str, Any] = {}
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry["registry"] = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry["registry"])
    host, port = address(settings.WORKER_METRICS_ADDRESS)
    try:
        start_http_server(port, addr=host, **registry)
    except OSError as error:
        log.error("The worker's counters cannot be served: %s", error)
