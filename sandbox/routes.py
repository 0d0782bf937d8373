"""Which address does what: each resource lists its own routes, here they are found again."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sandbox.call import Call
from sandbox.params import EXPAND, PAGE, Spec

ID = re.compile(r":\w+")
Handler = Callable[[Call], dict[str, Any] | str]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: str
    handler: Handler
    spec: Spec
    required: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As counted: whichever id stands there, it is :id."""
        return f"{self.method} {ID.sub(':id', self.pattern)}"


def get(pattern: str, handler: Handler, /, **spec: Any) -> Route:
    return Route("GET", pattern, handler, {**EXPAND, **spec})


def listing(pattern: str, handler: Handler, /, **spec: Any) -> Route:
    return Route("GET", pattern, handler, {**PAGE, **spec})


def post(pattern: str, handler: Handler, required: tuple[str, ...] = (), /, **spec: Any) -> Route:
    return Route("POST", pattern, handler, {**EXPAND, **spec}, required)


def delete(pattern: str, handler: Handler) -> Route:
    return Route("DELETE", pattern, handler, EXPAND)


class Table:
    """Words in an address come before ids: /report_payment is not a payment record."""

    def __init__(self, routes: list[Route]):
        self._routes: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for route in sorted(routes, key=lambda one: one.pattern.replace(":", "~")):
            parts = route.pattern.split("/")
            self._routes.setdefault((route.method, len(parts)), []).append((parts, route))

    def find(self, method: str, path: str) -> tuple[Route, list[str]] | None:
        given = path.split("/")
        for parts, route in self._routes.get((method, len(given)), []):
            if all(part == one or (part[:1] == ":" and one) for part, one in zip(parts, given, strict=True)):
                return route, [unquote(one) for part, one in zip(parts, given, strict=True) if part[:1] == ":"]
        return None
