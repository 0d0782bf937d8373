"""What the work at hand belongs to: request, user, task, operation, event. Every log line and every span carries it.

It follows `contextvars`: the server's threads and asyncio tasks each have their own, and Django carries it from an
asyncio task into the thread of a view. A thread that we start ourselves gets it by `carried`.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# The mapping itself is never changed, so that no two threads share one that does.
_fields: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "invoice_desk_fields", default=MappingProxyType({})
)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """For the time of the block, what is told carries these fields too. Empty ones say nothing. A field may be a
    function, which is asked when a line is written: the user of a request is known only after a while."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value not in ("", None)}})
    try:
        yield
    finally:
        _fields.reset(token)


def current() -> dict[str, Any]:
    """The fields at this moment, those without a value left out."""
    found = {name: value() if callable(value) else value for name, value in _fields.get().items()}
    return {name: value for name, value in found.items() if value not in ("", None)}


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be called in other threads, with the context of now; several may call it at the same time."""
    context = contextvars.copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call
