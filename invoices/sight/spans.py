"""The spans of OpenTelemetry. Imported only where they are collected: see tracing.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

DEFAULT_SERVICE_NAME = "invoice-desk"
MAX_LINKS = 100  # of one span
_KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}

_derived: ContextVar[tuple[int, int] | None] = ContextVar("invoice_desk_derived_ids", default=None)
_provider: TracerProvider | None = None


class _Ids(RandomIdGenerator):
    """Random, or those that follow from the text of a root."""

    def generate_trace_id(self) -> int:
        derived = _derived.get()
        return derived[0] if derived else super().generate_trace_id()

    def generate_span_id(self) -> int:
        derived = _derived.get()
        return derived[1] if derived else super().generate_span_id()


def start() -> None:
    """Where spans go, which of them, and with which headers, is read from the OTEL_… variables by the library."""
    global _provider  # noqa: PLW0603  one collector a process
    resource = Resource.create()
    if str(resource.attributes.get("service.name")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": DEFAULT_SERVICE_NAME}))
    _provider = TracerProvider(resource=resource, id_generator=_Ids())
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def flush() -> None:
    """Sends what waits."""
    if _provider is not None:
        _provider.force_flush()


def ids_of(text: str) -> tuple[int, int]:
    """The ids of the trace that begins with this text, and of its first span."""
    digest = hashlib.sha256(f"invoice desk {text}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


def _first_span_of(text: str) -> trace.SpanContext:
    assert _provider is not None  # noqa: S101  `start` made it
    trace_id, span_id = ids_of(text)
    kept = _provider.sampler.should_sample(None, trace_id, "").decision.is_sampled()  # as it was decided there
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if kept else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


@contextmanager
def begin(
    name: str, kind: str, root: str, continues: str, links: tuple[str, ...], attributes: dict[str, Any]
) -> Iterator[trace.Span]:
    assert _provider is not None  # noqa: S101  `start` made it
    around = trace.get_current_span().get_span_context()
    linked = [_first_span_of(text) for text in links if text][:MAX_LINKS]
    context = None
    if root:
        context = trace.set_span_in_context(trace.INVALID_SPAN)
    elif continues and (first := _first_span_of(continues)).trace_id != around.trace_id:
        context = trace.set_span_in_context(trace.NonRecordingSpan(first))
    if context is not None and around.is_valid:
        linked.append(around)
    token = _derived.set(ids_of(root) if root else None)
    try:
        made = _provider.get_tracer("invoices").start_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=attributes,
            links=[trace.Link(each) for each in linked],
            record_exception=False,  # the message and the traceback of an error may hold personal data
            set_status_on_exception=False,
        )
    finally:
        _derived.reset(token)
    with trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield made
        except BaseException as error:
            made.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise


def current_trace() -> str:
    """The id of the trace at this moment; empty where there is none."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else ""
