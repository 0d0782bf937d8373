"""What most resources share: fetch an object or refuse, retrieve and list, set plain members and metadata."""

from typing import Any

from sandbox import lists, params, refusals
from sandbox.call import Call
from sandbox.routes import Handler
from sandbox.store import StripeObject


def fetch(call: Call, kind: str, param: str = "id", id: str | None = None) -> StripeObject:
    """The object of the id in the address, or of `id`. A 404 names `param`."""
    obj = call.db.get(kind, id or call.id)
    if obj is None:
        raise refusals.resource_missing(kind, id or call.id, param)
    return obj


def fetch_named(call: Call, kind: str, name: str) -> StripeObject:
    """The object whose id is in the parameter `name`; a 400 if it does not exist or the id is empty."""
    id = params.not_empty(call.params[name], name)
    obj = call.db.get(kind, id)
    if obj is None:
        raise refusals.resource_missing_in_parameter(kind, id, name)
    return obj


def retrieving(kind: str, param: str = "id") -> Handler:
    """A handler for GET of one object. Without `expand` it answers with the stored text."""

    def retrieve(call: Call) -> StripeObject | str:
        if "expand" in call.params:
            return fetch(call, kind, param)
        body = call.db.visible_json(kind, call.id)
        if body is None:
            raise refusals.resource_missing(kind, call.id, param)
        return body

    return retrieve


def listing(kind: str) -> Handler:
    """A handler for GET of a list, filtered by the parameters that are columns."""
    return lambda call: lists.page(call, kind)


def set_given(obj: StripeObject, call: Call, *names: str) -> None:
    obj.update(call.given(*names))


def set_metadata(obj: StripeObject, call: Call) -> None:
    if "metadata" in call.params:
        obj["metadata"] = params.merged_metadata(obj["metadata"], call.params["metadata"])


def deleted_stub(kind: str, id: str) -> StripeObject:
    return {"id": id, "object": kind, "deleted": True}


def address(given: dict[str, Any] | None) -> StripeObject | None:
    """An address with all six members; those not given are null."""
    if given is None:
        return None
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: given.get(name) for name in names}


def shipping(given: dict[str, Any] | None) -> StripeObject | None:
    if given is None:
        return None
    return {"address": address(given.get("address")), "name": given.get("name"), "phone": given.get("phone")}
