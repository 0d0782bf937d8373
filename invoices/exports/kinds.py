"""What can be prepared: each kind makes a table of its parameters, for the person who asks. And the files' formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext_noop

from invoices.spreadsheet import CONTENT_TYPE, xlsx_pieces
from invoices.tables import Table, csv_pieces

Format = tuple[str, Callable[[Table], Iterator[Any]]]  # its media type, and what makes the pieces of a file

FORMATS: dict[str, Format] = {
    "csv": ("text/csv", csv_pieces),
    "xlsx": (CONTENT_TYPE, xlsx_pieces),
}


class CannotPrepare(Exception):
    """There will be no file. The message is an English sentence for the person who asked."""


@dataclass(frozen=True)
class Made:
    """A table, and the permissions without which nobody may have its file."""

    table: Table
    permissions: Sequence[str]


# Called in a worker, in the time zone of the person. Raises CannotPrepare where the person may not have it, or the
# parameters cannot be read. The rows of the table must hold no transaction open while they are read: between them the
# pieces of the file are committed, on the same connection.
Make = Callable[[User, Mapping[str, Any]], Made]
_kinds: dict[str, Make] = {}


def register(name: str, make: Make) -> None:
    """Makes known how files of this kind are made. Call it where every process comes by, such as beside the page that
    offers them."""
    _kinds[name] = make


def make(name: str, person: User, parameters: Mapping[str, Any]) -> Made:
    """Raises CannotPrepare."""
    if name not in _kinds:
        raise CannotPrepare(gettext_noop("This version of the desk does not know this kind of file."))
    return _kinds[name](person, parameters)
