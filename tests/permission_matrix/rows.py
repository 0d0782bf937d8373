"""One row for each address of the desk and each method: which permissions decide.

An address that is new needs a line: of a list its model in LISTS (lists.py), of another page of the admin a `read`, a
`send` or a `form` (pages.py), of the API an entry in api.py. Permissions stand without `invoices.`; several with a
space between them are all needed, and of `one/other` one is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """`given`: what stands in places of the address that decide, such as the action; `scope`: what a token of the API
    must be for; `body`: what is sent, where the permission is asked only after it was read."""

    room: str  # under which the document has it
    key: str  # the name of the URL pattern; the address where it has none, and below /v1
    method: str
    needs: tuple[str, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    scope: str = ""
    body: Mapping[str, str] = field(default_factory=dict)
    of: str = ""  # the name of the object, where it is not any one of its kind


def read(room: str, key: str, needs: str = "", **given: str) -> Row:
    return Row(room, key, "GET", tuple(needs.split()), given)


def send(room: str, key: str, needs: str = "", **given: str) -> Row:
    return Row(room, key, "POST", tuple(needs.split()), given)


def form(room: str, key: str, needs: str = "", **given: str) -> list[Row]:
    """A page whose form is sent to its own address, by the same people."""
    return [read(room, key, needs, **given), send(room, key, needs, **given)]
