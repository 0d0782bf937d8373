"""/v1/credit_notes: issue one for an open or paid invoice, list, retrieve, change, void; and its lines."""

from typing import Any

from sandbox import amounts, crediting, lists, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.params import (
    array_of,
    hash_of,
    integer,
    metadata,
    not_empty,
    not_negative,
    one_of,
    one_to_thousand,
    text,
    time_or_range,
)
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import StripeObject, dumps


def create(call: Call) -> StripeObject:
    invoice = common.fetch_named(call, "invoice", "invoice")
    if ("amount" in call.params) == ("lines" in call.params):
        raise refusals.invalid_parameter(unknowns.CREDIT_AMOUNT_OR_LINES)
    if "lines" in call.params:
        lines = [line_of(invoice, given, f"lines[{index}]") for index, given in enumerate(call.params["lines"])]
    else:
        lines = [shapes.credit_note_line("custom_line_item", call.params["amount"], None)]
    return crediting.issue(call, invoice, lines, call.params)


def line_of(invoice: StripeObject, given: dict[str, Any], path: str) -> StripeObject:
    """One line: a part of a line of the invoice, or one of its own."""
    quantity, description = given.get("quantity", 1), given.get("description")
    if given["type"] == "custom_line_item":
        if "unit_amount" not in given:
            raise refusals.parameter_missing(f"{path}[unit_amount]")
        unit = given["unit_amount"]
        members = {"quantity": quantity, "unit_amount": unit, "unit_amount_decimal": str(unit)}
        made = shapes.credit_note_line("custom_line_item", unit * quantity, description, **members)
    else:
        if "invoice_line_item" not in given:
            raise refusals.parameter_missing(f"{path}[invoice_line_item]")
        id = given["invoice_line_item"]
        line = next((line for line in amounts.lines_of(invoice) if line["id"] == id), None)
        if line is None:
            raise refusals.resource_missing_in_parameter("line_item", id, f"{path}[invoice_line_item]")
        amount = given.get("amount", line["amount"] * quantity // (line["quantity"] or 1))
        members = {"invoice_line_item": id, "quantity": given.get("quantity")}
        made = shapes.credit_note_line("invoice_line_item", amount, description or line["description"], **members)
    made["metadata"] = given.get("metadata") or {}
    return made


def update(call: Call) -> StripeObject:
    note = common.fetch(call, "credit_note")
    before = snapshot(note)
    common.set_given(note, call, "memo")
    common.set_metadata(note, call)
    call.db.save("credit_note", note)
    emit(call, "credit_note.updated", note, before)
    return note


def void(call: Call) -> StripeObject:
    note = common.fetch(call, "credit_note")
    crediting.void(call, note)
    return note


def list_lines(call: Call) -> str:
    note = common.fetch(call, "credit_note")
    found, has_more = lists.page_of_members(call, "credit_note_line_item", amounts.lines_of(note))
    return lists.envelope(call, [dumps(line) for line in found], has_more, call.path)


LINE = hash_of(
    ("type",),
    type=one_of("custom_line_item", "invoice_line_item"),
    amount=not_negative,
    description=text,
    invoice_line_item=not_empty,
    metadata=metadata,
    quantity=one_to_thousand,
    unit_amount=integer,
)
ROUTES = [
    post(
        "/v1/credit_notes",
        create,
        ("invoice",),
        invoice=not_empty,
        amount=integer,
        credit_amount=not_negative,
        effective_at=integer,
        email_type=one_of("credit_note", "none"),
        lines=array_of(LINE),
        memo=text,
        metadata=metadata,
        out_of_band_amount=not_negative,
        reason=one_of("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
        refund_amount=not_negative,
    ),
    listing("/v1/credit_notes", common.listing("credit_note"), created=time_or_range, customer=text, invoice=text),
    get("/v1/credit_notes/:credit_note", common.retrieving("credit_note")),
    post("/v1/credit_notes/:credit_note", update, memo=text, metadata=metadata),
    listing("/v1/credit_notes/:credit_note/lines", list_lines),
    post("/v1/credit_notes/:credit_note/void", void),
]
