"""The API's description at /api/schema/: whole, valid, in Stripe's words, and what replies are compared with."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import EndpointEnumerator
from drf_spectacular.validation import validate_schema

from invoices.api.pass_through import Elsewhere
from invoices.api.schema_shapes import EXPANDED
from invoices.api.schema_stripe import STRIPES_OBJECTS
from tests.helpers import described
from tests.sandbox.contract import needs_description, where

Schema = dict[str, Any]
JSON = "application/json"
COMPONENTS = described.description()["components"]
SUCCESS = {"Request-Id": "req_1", "Content-Type": JSON}


def routes(patterns: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from routes(one.url_patterns, before + str(one.pattern))
        elif isinstance(one, URLPattern):
            yield before + str(one.pattern), one.callback


def test_every_address_below_v1_is_described_with_each_of_its_methods() -> None:
    served = {
        (method.upper(), EndpointEnumerator().get_path_from_regex(route))
        for route, view in routes(get_resolver().url_patterns)
        if route.removeprefix("^").startswith("v1") and view.cls is not Elsewhere
        for method in view.actions
        if method != "head"
    }
    assert len(served) > 15
    assert served == set(described.operations())


def test_the_description_is_valid_openapi_and_what_it_refers_to_is_in_it(client: Client) -> None:
    answer = client.get("/api/schema/", headers={"Accept": "application/json"})
    schema = answer.json()
    validate_schema(schema)
    referred = set(re.findall(r'"\$ref": "#/components/(\w+/[\w-]+)"', json.dumps(schema)))
    assert referred <= {f"{kind}/{name}" for kind in schema["components"] for name in schema["components"][kind]}
    known: Any = settings.SPECTACULAR_SETTINGS["TAGS"]
    used = {tag for one in described.operations().values() for tag in one["tags"]}
    assert used == {tag["name"] for tag in known}


def test_a_list_is_described_as_one_envelope() -> None:
    found = {}
    for (method, address), operation in described.operations().items():
        content = operation["responses"]["200"]["content"]
        if method == "GET" and JSON in content:  # the others are files
            schema = content[JSON]["schema"]
            if "{id}" not in address or not address.endswith("}"):
                found[address] = schema["properties"]["data"]["items"]["$ref"].rsplit("/", 1)[1]
                search = address.endswith("/search")
                assert schema["properties"]["object"]["enum"] == ["search_result" if search else "list"]
                further = {"next_page"} if search else {"next", "cursor"} if address == "/v1/changes" else set()
                assert set(schema["required"]) == {"object", "data", "has_more", "url", *further}
            else:
                assert set(schema) == {"$ref"}
    assert found["/v1/invoices/{id}/lines"] == "line_item"
    assert found["/v1/invoices"] == "invoice"
    assert len(found) > 5


def test_operation_ids_are_stripes() -> None:
    ids = {key: operation["operationId"] for key, operation in described.operations().items()}
    assert len(set(ids.values())) == len(ids)
    assert all(re.fullmatch(r"(Get|Post|Delete)([A-Z][a-z0-9]*)+", one) for one in ids.values())
    assert ids["GET", "/v1/invoices"] == "GetInvoices"
    assert ids["GET", "/v1/invoice_payments/{id}"] == "GetInvoicePaymentsInvoicePayment"
    assert ids["POST", "/v1/invoices/{id}/mark_uncollectible"] == "PostInvoicesInvoiceMarkUncollectible"


def test_every_endpoint_describes_what_can_become_of_a_request() -> None:
    for (method, address), operation in described.operations().items():
        statuses = set(operation["responses"])
        assert {"200", "400", "401", "403", "413", "429", "500", "503"} <= statuses, address
        assert "404" in statuses or "{" not in address
        assert {"402", "409", "502"} <= statuses or method != "POST"
        for status, reply in operation["responses"].items():
            assert reply["description"]
            assert {"Request-Id", "Stripe-Version"} <= set(reply["headers"])
            assert {"Retry-After", "Stripe-Should-Retry"} <= set(reply["headers"]) or status < "400"


def test_a_body_is_required_where_a_member_of_it_is() -> None:
    operations = described.operations()
    assert operations["POST", "/v1/invoices/{id}/attach_out_of_band_payment"]["requestBody"]["required"] is True
    assert "required" not in operations["POST", "/v1/invoices/{id}/pay"]["requestBody"]


# --- Stripe's objects -------------------------------------------------------------------------------------------------

OF_THE_SDK = {
    "invoice": stripe.Invoice,
    "line_item": stripe.InvoiceLineItem,
    "invoice_payment": stripe.InvoicePayment,
    "customer": stripe.Customer,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "credit_note": stripe.CreditNote,
    "credit_note_line_item": stripe.CreditNoteLineItem,
    "event": stripe.Event,
}
TYPES: dict[Any, str] = {int: "integer", str: "string", bool: "boolean", float: "number"}
NEVER_SENT = {"deleted"}  # a mark of Stripe's for a deleted object, which is described as an object of its own


def test_every_stripe_object_is_compared_with_the_sdk() -> None:
    assert {name for name in STRIPES_OBJECTS if not name.startswith("deleted_")} == set(OF_THE_SDK)
    assert {name for names in EXPANDED.values() for name in names} <= set(STRIPES_OBJECTS)


@pytest.mark.parametrize("name", OF_THE_SDK)
def test_the_objects_have_the_members_that_the_sdk_knows(name: str) -> None:
    differences = list(differences_from_annotations(STRIPES_OBJECTS[name], OF_THE_SDK[name], name))
    assert differences == []


def differences_from_annotations(schema: Schema, kind: type, path: str) -> Iterator[str]:
    """Members that only one of both has, and those whose type or null differs, as far down as ours go."""
    annotations = {name: one for name, one in kind.__annotations__.items() if not name.startswith(("_", "OBJECT"))}
    ours = schema["properties"]
    for name in sorted((annotations.keys() ^ ours.keys()) - NEVER_SENT):
        yield f"{path}.{name}: only {'the SDK has' if name in annotations else 'we have'} it"
    for name in sorted(annotations.keys() & ours.keys()):
        yield from differences_of_member(ours[name], annotations[name], kind, f"{path}.{name}")


def differences_of_member(schema: Schema, annotation: Any, kind: type, path: str) -> Iterator[str]:
    parts = [one for one in parts_of(annotation) if one is not type(None)]
    may_be_null = type(None) in parts_of(annotation)
    known = {TYPES[one] for one in parts if one in TYPES}
    types = types_of(schema)
    if known and known == {TYPES.get(one) for one in parts} and types != known:
        yield f"{path}: {types}, and the SDK has {known}"
    if schema.get("nullable") and not may_be_null:
        yield f"{path}: may be null, and not in the SDK"
    for part in parts:
        if typing.get_origin(part) is list and "items" in schema:
            [item] = typing.get_args(part)
            yield from differences_of_member(schema["items"], item, kind, f"{path}[]")
        is_nested = isinstance(part, type) and getattr(kind, part.__name__, None) is part
        if is_nested and "properties" in schema:
            yield from differences_from_annotations(schema, part, path)


def parts_of(annotation: Any) -> list[Any]:
    """What a Union, an Optional or a Literal allows, one by one."""
    origin = typing.get_origin(annotation)
    if origin is typing.Union:
        return [one for part in typing.get_args(annotation) for one in parts_of(part)]
    if origin is typing.Literal:
        return [type(one) for one in typing.get_args(annotation)]
    return [annotation]


def types_of(schema: Schema) -> set[str]:
    alternatives = schema.get("anyOf", [schema])
    return {one.get("type", "object") for one in alternatives}


def test_the_comparison_with_the_sdk_finds_differences() -> None:
    schema = json.loads(json.dumps(STRIPES_OBJECTS["invoice"]))
    members = schema["properties"]
    members["new"] = members.pop("status_transitions")
    members["total"] = {"type": "string"}
    members["currency"]["nullable"] = True
    members["issuer"]["properties"]["type"]["type"] = "integer"
    members["custom_fields"]["items"]["properties"].pop("name")
    found = {one.partition(":")[0] for one in differences_from_annotations(schema, stripe.Invoice, "invoice")}
    names = {"new", "status_transitions", "total", "currency", "issuer.type", "custom_fields[].name"}
    assert found == {f"invoice.{name}" for name in names}


@needs_description
@pytest.mark.parametrize("name", [name for name in STRIPES_OBJECTS if name not in ("charge", "refund")])
def test_the_objects_agree_with_stripes_description(name: str) -> None:
    theirs = stripes_description()["components"]["schemas"]
    assert list(differences_from_stripe(STRIPES_OBJECTS[name], theirs[name], theirs, name)) == []


@needs_description
def test_the_operations_agree_with_stripes_description() -> None:
    theirs = {
        (method.upper(), re.sub(r"\{\w+\}", "{id}", address)): operation["operationId"]
        for address, of_address in stripes_description()["paths"].items()
        for method, operation in of_address.items()
    }
    ours = {key: operation["operationId"] for key, operation in described.operations().items()}
    both = ours.keys() & theirs.keys()
    assert len(both) >= 11
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}


def stripes_description() -> Schema:
    path = where()
    assert path is not None
    found: Schema = json.loads(Path(path).read_text())
    return found


def differences_from_stripe(ours: Schema, theirs: Schema, components: Schema, path: str) -> Iterator[str]:
    """Members that only one of both has; other types; null that only one allows; what only we say is always there."""
    theirs = whole(theirs, components)
    if not ours.get("properties"):
        return
    if not theirs.get("properties"):
        yield f"{path}: has members, and not at Stripe"
        return
    for name in sorted((ours["properties"].keys() ^ theirs["properties"].keys()) - NEVER_SENT):
        yield f"{path}.{name}: only {'we have' if name in ours['properties'] else 'Stripe has'} it"
    for name in sorted(set(ours.get("required", ())) - set(theirs.get("required", ()))):
        yield f"{path}.{name}: always there, and not at Stripe"
    for name in sorted(ours["properties"].keys() & theirs["properties"].keys()):
        mine, its = ours["properties"][name], whole(theirs["properties"][name], components)
        yield from differences_of_values(mine, its, components, f"{path}.{name}")


def differences_of_values(ours: Schema, theirs: Schema, components: Schema, path: str) -> Iterator[str]:
    theirs = whole(theirs, components)
    if bool(ours.get("nullable")) is not bool(theirs.get("nullable")):
        yield f"{path}: whether it may be null"
    if "$ref" in ours:
        return
    its = [whole(one, components) for one in theirs.get("anyOf", [theirs])]
    its_types = {one.get("type", "object") for one in its}
    if types_of(ours) != its_types:
        yield f"{path}: {types_of(ours)}, and at Stripe {its_types}"
    if "items" in ours and "items" in theirs and ours["items"]:
        yield from differences_of_values(ours["items"], theirs["items"], components, f"{path}[]")
    if "properties" in ours:
        yield from differences_from_stripe(ours, its[0], components, path)


def whole(schema: Schema, components: Schema) -> Schema:
    """The schema behind a reference, and without the alternative of null, which `nullable` says."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        kept = [one for one in schema["anyOf"] if one.get("enum") != [None]]
        if len(kept) == 1:
            return {**whole(kept[0], components), "nullable": schema.get("nullable")}
        return {**schema, "anyOf": kept}
    return schema


