"""All rows together, and which of them are about an address or about a request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from django.urls import Resolver404, resolve

from tests.permission_matrix import api, lists, pages
from tests.permission_matrix.addresses import Address, all_addresses
from tests.permission_matrix.rows import Row

# What stands for places that no object fills. Nothing of it is there.
PLACES = {
    "link": "old",
    "verb": "cancel",
    "kind": "sweep",
    "format": "csv",
    "action": "void",
    "verdict": "approve",
    "name": "payments",
    "provider_id": "none",
    "content_type_id": "1",
}
PATHS = {  # of addresses that are regular expressions
    "app_list": "/admin/invoices/",
    "/admin/(?P<url>.*)$": "/admin/nothing-of-this-name/",
    api.ELSEWHERE[0]: "/v1/subscriptions/sub_1",
    api.ELSEWHERE[1]: "/v1/invoices/upcoming",
}
OBJECTS_OF_API = {  # what the address says → the model of its objects
    "credit_notes": "creditnote",
    "invoice_payments": "invoicepayment",
    "payment_intents": "paymentintent",
    "reconciliation_runs": "reconciliationrun",
    "webhook_endpoints": "webhookendpoint",
    "batches": "batch",
    "drift": "drift",
}


@cache
def rows() -> dict[str, list[Row]]:
    """By key. A page with a form of its own to add or delete has its rows instead of those of every list."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in (*pages.rows(), *api.rows()):
        found[row.key].append(row)
    own = set(found)
    for row in lists.rows():
        if row.key not in own and row.key in addresses():
            found[row.key].append(row)
    return found


@cache
def addresses() -> dict[str, Address]:
    return {address.key: address for address in reversed(all_addresses())}


def is_of_every_list(row: Row) -> bool:
    """Whether it is one of the addresses that a list has, which the document shows as one line."""
    return row in _of_lists()


@cache
def _of_lists() -> list[Row]:
    return list(lists.rows())


def path_of(row: Row, objects: Mapping[str, str]) -> str:
    """An address of this row that leads to an object that is there."""
    address = addresses()[row.key]
    if row.key in PATHS:
        return PATHS[row.key]
    parts = address.text.split("/")
    of_api = address.is_of_api
    word = parts[2] if of_api else parts[3] if len(parts) > 3 else ""
    model = OBJECTS_OF_API.get(word, word.removesuffix("s")) if of_api else word
    id = objects.get(row.of or model, "1")
    own = {f"{name}_id": objects[name] for name in ("note", "promise")}
    own |= {name: objects[name] for name in ("mention", "delivery")}
    own |= {"view_id": objects.get(f"view of {model}", "1"), "number": objects["contradiction"]}
    if not address.name and not of_api:
        id = f"{id}/more"  # what no page of ours takes, Django leads to its own address
    return address.filled({**PLACES, **own, "object_id": id, "id": id, "pk": id, **row.given})


def row_of_request(method: str, path: str) -> Row | None:
    """The row of what a page links to; None where it is no address of the desk."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    key = match.url_name or f"/{match.route}"
    given = {name: str(value) for name, value in match.kwargs.items()}
    fits = (row for row in rows().get(key, []) if row.method == method and row.given.items() <= given.items())
    return next(fits, None)
