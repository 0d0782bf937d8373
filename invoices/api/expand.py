"""`expand[]`: replaces ids by the objects that they name: what is null or held at once, the rest by a read from Stripe.

From the mirror it is one query for each level of a whole list. What the mirror holds by its kind and does not have yet
is read and stored. For what it never holds (a subscription, a price, a payment method) the object itself is read from
Stripe once more, with the caller's paths, and shown as Stripe answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from invoices import clock, gateway
from invoices.api import live
from invoices.api.envelope import ApiError, invalid
from invoices.api.expandable import EXPANDABLE, LISTS, Members
from invoices.api.serializers import NESTED_LIST_LENGTH, stripe_object
from invoices.models import MIRRORED, InvoicePayment
from invoices.models.reading import moment
from invoices.unfold import ONLY_EXPANDED

MAX_DEPTH = 4  # objects within objects; Stripe's number
MAX_READS = 20  # objects of one list that are read from Stripe to expand them
SWEPT_BY_THEN = timedelta(days=2)  # the nightly sweep has imported the payments of what was finalized before
# Card numbers and secrets, which Stripe shows only to who expands them: nobody gets them through the desk.
NEVER = frozenset({"number", "cvc", "payload"})

Object = dict[str, Any]


class Step(NamedTuple):
    """One level of a path: the kind of object in which it begins, the members that lead on from there, and the kind
    of what stands there."""

    within: str
    members: Members
    object_type: str


class Path(NamedTuple):
    """One value of `expand[]`: as the caller wrote it, as Stripe takes it for a single object, and its steps. `rest` is
    what follows in a kind of object that has no table here."""

    written: str
    text: str
    steps: tuple[Step, ...]
    rest: Members = ()


Paths = list[Path]


# --- reading the paths ------------------------------------------------------------------------------------------------


def parse_paths(object_type: str, paths: Iterable[str], *, in_list: bool = False) -> Paths:
    """Each path as its steps from an object of this type. In a list every path begins with `data.`.

    Raises ApiError for a path that Stripe does not expand.
    """
    return [_parse_path(object_type, path, in_list) for path in dict.fromkeys(paths)]


def _parse_path(object_type: str, path: str, in_list: bool) -> Path:
    names = tuple(path.split("."))
    if in_list:
        if names[0] != "data" or len(names) == 1:
            hint = f" You may want to try expanding 'data.{path}' instead." if _steps(object_type, names) else ""
            raise _not_expandable(path, hint)
        names = names[1:]
    found = _steps(object_type, names)
    if found is None or not all(names) or NEVER & set(names):
        raise _not_expandable(path)
    steps, rest = found
    if sum(1 for step in steps if step.object_type not in LISTS) + len(rest) > MAX_DEPTH:
        raise invalid(f"You cannot expand more than {MAX_DEPTH} levels of a property. Property: {path[:200]}")
    return Path(path, ".".join(names), tuple(steps), rest)


def _steps(object_type: str, names: Members) -> tuple[list[Step], Members] | None:
    """The steps, and the names after the last kind that has a table. None where a name is not expandable, or where the
    last one is a list itself (`payments.data`)."""
    steps: list[Step] = []
    while names:
        if object_type not in EXPANDABLE:
            return (steps, names) if steps and _is_of_stripe(steps[0].within) else None
        for members, member_type in EXPANDABLE[object_type].items():
            if names[: len(members)] == members:
                steps.append(Step(object_type, members, member_type))
                object_type, names = member_type, names[len(members) :]
                break
        else:
            return None
    if not steps or steps[-1].members == ("data",):
        return None
    if not _is_of_stripe(steps[0].within) and any(
        step.object_type not in MIRRORED and step.object_type not in LISTS for step in steps
    ):
        return None  # Stripe cannot be asked for an object of ours
    return steps, ()


def _is_of_stripe(object_type: str) -> bool:
    """Whether it is an object of Stripe's, which Stripe can show expanded, and none of the desk's own."""
    return object_type in MIRRORED or object_type == "line_item"


def _not_expandable(path: str, hint: str = "") -> ApiError:
    return invalid(f"This property cannot be expanded ({path[:200]}).{hint}")


def required_permissions(paths: Paths) -> set[str]:
    """The permissions to view whatever of the mirror these paths expand."""
    kinds = {step.object_type for path in paths for step in path.steps}
    kinds = {"invoice_payment" if kind == "payments" else kind for kind in kinds} & MIRRORED.keys()
    return {view_permission(kind) for kind in kinds}


def view_permission(object_type: str) -> str:
    """The permission to view this mirrored kind."""
    return f"invoices.view_{MIRRORED[object_type]._meta.model_name}"


# --- expanding --------------------------------------------------------------------------------------------------------

Place = tuple[int, Object]  # an object, and the number of the one of the answer that it belongs to
Held = dict[str, Object]  # id → object


def expand(objects: list[Object], paths: Paths, *, bring: Callable[[str, set[str]], None] | None = None) -> set[int]:
    """Expands the paths in all of these objects, in place, as far as the mirror holds what they lead to. The numbers of
    the objects in which something is left that only Stripe can show.

    `bring` is told the kind and the ids that the mirror should hold and does not have.
    """
    left: set[int] = set()
    for path in paths:
        level: list[Place] = list(enumerate(objects))
        for step in path.steps:
            if step.object_type == "payments":
                _bring_payments([found for _, found in level], bring)
                _add_payments([found for _, found in level])
            level = _expand_level(level, step, left, bring)
        left |= {number for number, _ in level} if path.rest else set()
    return left


def _expand_level(
    level: list[Place], step: Step, left: set[int], bring: Callable[[str, set[str]], None] | None
) -> list[Place]:
    """Expands one step, and returns the objects that then stand there."""
    name, object_type = step.members[-1], step.object_type
    holders = [(number, holder) for number, found in level for holder in _holders(found, step.members[:-1])]
    ids = {id for _, holder in holders for id in _ids(holder.get(name))}
    held = _held(object_type, ids, bring) if ids and object_type in MIRRORED else {}
    there: list[Place] = []
    for number, holder in holders:
        value = holder.get(name)
        is_left_out = name not in holder and ".".join(step.members) in ONLY_EXPANDED.get(step.within, ())
        if is_left_out or (object_type not in MIRRORED and _ids(value)):
            left.add(number)
        elif isinstance(value, str):
            holder[name] = held.get(value, value)
        elif isinstance(value, list):
            holder[name] = [held.get(one, one) if isinstance(one, str) else one for one in value]
        there += [(number, found) for found in _objects(holder.get(name))]
    return there


def _holders(found: Any, members: Members) -> Iterator[Object]:
    """The dictionaries to which these members lead, through arrays too."""
    if isinstance(found, list):
        for one in found:
            yield from _holders(one, members)
    elif isinstance(found, dict):
        if members:
            yield from _holders(found.get(members[0]), members[1:])
        else:
            yield found


def _ids(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _objects(value: Any) -> list[Object]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _held(object_type: str, ids: set[str], bring: Callable[[str, set[str]], None] | None) -> Held:
    """The objects of the mirror with these ids, as Stripe shows them."""
    found = _stripe_objects(object_type, ids)
    missing = ids - found.keys()
    if missing and bring:
        known = MIRRORED[object_type].objects.filter(pk__in=missing).values_list("pk", flat=True)  # deleted ones
        if missing := missing - set(known):
            bring(object_type, missing)
            found |= _stripe_objects(object_type, missing)
    return found


def _stripe_objects(object_type: str, ids: set[str]) -> Held:
    rows = MIRRORED[object_type].objects.filter(pk__in=ids).only("pk", "data", "deleted_at")
    by_id = {row.pk: stripe_object(row) for row in rows}
    return {id: data for id, data in by_id.items() if data is not None}


def _bring_payments(invoices: list[Object], bring: Callable[[str, set[str]], None] | None) -> None:
    """Of a single invoice that was finalized lately, and of which the mirror has no payment yet. Stripe made one at
    that moment and sent no event of it, and a service needs its PaymentIntent. In a list it may be missing until the
    sweep."""
    if not bring or len(invoices) != 1 or not isinstance(id := invoices[0].get("id"), str):
        return
    finalized_at = moment(invoices[0], "status_transitions", "finalized_at")
    if finalized_at is None or finalized_at < clock.now() - SWEPT_BY_THEN or not invoices[0].get("amount_due"):
        return
    if not InvoicePayment.objects.filter(invoice_id=id).exists():
        bring("invoice", {id})


def _add_payments(invoices: list[Object]) -> None:
    """Gives each invoice its list of payments, newest first."""
    without_payments = [invoice for invoice in invoices if not isinstance(invoice.get("payments"), dict)]
    ids = {invoice["id"] for invoice in without_payments}
    rows = InvoicePayment.objects.filter(invoice_id__in=ids, deleted_at=None)
    payments_of: dict[str | None, list[Object]] = defaultdict(list)
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


# --- with reads from Stripe -------------------------------------------------------------------------------------------


def expand_with_reads(objects: list[Object], paths: Paths, require_reads: Callable[[], None]) -> bool:
    """Expands the paths in these objects, in place, with reads from Stripe for what the mirror does not hold. Whether
    Stripe was asked. `require_reads` raises ApiError where the caller may not be shown what the mirror never holds.
    Raises ApiError: also where a list needs too many reads."""
    reads = _Reads()
    left = expand(objects, paths, bring=reads.bring)
    if left:
        require_reads()
        reads.reserve(len(left))
    texts = [path.text for path in paths]
    for number in sorted(left):
        shown = objects[number]
        try:
            whole = live.read(f"{gateway.PATHS[shown['object']]}/{shown['id']}", "expand", expand=texts)
        except ApiError as error:
            raise _as_written(error, paths) from error
        if whole is not None:  # what was deleted meanwhile stays as the mirror has it
            objects[number] = whole
    return reads.number > 0


def _as_written(error: ApiError, paths: Paths) -> ApiError:
    """Stripe's error names the path as a single object has it; the caller of a list wrote `data.` before it."""
    for path in paths:
        error.message = error.message.replace(f"({path.text})", f"({path.written})")
    error.error["message"] = error.message
    return error


class _Reads:
    """The reads that one request causes."""

    def __init__(self) -> None:
        self.number = 0

    def reserve(self, number: int) -> None:
        """Raises ApiError (400) where it would be too many."""
        self.number += number
        if self.number > MAX_READS:
            raise invalid(
                f"To expand this, {self.number} objects would have to be read from Stripe, and one request may cause "
                f"{MAX_READS} reads. Please ask for a shorter page with limit, or expand when you retrieve one object.",
                "expand",
            )

    def bring(self, object_type: str, ids: set[str]) -> None:
        wanted = sorted(id for id in ids if live.may_be_id(object_type, id))
        self.reserve(len(wanted))
        for id in wanted:
            live.bring(object_type, id, "expand")