# --- the comparison of every reply ------------------------------------------------------------------------------------

AN_INVOICE = {
    **dict.fromkeys(("amount_due", "amount_paid", "amount_remaining", "total", "created"), 1),
    **{"id": "in_1", "object": "invoice", "currency": "usd", "customer": None, "livemode": False, "status": None},
}
AN_ERROR = {"error": {"type": "invalid_request_error", "message": "No."}}


def faults(method: str, path: str, status: int, body: Any, **headers: str) -> list[str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(described.faults(method, path, status, SUCCESS | named, json.dumps(body).encode()))


def test_the_comparison_finds_what_is_not_described() -> None:
    assert faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE, Invoice_Desk_Seen_At="2026-01-01T00:00:00Z") == []
    assert faults("GET", "/v1/invoices/in_1", 404, AN_ERROR) == []
    assert faults("POST", "/v1/invoices", 404, AN_ERROR) == []
    for found in (
        faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE | {"total": "1"}),
        faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE | {"total": None}),
        faults("GET", "/v1/invoices/in_1", 200, {"id": "in_1", "object": "invoice"}),
        faults("GET", "/v1/invoices", 200, [AN_INVOICE]),
        faults("GET", "/v1/invoices/in_1", 418, AN_ERROR),
        faults("GET", "/v1/invoices/in_1", 404, {"error": "No."}),
        faults("GET", "/v1/invoices/in_1", 404, {"error": AN_ERROR["error"] | {"our_word": 1}}),
        faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE, Invoice_Desk_Seen_At="now"),
        faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE, Invoice_Desk_Other="1"),
        faults("GET", "/v1/invoices/in_1", 429, AN_ERROR, Retry_After="soon"),
        faults("GET", "/v1/invoices/in_1", 200, AN_INVOICE, Content_Type="text/html"),
        faults("GET", "/v1/nothing", 200, {}),
        faults("GET", "/v1/nothing", 404, {}),
        list(described.faults("GET", "/v1/nothing", 404, SUCCESS, b"<html>")),
        list(described.faults("GET", "/v1/invoices/in_1", 404, {"Content-Type": JSON}, json.dumps(AN_ERROR).encode())),
    ):
        assert found
