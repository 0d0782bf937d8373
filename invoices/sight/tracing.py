"""Spans, where OTEL_EXPORTER_OTLP_ENDPOINT is set. Otherwise nothing of OpenTelemetry is imported.

The queue of work is rows, and a Celery message only says "look now", so no trace can travel in a message. It is found
from the row: the ids of a trace's first span follow from an id that the row holds anyway (a request's id, an event's).
Whoever performs the row later goes on in that trace, in any process, hours later, and after a lost message as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from invoices.sight import context


class Span(Protocol):
    def set_attribute(self, name: str, value: Any) -> None: ...


class _Nothing:
    def set_attribute(self, name: str, value: Any) -> None:
        """Nobody collects spans."""


NOTHING = _Nothing()
_begin: Callable[..., AbstractContextManager[Span]] | None = None
_current: Callable[[], str] | None = None


def start(endpoint: str) -> None:
    """Begins to collect spans; without an endpoint does nothing."""
    global _begin, _current
    if endpoint and _begin is None:
        from invoices.sight import spans

        spans.start()
        _begin, _current = spans.begin, spans.current_trace


@contextmanager
def span(
    name: str,
    *,
    kind: str = "internal",
    root: str = "",
    continues: str = "",
    links: Iterable[str] = (),
    **attributes: Any,
) -> Iterator[Span]:
    """A span for the time of the block.

    `root`: it begins a trace, whose ids follow from this text. `continues`: it goes on in the trace that began so,
    unless it is in that trace already. `links`: texts from which other traces began that have to do with it.
    `attributes`: no personal data, and `__` in a name is a point. An error is told by its class alone.
    """
    if _begin is None:
        yield NOTHING
        return
    told = {f"invoice_desk.{field}": value for field, value in context.current().items()}
    told |= {field.replace("__", "."): value for field, value in attributes.items() if value not in ("", None)}
    with _begin(name, kind, root, continues, tuple(links), told) as begun:
        yield begun


def current_trace() -> str:
    """The id of the trace at this moment, 32 hexadecimal digits; empty where there is none."""
    return _current() if _current is not None else ""
