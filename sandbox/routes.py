"""Routes: which handler and which parameters an address of the API has.

Each module in resources/ lists its routes; RouteTable finds the route of a request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sandbox.call import Call
from sandbox.params import EXPAND, PAGE, Parameters

ID = re.compile(r":\w+")
Handler = Callable[[Call], dict[str, Any] | str]  # returns an object, or its finished JSON text


@dataclass(frozen=True)
class Route:
    method: str
    pattern: str
    handler: Handler
    parameters: Parameters
    required: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name under which /_sandbox/stats counts it, such as `GET /v1/invoices/:id`."""
        return f"{self.method} {ID.sub(':id', self.pattern)}"


def get(pattern: str, handler: Handler, /, **parameters: Any) -> Route:
    return Route("GET", pattern, handler, {**EXPAND, **parameters})


def listing(pattern: str, handler: Handler, /, **parameters: Any) -> Route:
    return Route("GET", pattern, handler, {**PAGE, **parameters})


def post(pattern: str, handler: Handler, required: tuple[str, ...] = (), /, **parameters: Any) -> Route:
    return Route("POST", pattern, handler, {**EXPAND, **parameters}, required)


def delete(pattern: str, handler: Handler) -> Route:
    return Route("DELETE", pattern, handler, EXPAND)


class RouteTable:
    """Fixed words win over ids: in /v1/payment_records/report_payment the last part is not an id."""

    def __init__(self, routes: list[Route]):
        self._routes: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for route in sorted(routes, key=lambda one: one.pattern.replace(":", "~")):
            parts = route.pattern.split("/")
            self._routes.setdefault((route.method, len(parts)), []).append((parts, route))

    def find(self, method: str, path: str) -> tuple[Route, list[str]] | None:
        """The route and the ids in the path, or None."""
        given = path.split("/")
        for parts, route in self._routes.get((method, len(given)), []):
            if all(part == one or (part[:1] == ":" and one) for part, one in zip(parts, given, strict=True)):
                return route, [unquote(one) for part, one in zip(parts, given, strict=True) if part[:1] == ":"]
        return None
