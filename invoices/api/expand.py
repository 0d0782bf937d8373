"""`expand[]`: ids become the objects that they name, from the mirror, one query per level for a whole list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from invoices.api.envelope import ApiError, invalid
from invoices.api.serializers import LISTED, shown
from invoices.models import MIRRORED, InvoicePayment

DEEPEST = 4  # objects within objects
# kind of object → path of a member → kind of what it names
FIELDS: dict[str, dict[tuple[str, ...], str]] = {
    "invoice": {("customer",): "customer", ("payments",): "payments"},
    "payments": {("data",): "invoice_payment"},
    "invoice_payment": {("invoice",): "invoice", ("payment", "payment_intent"): "payment_intent"},
    "payment_intent": {("customer",): "customer"},
    "operation": {("invoice",): "invoice"},
}
Step = tuple[tuple[str, ...], str]  # where it stands, and what it is
Steps = list[Step]
Paths = list[Steps]


def steps(kind: str, wanted: Iterable[str], *, listed: bool = False) -> Paths:
    """Each path as its steps from an object of this kind; below `data.` where a list is asked for.

    Raises ApiError for a path that is not expandable, or that names what the mirror does not hold.
    """
    return [_steps(kind, path, listed) for path in dict.fromkeys(wanted)]


def _steps(kind: str, path: str, listed: bool) -> Steps:
    parts = tuple(path.split("."))
    if listed:
        if parts[0] != "data" or len(parts) == 1:
            hint = f" You may want to try expanding 'data.{path}' instead." if _walk(kind, parts) else ""
            raise _cannot(path, hint)
        parts = parts[1:]
    found = _walk(kind, parts)
    if not found:
        raise _cannot(path)
    if sum(1 for _, what in found if what != "payments") > DEEPEST:
        raise invalid(f"You cannot expand more than {DEEPEST} levels of a property. Property: {path[:200]}")
    return found


def _walk(kind: str, parts: tuple[str, ...]) -> Steps:
    """Empty when the path leads nowhere, or ends where nothing is to be expanded."""
    found: Steps = []
    while parts:
        for where, what in FIELDS.get(kind, {}).items():
            if parts[: len(where)] == where:
                found.append((where, what))
                kind, parts = what, parts[len(where) :]
                break
        else:
            return []
    return [] if found and found[-1][0] == ("data",) else found


def _cannot(path: str, hint: str = "") -> ApiError:
    return invalid(f"This property cannot be expanded ({path[:200]}).{hint}")


def permissions(paths: Paths) -> set[str]:
    """What the caller must be allowed to view for these paths."""
    kinds = {"invoice_payment" if what == "payments" else what for path in paths for _, what in path}
    return {f"invoices.view_{MIRRORED[kind]._meta.model_name}" for kind in kinds}


def expand(objects: list[dict[str, Any]], paths: Paths) -> None:
    """Expands the paths in all of these objects, in place."""
    for path in paths:
        level = objects
        for where, what in path:
            level = _payments(level) if what == "payments" else _expand(level, where, what)


def _expand(objects: list[dict[str, Any]], where: tuple[str, ...], kind: str) -> list[dict[str, Any]]:
    """The objects that now stand there. An id that the mirror does not know stays an id."""
    if where == ("data",):
        return [item for holder in objects for item in holder["data"]]
    places = list(_holders(objects, where))
    wanted = {place[where[-1]] for place in places if isinstance(place[where[-1]], str)}
    known = _fetch(kind, wanted) if wanted else {}
    for place in places:
        if isinstance(place[where[-1]], str):
            place[where[-1]] = known.get(place[where[-1]], place[where[-1]])
    return [place[where[-1]] for place in places if isinstance(place[where[-1]], dict)]


def _holders(objects: list[dict[str, Any]], where: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for holder in objects:
        place: Any = holder
        for member in where[:-1]:
            place = place.get(member) if isinstance(place, dict) else None
        if isinstance(place, dict) and where[-1] in place:
            yield place


def _fetch(kind: str, ids: set[str]) -> dict[str, dict[str, Any]]:
    rows = MIRRORED[kind].objects.filter(pk__in=ids).only("pk", "data", "deleted_at")
    found = {row.pk: shown(row) for row in rows}
    return {id: data for id, data in found.items() if data is not None}


def _payments(invoices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives each invoice its list of payments, newest first, and returns those lists."""
    bare = [invoice for invoice in invoices if not isinstance(invoice.get("payments"), dict)]
    rows = InvoicePayment.objects.filter(invoice_id__in={invoice["id"] for invoice in bare}, deleted_at=None)
    by_invoice: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.only("pk", "data", "invoice_id", "deleted_at").order_by("-created", "-pk") if bare else ():
        data: Any = row.data
        by_invoice[row.invoice_id].append(data)
    for invoice in bare:
        found = by_invoice[invoice["id"]]
        invoice["payments"] = {
            "object": "list",
            "data": found[:LISTED],
            "has_more": len(found) > LISTED,
            "url": f"/v1/invoice_payments?invoice={invoice['id']}",
        }
    return [invoice["payments"] for invoice in invoices]
