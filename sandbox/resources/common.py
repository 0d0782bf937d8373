"""What most resources do alike: fetch by the id in the address, list, answer with the stored text."""

from typing import Any

from sandbox import lists, params, refusals
from sandbox.call import Call
from sandbox.routes import Handler
from sandbox.store import Obj


def fetch(call: Call, kind: str, param: str = "id", id: str | None = None) -> Obj:
    obj = call.db.get(kind, id or call.id)
    if obj is None:
        raise refusals.missing(kind, id or call.id, param)
    return obj


def named_in(call: Call, kind: str, name: str) -> Obj:
    """An object that a parameter names must exist, and an empty id is no id."""
    id = params.filled(call.params[name], name)
    obj = call.db.get(kind, id)
    if obj is None:
        raise refusals.missing_param(kind, id, name)
    return obj


def retrieving(kind: str, param: str = "id") -> Handler:
    def retrieve(call: Call) -> Obj | str:
        if "expand" in call.params:
            return fetch(call, kind, param)
        body = call.db.body(kind, call.id)
        if body is None:
            raise refusals.missing(kind, call.id, param)
        return body

    return retrieve


def listing(kind: str) -> Handler:
    return lambda call: lists.page(call, kind)


def set_given(obj: Obj, call: Call, *names: str) -> None:
    obj.update(call.given(*names))


def set_metadata(obj: Obj, call: Call) -> None:
    if "metadata" in call.params:
        obj["metadata"] = params.merged_metadata(obj["metadata"], call.params["metadata"])


def stub(kind: str, id: str) -> Obj:
    return {"id": id, "object": kind, "deleted": True}


def address(given: dict[str, Any] | None) -> Obj | None:
    """All six members, whichever were given."""
    if given is None:
        return None
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: given.get(name) for name in names}


def shipping(given: dict[str, Any] | None) -> Obj | None:
    if given is None:
        return None
    return {"address": address(given.get("address")), "name": given.get("name"), "phone": given.get("phone")}
