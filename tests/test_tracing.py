"""Traces from the web through the workers to Stripe, at a collector; and none of it where no collector is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from invoices import gateway, operations, sync, tasks
from invoices.models import Operation
from invoices.sight import spans, tracing
from tests.factories import invoice_at
from tests.helpers.receivers import Receiver, receiving
from tests.helpers.told import listening

HOUSE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Span:
    """What a collector gets."""

    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]  # the traces that it is linked to
    attributes: dict[str, Any]
    events: int


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Span]]]:
    """Begins tracing to a collector of the test's own. Called, it gives the spans that came."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setattr(tracing, "_begin", None)
        monkeypatch.setattr(tracing, "_current", None)
        monkeypatch.setattr(spans, "_provider", None)
        tracing.start(receiver.url)
        yield lambda: _spans(receiver)
        assert spans._provider is not None
        spans._provider.shutdown()


def _spans(receiver: Receiver) -> list[Span]:
    spans.flush()
    found = []
    for path, body in receiver.came:
        assert path == "/v1/traces"
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            assert names["service.name"] == "invoice-desk"
            for scope in of_resource.scope_spans:
                for each in scope.spans:
                    attributes = {one.key: one.value.string_value or one.value.int_value for one in each.attributes}
                    links = tuple(link.trace_id.hex() for link in each.links)
                    found.append(
                        Span(
                            each.name,
                            each.trace_id.hex(),
                            each.span_id.hex(),
                            each.parent_span_id.hex(),
                            links,
                            attributes,
                            len(each.events),
                        )
                    )
    return found


def one(found: list[Span], name: str) -> Span:
    (span,) = [span for span in found if span.name == name]
    return span


@pytest.mark.django_db(transaction=True)
def test_an_action_is_one_trace_from_the_page_to_stripe(
    collected: Callable[[], list[Span]], desk: Any, open_invoice: Any
) -> None:
    with listening() as told:
        desk.get("/admin/", headers={"X-Request-ID": "req_of_the_page"})
        operations.execute(
            "void", open_invoice.id, actor=_agent(), source="admin", reason="wrong", request_id="req_of_the_page"
        )
    found = collected()
    page, perform = one(found, "GET"), one(found, "perform void")
    sent = one(found, "POST /v1/invoices/:id/void")
    assert page.trace == perform.trace == sent.trace and page.parent == ""
    assert perform.parent == page.id and sent.parent == perform.id
    assert page.attributes["invoice_desk.request_id"] == "req_of_the_page"
    assert perform.attributes["invoice_desk.operation"] == sent.attributes["invoice_desk.operation"]
    assert sent.attributes["stripe.request_id"].startswith("req_")
    assert told.one("operation sent")["trace"] == page.trace
    assert not any("wrong" in str(span.attributes) for span in found)


def _agent() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get(username="agent")


@pytest.mark.django_db(transaction=True)
def test_what_a_worker_performs_later_goes_on_in_the_trace_of_its_request(
    collected: Callable[[], list[Span]], client: Any, open_invoice: Any, agent: Any
) -> None:
    """The message that wakes the worker carries nothing of it; another process, with nothing but the row, performs."""
    response = client.get("/healthz")
    asked = operations.request(
        "void", open_invoice.id, actor=agent, source="admin", reason="wrong", request_id=response["X-Request-ID"]
    )
    tasks.perform_operation.apply(args=[str(asked.pk)])
    assert Operation.objects.get(pk=asked.pk).state == "succeeded"
    found = collected()
    page, task, perform = one(found, "GET"), one(found, "task perform_operation"), one(found, "perform void")
    assert perform.trace == page.trace and perform.parent == page.id
    assert task.trace != page.trace and perform.links == (task.trace,)
    assert one(found, "POST /v1/invoices/:id/void").trace == page.trace


@pytest.mark.django_db(transaction=True)
def test_an_event_has_a_trace_that_leads_from_its_webhook_to_the_worker(
    collected: Callable[[], list[Span]], sandbox: Any, post_event: Any
) -> None:
    invoice_at(sandbox)
    event = next(iter(gateway.walk("/v1/events")))
    post_event(event)
    tasks.process_events.apply(headers={"woken_by": "req_web"})
    found = collected()
    webhook, task = one(found, "POST"), one(found, "task process_events")
    received = next(span for span in found if span.name == f"received {event['type']}")
    processed = next(span for span in found if span.name == f"processed {event['type']}")
    assert received.trace == processed.trace and processed.parent == received.id
    assert received.links == (webhook.trace,) and processed.links == (task.trace,)
    assert processed.attributes["invoice_desk.event"] == event["id"]
    assert task.links == (spans.trace.format_trace_id(spans.ids_of("request req_web")[0]),)


def test_an_error_is_told_by_its_class_alone(collected: Callable[[], list[Span]]) -> None:
    with pytest.raises(ValueError), tracing.span("it"):
        raise ValueError("Jenny Rosen")
    span = one(collected(), "it")
    assert span.events == 0 and "Jenny" not in str(span)


def test_a_collector_that_is_away_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process works, and ends soon. In a process of its own, because the library waits at the end."""
    code = (
        "import django; django.setup()\n"
        "from invoices.sight import tracing\n"
        "with tracing.span('it') as span: span.set_attribute('a', 1)\n"
        "print('worked', bool(tracing._begin))\n"
    )
    ended = _run(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert ended.stdout == "worked True\n", ended.stderr


def test_without_a_collector_or_sentry_nothing_of_them_is_imported() -> None:
    code = (
        "import django; django.setup(); import sys\n"
        "from invoices.sight import tracing\n"
        "with tracing.span('it') as span: span.set_attribute('a', 1)\n"
        "told = ('opentelemetry.exporter', 'opentelemetry.sdk.trace', 'sentry_sdk', 'invoices.sight.spans')\n"
        "print([name for name in sys.modules if name.startswith(told)])\n"  # Redis's client imports the rest
    )
    ended = _run(code, OTEL_EXPORTER_OTLP_ENDPOINT="", SENTRY_DSN="")
    assert ended.stdout == "[]\n", ended.stderr


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=HOUSE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
def test_without_tracing_no_line_names_a_trace(client: Any) -> None:
    with listening() as told:
        client.get("/healthz")
    assert "trace" not in told.one("request")


@pytest.mark.django_db(transaction=True)
def test_many_events_are_processed_with_their_traces(
    collected: Callable[[], list[Span]], sandbox: Any, post_event: Any
) -> None:
    invoice_at(sandbox)
    for event in gateway.walk("/v1/events"):
        post_event(event)
    assert sync.process_events()
    found = collected()
    received = {span.trace for span in found if span.name.startswith("received")}
    processed = {span.trace for span in found if span.name.startswith("processed")}
    assert processed < received and len(processed) > 1  # those of other kinds of objects are ignored
