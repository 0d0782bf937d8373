"""The reading endpoints of Stripe's objects: from the mirror, and from Stripe where the mirror does not have them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import account, clock, gateway, prepared, scheduled_refetches
from invoices.api import expand, filters, live, parameters
from invoices.api.base import STRIPE, ListAndRetrieveView, list_response, require_permissions, require_reads
from invoices.api.envelope import invalid, no_such_object
from invoices.api.pagination import Page
from invoices.api.schema import LIST_PARAMETERS, NOT_BEFORE, describe, expand_parameter
from invoices.api.schema_shapes import list_of
from invoices.api.serializers import LINES, Json, received_text, stripe_object, stripe_text, with_first_lines
from invoices.models import (
    Charge,
    CreditNote,
    Customer,
    Event,
    Invoice,
    InvoicePayment,
    Mirrored,
    PaymentIntent,
    Refund,
    lines,
)

# One statement for the row and for what is asked of the queue of refetches. Django would take longer to write it.
FIND = """
    SELECT found.id, found.data, found.seen_since, found.seen_until, found.deleted_at IS NOT NULL, EXISTS (
        SELECT 1 FROM invoices_scheduledrefetch AS asked WHERE asked.object_type = %s AND asked.object_id = found.id
        AND asked.given_up_at IS NULL AND asked.wanted_at IS NULL)
    FROM {table} AS found WHERE found.id = %s AND found.stored_at IS NOT NULL
"""


class Found(NamedTuple):
    """One object of the mirror, by its id."""

    pk: str
    text: str | None  # the object's JSON, as it is stored
    seen_since: datetime | None  # Stripe's clock, as `seen_until`
    seen_until: datetime | None
    is_deleted: bool
    is_unwanted: bool  # it is to be read from Stripe, and nobody waits for that

    def is_surely_since(self, moment: datetime | None) -> bool:
        """Whether Stripe has shown it so at this moment or later. It was seen at some moment of its span, so the whole
        span must be later. A deleted object does not change any more."""
        return moment is None or self.is_deleted or (self.seen_since is not None and self.seen_since >= moment)


class MirrorView(ListAndRetrieveView):
    """Stripe's objects as the mirror has them. A deleted one is not shown, and can still be used as a cursor.

    A subclass names its model, its filters and its permission. One object that the mirror does not hold is read from
    Stripe, and stored.
    """

    model: type[Mirrored]
    time_column = "created"
    is_of_stripe = True

    def all_rows(self) -> QuerySet[Any]:
        return self.model.objects.all()

    def visible_rows(self) -> QuerySet[Any]:
        return self.all_rows().filter(deleted_at=None).only("pk", "data", "deleted_at", "seen_until")

    def to_object(self, row: Any) -> dict[str, Any]:
        if isinstance(row, Found):
            if row.is_deleted:
                return {"id": row.pk, "object": self.object_type, "deleted": True}
            return with_first_lines(self.object_type, json.loads(row.text or "{}"))
        return stripe_object(row) or {}

    def texts_of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.annotate(text=Cast("data", TextField())).values_list("text", flat=True)

    def to_json(self, text: str) -> Json:
        return stripe_text(self.object_type, text)

    def to_content(self, row: Any) -> Any:
        return self.to_object(row) if row.is_deleted else self.to_json(row.text)

    def listed_rows(self, nested: parameters.Nested) -> QuerySet[Any]:
        if self.not_before is not None:
            raise invalid(
                "Invoice-Desk-Not-Before is for single objects: a list shows what the mirror has, and each object's "
                "age is told when it is retrieved. Leave the header out, or retrieve the objects."
            )
        return super().listed_rows(nested)

    def lookup(self, id: str) -> Found | None:
        """The row, read from Stripe first where it is missing or may be too old. Raises ApiError."""
        found = self.held(id)
        if found is not None and found.is_surely_since(self.not_before):
            return self.shown(found)
        if live.may_be_id(self.object_type, id):
            with live.one_at_a_time(self.object_type, id):
                found = self.held(id)
                if found is None or not found.is_surely_since(self.not_before):
                    self.source = STRIPE
                    is_there = live.bring(self.object_type, id, "missing" if found is None else "too old")
                    found = self.held(id) if is_there else None
        return self.shown(found)

    def held(self, id: str) -> Found | None:
        """What the mirror holds, deleted or not."""
        rows = prepared.rows(FIND.format(table=self.model._meta.db_table), [self.object_type, id])
        for key, text, since, until, deleted, unwanted in rows:
            return Found(key, text, clock.of_column(since), clock.of_column(until), bool(deleted), bool(unwanted))
        return None

    def shown(self, found: Found | None) -> Found | None:
        """As Stripe answers it: 404 for what was deleted."""
        return None if found is None or found.is_deleted else found

    def find(self, id: str) -> Any:
        row = super().find(id)
        if row.is_unwanted:
            scheduled_refetches.look(self.object_type, row.pk)  # who asks for one object waits for its newest state
        return row

    def object_headers(self, row: Any) -> dict[str, str]:
        """Until when, by Stripe's clock, the object is known to have been so, within 3 seconds. UTC."""
        return {"Invoice-Desk-Seen-At": f"{row.seen_until:%Y-%m-%dT%H:%M:%SZ}"} if row.seen_until else {}


