"""`expand[]`: replaces ids by the objects that they name, from the mirror, with one query per level of a whole list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from invoices.api.envelope import ApiError, invalid
from invoices.api.serializers import NESTED_LIST_LENGTH, stripe_object
from invoices.models import MIRRORED, InvoicePayment

MAX_DEPTH = 4  # objects within objects; Stripe's number

Members = tuple[str, ...]  # ("payment", "payment_intent") for `payment.payment_intent`

# What can be expanded: type of object → members that lead to an id → type of the object that the id names.
EXPANDABLE: dict[str, dict[Members, str]] = {
    "invoice": {("customer",): "customer", ("payments",): "payments"},
    "payments": {("data",): "invoice_payment"},
    "invoice_payment": {("invoice",): "invoice", ("payment", "payment_intent"): "payment_intent"},
    "payment_intent": {("customer",): "customer"},
    "operation": {("invoice",): "invoice"},
}


class Step(NamedTuple):
    """One level of a path: the members that lead to it from the object above, and the type of what stands there."""

    members: Members
    object_type: str


Path = list[Step]
Paths = list[Path]


def parse_paths(object_type: str, paths: Iterable[str], *, in_list: bool = False) -> Paths:
    """Each path as its steps from an object of this type. In a list every path begins with `data.`.

    Raises ApiError for a path that is not expandable, or that names what the mirror does not hold.
    """
    return [_parse_path(object_type, path, in_list) for path in dict.fromkeys(paths)]


def _parse_path(object_type: str, path: str, in_list: bool) -> Path:
    names = tuple(path.split("."))
    if in_list:
        if names[0] != "data" or len(names) == 1:
            hint = f" You may want to try expanding 'data.{path}' instead." if _steps(object_type, names) else ""
            raise _not_expandable(path, hint)
        names = names[1:]
    steps = _steps(object_type, names)
    if not steps:
        raise _not_expandable(path)
    if sum(1 for step in steps if step.object_type != "payments") > MAX_DEPTH:
        raise invalid(f"You cannot expand more than {MAX_DEPTH} levels of a property. Property: {path[:200]}")
    return steps


def _steps(object_type: str, names: Members) -> Path:
    """Empty when a name is not expandable, or when the last one is the list of payments itself (`payments.data`)."""
    steps: Path = []
    while names:
        for members, member_type in EXPANDABLE.get(object_type, {}).items():
            if names[: len(members)] == members:
                steps.append(Step(members, member_type))
                object_type, names = member_type, names[len(members) :]
                break
        else:
            return []
    return [] if steps and steps[-1].members == ("data",) else steps


def _not_expandable(path: str, hint: str = "") -> ApiError:
    return invalid(f"This property cannot be expanded ({path[:200]}).{hint}")


def required_permissions(paths: Paths) -> set[str]:
    """The permissions to view whatever these paths expand."""
    object_types = {step.object_type for path in paths for step in path}
    object_types = {"invoice_payment" if name == "payments" else name for name in object_types}
    return {f"invoices.view_{MIRRORED[name]._meta.model_name}" for name in object_types}


def expand(objects: list[dict[str, Any]], paths: Paths) -> None:
    """Expands the paths in all of these objects, in place."""
    for path in paths:
        level = objects
        for step in path:
            level = _add_payments(level) if step.object_type == "payments" else _expand_level(level, step)


def _expand_level(objects: list[dict[str, Any]], step: Step) -> list[dict[str, Any]]:
    """Expands one step, and returns the objects that then stand there. An id that the mirror does not know stays."""
    members, object_type = step
    if members == ("data",):
        return [item for payments in objects for item in payments["data"]]
    name = members[-1]
    holders = list(_holders(objects, members))
    ids = {holder[name] for holder in holders if isinstance(holder[name], str)}
    found = _stripe_objects(object_type, ids) if ids else {}
    for holder in holders:
        if isinstance(holder[name], str):
            holder[name] = found.get(holder[name], holder[name])
    return [holder[name] for holder in holders if isinstance(holder[name], dict)]


def _holders(objects: list[dict[str, Any]], members: Members) -> Iterator[dict[str, Any]]:
    """The dictionaries that have the last member directly: for `payment.payment_intent` each object's `payment`."""
    for found in objects:
        holder: Any = found
        for member in members[:-1]:
            holder = holder.get(member) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and members[-1] in holder:
            yield holder


def _stripe_objects(object_type: str, ids: set[str]) -> dict[str, dict[str, Any]]:
    rows = MIRRORED[object_type].objects.filter(pk__in=ids).only("pk", "data", "deleted_at")
    by_id = {row.pk: stripe_object(row) for row in rows}
    return {id: data for id, data in by_id.items() if data is not None}


def _add_payments(invoices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives each invoice its list of payments, newest first, and returns those lists."""
    without_payments = [invoice for invoice in invoices if not isinstance(invoice.get("payments"), dict)]
    ids = {invoice["id"] for invoice in without_payments}
    rows = InvoicePayment.objects.filter(invoice_id__in=ids, deleted_at=None)
    payments_of: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.only("pk", "data", "invoice_id", "deleted_at").order_by("-created", "-pk") if ids else ():
        data: Any = row.data
        payments_of[row.invoice_id].append(data)
    for invoice in without_payments:
        payments = payments_of[invoice["id"]]
        invoice["payments"] = {
            "object": "list",
            "data": payments[:NESTED_LIST_LENGTH],
            "has_more": len(payments) > NESTED_LIST_LENGTH,
            "url": f"/v1/invoice_payments?invoice={invoice['id']}",
        }
    return [invoice["payments"] for invoice in invoices]
