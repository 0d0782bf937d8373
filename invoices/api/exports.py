"""A list as a file: `GET /v1/invoices.ndjson` and `.csv`, with the list's own filters, in bounded memory.

A file has at most MAX_ROWS rows. Where there are more, its head names the address of the next one. So an export of any
length is so many requests, none of which takes long, and one that broke off goes on where it was.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import TextField
from django.db.models.functions import Cast
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from invoices import money
from invoices.api import parameters
from invoices.api.base import ListAndRetrieveView
from invoices.api.envelope import invalid
from invoices.api.filters import apply_filters
from invoices.api.mirror_views import MirrorView
from invoices.api.pagination import Page
from invoices.api.schema import STARTING_AFTER, describe, filters_of
from invoices.api.serializers import (
    BatchSerializer,
    DriftSerializer,
    Json,
    NoteSerializer,
    OperationSerializer,
    RunSerializer,
    UnixTimeField,
    ascii_json,
    to_json,
)
from invoices.models.reading import member
from invoices.streaming import Echo, cell, streamed

MAX_ROWS = 20_000  # of one file; so many invoices are about 70 MB
ROWS_AT_ONCE = 100  # read together: as many long invoices in memory as a page of a list has
CONTENT_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
# Minor units. In a table each stands twice: `total` in major units, for people, and `total_minor`.
AMOUNTS = frozenset("total amount amount_due amount_paid amount_received amount_remaining amount_requested".split())
# What a table has of the journal's objects: their members without those that are objects and lists.
SERIALIZERS = {
    "operation": OperationSerializer,
    "batch": BatchSerializer,
    "note": NoteSerializer,
    "reconciliation_run": RunSerializer,
    "drift": DriftSerializer,
}
NESTED = frozenset(
    "token decision_token expand sums params expected error before after calls contradictions ours theirs".split()
)

Record = dict[str, Any]


class Export(ListAndRetrieveView):
    """Mixed into the view of a list, whose rows, filters and permission it has. `export_view` makes such a view."""

    format: str  # ndjson, csv

    def list(self, request: Request) -> HttpResponseBase:  # type: ignore[override]
        """The rows after `starting_after`, newest first. Raises ApiError."""
        nested = parameters.of_request(request)
        asked = parameters.flatten(nested)
        listed = self.listed_rows(nested)
        for name in ("limit", "ending_before"):
            if name in asked:
                raise invalid(f"A file begins after starting_after and has {MAX_ROWS} rows. Leave out {name}.", name)
        values = parameters.flatten(nested)
        page = replace(Page.take_from(values), limit=MAX_ROWS)
        rows = apply_filters(listed, self.filterset_class, values)
        ids = rows.values_list("pk", flat=True)
        keys, has_more = page.of_rows(ids, self.all_rows(), self.time_column, self.object_type)
        answer = streamed(self._lines(keys), CONTENT_TYPES[self.format], request.path.rpartition("/")[2])
        if has_more:
            following = urlencode({**asked, "starting_after": str(keys[-1])})
            answer["Link"] = f'<{request.path}?{following}>; rel="next"'
        return answer

    def _lines(self, keys: Sequence[Any]) -> Iterator[str]:
        chunks = (keys[begin : begin + ROWS_AT_ONCE] for begin in range(0, len(keys), ROWS_AT_ONCE))
        if self.format == "ndjson":
            for chunk in chunks:
                yield "".join(f"{text}\n" for text in self._texts(chunk))
            return
        writer, columns = csv.writer(Echo()), self._columns()
        yield writer.writerow(columns)
        for chunk in chunks:
            records = map(_in_major_units, self._records(chunk))
            yield "".join(writer.writerow([_written(record.get(name)) for name in columns]) for record in records)

    def _texts(self, keys: Sequence[Any]) -> Iterator[str]:
        """Each object as JSON, an invoice with all its lines. What is gone meanwhile is left out."""
        if not isinstance(self, MirrorView):
            return (_in_one_line(self.to_object(row)) for row in self._rows(keys))
        texts = self.visible_rows().filter(pk__in=keys).annotate(text=Cast("data", TextField()))
        found = dict(texts.values_list("pk", "text"))
        return (ascii_json(found[key]) for key in keys if found.get(key))

    def _columns(self) -> Sequence[str]:
        """The names of a table's columns."""
        if not isinstance(self, MirrorView):
            return [name for name in list(self._serializer().fields) if name not in NESTED]
        names = ["id", *(name.removesuffix("_id") for name in self.model.columns({}))]
        return [each for name in names for each in ([name, f"{name}_minor"] if name in AMOUNTS else [name])]

    def _records(self, keys: Sequence[Any]) -> Iterator[Record]:
        """Each object as the values of a table; amounts in minor units, moments as datetimes."""
        for row in self._rows(keys):
            if isinstance(self, MirrorView):
                columns = self.model.columns(row.data or {})
                # The columns are in small letters, so that people find them. A file has what Stripe has.
                said = {name: row.data.get(name) for name in columns if isinstance(member(row.data, name), str)}
                yield {"id": row.pk, **{name.removesuffix("_id"): value for name, value in (columns | said).items()}}
            else:
                fields, record = self._serializer().fields, self.to_object(row)
                moments = [name for name, field in fields.items() if isinstance(field, UnixTimeField)]
                yield record | {name: datetime.fromtimestamp(record[name], UTC) for name in moments if record[name]}

    def _serializer(self) -> Serializer:
        return SERIALIZERS[self.object_type]()

    def _rows(self, keys: Sequence[Any]) -> Sequence[Any]:
        found = {row.pk: row for row in self.visible_rows().filter(pk__in=keys)}
        return [found[key] for key in keys if key in found]


def export_view(view: type[ListAndRetrieveView], kind: str, tag: str) -> Any:
    """A view, with its description, that answers with the rows of this one as a file. `kind`: ndjson or csv."""
    name = f"{view.__name__.removesuffix('View')}{kind.title()}"
    described = describe(
        tag,
        f"{tag} as a file, newest first",
        {"type": "string"},
        parameters=[*filters_of(view.filterset_class), STARTING_AFTER],
        description=f"Up to {MAX_ROWS} rows. Where there are more, `Link` has the address of the next file.",
        media_type=CONTENT_TYPES[kind],
    )
    return extend_schema_view(list=described)(type(name, (Export, view), {"format": kind}))


def _in_one_line(found: Any) -> Json:
    """An object, or the body of an event as it came, as JSON."""
    if not isinstance(found, Json):
        return to_json(found)
    return to_json(json.loads(found)) if "\n" in found else ascii_json(found)


def _in_major_units(record: Record) -> Record:
    """The record with each amount twice: `total` in major units, `total_minor` in minor units."""
    currency = record.get("currency")
    minor = {f"{name}_minor": record[name] for name in AMOUNTS & record.keys()}
    major = {
        name: money.major(record[name], currency) if currency and record[name] is not None else None
        for name in AMOUNTS & record.keys()
    }
    return record | minor | major


def _written(value: Any) -> str:
    """A value in a table. Moments are ISO 8601 in UTC; a text that a spreadsheet would execute is made harmless."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return format(value, "f") if isinstance(value, Decimal) else str(value) if isinstance(value, int) else cell(value)