class WithLines(MirrorView):
    """Objects that stand there with their first ten lines, and have a list of all."""

    def list_lines(self, request: Request, id: str) -> Response:
        """All lines of one object, in Stripe's order, by cursor."""
        line_type, nested = LINES[self.object_type], parameters.of_request(request)
        wanted = parameters.take_array(nested, "expand")
        paths = expand.parse_paths(line_type, wanted, in_list=True)
        require_permissions(request, *expand.required_permissions(paths))
        values = parameters.flatten(nested)
        page = Page.take_from(values)
        parameters.refuse_unknown(values, ())
        held = (self.with_all_lines(id) or {}).get("lines")
        mirrored = held.get("data") if isinstance(held, dict) else None
        found, has_more = page.of_list(mirrored if isinstance(mirrored, list) else [], line_type)
        if expand.expand(found, paths):
            require_reads(request)
            return self.lines_of_stripe(request, id, page, wanted)
        return list_response(request, found, has_more)

    def with_all_lines(self, id: str) -> Any:
        """The object with all its lines: read from Stripe first where the mirror has only the first ones. Raises
        ApiError."""
        row = self.find(id)
        data = json.loads(row.text or "null")
        if not lines.are_cut(data):
            return data
        with live.one_at_a_time(self.object_type, id):
            data = self.held_object(id)
            if lines.are_cut(data):
                live.bring(self.object_type, id, "lines")
                self.source = STRIPE
                data = self.held_object(id)
        if lines.are_cut(data):  # a line was deleted while they were read, or a newer event came in between
            raise live.unavailable("The lines changed while they were read.")
        return data

    def held_object(self, id: str) -> Any:
        """The object as the mirror holds it, with all lines that are here. Raises ApiError (404)."""
        found = self.held(id)
        if found is None or found.is_deleted:  # a draft that was deleted meanwhile
            raise no_such_object(self.object_type, id, self.id_param)
        return json.loads(found.text or "null")

    def lines_of_stripe(self, request: Request, id: str, page: Page, wanted: list[str]) -> Response:
        """The same page from Stripe, with what the mirror cannot expand."""
        cursors = {"starting_after": page.starting_after, "ending_before": page.ending_before}
        params = {name: id for name, id in cursors.items() if id}
        address = f"{gateway.PATHS[self.object_type]}/{id}/lines"
        found = live.read(address, "expand", limit=page.limit, expand=wanted, **params)
        if found is None:
            raise no_such_object(self.object_type, id, self.id_param)
        self.source = STRIPE
        return list_response(request, found.get("data") or [], found.get("has_more") is True)


