"""All addresses that Django's resolver knows, and which row of the matrix is about each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.urls import URLPattern, get_resolver

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


class Address(NamedTuple):
    """One URL pattern. `name`: its name where it has one; `text`: the address, with `<places>`."""

    name: str
    text: str
    pattern: URLPattern

    @property
    def key(self) -> str:
        """What rows name it by: below /v1 and where it has no name by its text."""
        return self.text if self.is_of_api or not self.name else self.name

    @property
    def is_of_api(self) -> bool:
        return self.text.startswith(("/v1", "/^v1"))

    def filled(self, values: Mapping[str, str]) -> str:
        """The path with these values. Raises KeyError for a place without one."""
        return CONVERTER.sub(lambda place: values[place[1]], self.text)


def all_addresses() -> list[Address]:
    return list(_below(get_resolver(), "/"))


def _below(resolver: Any, prefix: str) -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        text = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield Address(pattern.name or "", text, pattern)
        else:
            yield from _below(pattern, text)


def methods_of(address: Address) -> list[str]:
    """The methods that a view of the API has, as it names them itself."""
    return [method.upper() for method in getattr(address.pattern.callback, "actions", {}) if method != "head"]