class InvoiceView(WithLines):
    """`/v1/invoices`"""

    object_type, id_param, model = "invoice", "invoice", Invoice
    filterset_class = filters.InvoiceFilter
    permission = "invoices.view_invoice"

    @describe(
        "Invoices",
        "List an invoice's lines",
        list_of("line_item"),
        parameters=[*LIST_PARAMETERS, *expand_parameter("line_item"), NOT_BEFORE],
    )
    def lines(self, request: Request, id: str) -> Response:
        """`/v1/invoices/:id/lines`"""
        return self.list_lines(request, id)


class CreditNoteView(WithLines):
    """`/v1/credit_notes`"""

    object_type, id_param, model = "credit_note", "id", CreditNote
    filterset_class = filters.CreditNoteFilter
    permission = "invoices.view_creditnote"

    @describe(
        "Credit notes",
        "List a credit note's lines",
        list_of("credit_note_line_item"),
        parameters=[*LIST_PARAMETERS, NOT_BEFORE],
    )
    def lines(self, request: Request, id: str) -> Response:
        """`/v1/credit_notes/:id/lines`"""
        return self.list_lines(request, id)


class RefundView(MirrorView):
    """`/v1/refunds`"""

    object_type, id_param, model = "refund", "refund", Refund
    filterset_class = filters.RefundFilter
    permission = "invoices.view_refund"


class InvoicePaymentView(MirrorView):
    """`/v1/invoice_payments`"""

    object_type, id_param, model = "invoice_payment", "invoice_payment", InvoicePayment
    filterset_class = filters.InvoicePaymentFilter
    permission = "invoices.view_invoicepayment"


class CustomerView(MirrorView):
    """`/v1/customers`: a deleted one is retrieved as a stub, and not listed."""

    object_type, id_param, model = "customer", "id", Customer
    filterset_class = filters.CustomerFilter
    permission = "invoices.view_customer"

    def shown(self, found: Found | None) -> Found | None:
        return found


class PaymentIntentView(MirrorView):
    """`/v1/payment_intents`"""

    object_type, id_param, model = "payment_intent", "intent", PaymentIntent
    filterset_class = filters.PaymentIntentFilter
    permission = "invoices.view_paymentintent"


class ChargeView(MirrorView):
    """`/v1/charges`"""

    object_type, id_param, model = "charge", "id", Charge
    filterset_class = filters.ChargeFilter
    permission = "invoices.view_charge"


class EventView(ListAndRetrieveView):
    """`/v1/events`: the journal's, with their bodies as they came. Those of another account or mode are not shown."""

    object_type, id_param, time_column = "event", "id", "created"
    filterset_class = filters.EventFilter
    permission = "invoices.view_event"
    is_of_stripe = True
    arrays = {"types": f"At most {filters.MAX_TYPES} types; not together with type"}

    def all_rows(self) -> QuerySet[Any]:
        of_our_mode = Q(livemode=None) | Q(livemode=account.key_is_live())
        return Event.objects.filter(of_our_mode, account__in={"", settings.STRIPE_ACCOUNT}, created__isnull=False)

    def listed_rows(self, nested: parameters.Nested) -> QuerySet[Any]:
        types = parameters.take_array(nested, "types")
        return filters.of_types(self.all_rows(), types, nested.get("type"))

    def texts_of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.values_list("body", flat=True)

    def to_json(self, text: str) -> Json:
        return received_text(text)

    def to_object(self, row: Event) -> Any:
        return self.to_json(row.body)

    def lookup(self, id: str) -> Event | None:
        row = self.all_rows().filter(pk=id).first()
        if row is None and live.may_be_id("event", id):
            with live.one_at_a_time("event", id):
                row = self.all_rows().filter(pk=id).first()
                if row is None and live.bring_event(id):
                    self.source = STRIPE
                    row = self.all_rows().filter(pk=id).first()
        return row
