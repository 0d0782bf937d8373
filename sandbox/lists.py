"""Lists: newest first, with Stripe's cursors (Stripe docs: Pagination).

A page is joined from the stored JSON texts; they are parsed only where `expand` asks for it.
"""

import json
from typing import Any

from sandbox import refusals
from sandbox.call import Call
from sandbox.expand import expand_all
from sandbox.schema import FILTER_COLUMNS, table_name
from sandbox.store import dumps

Where = list[tuple[Any, ...]]  # each: an SQL condition, then its values
DEFAULT_LIMIT = 10
MAX_LIMIT = 100
NO_SUCH_ROW_ABOVE, NO_SUCH_ROW_BELOW = 1 << 62, -1  # row numbers for an empty range
OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "is": "="}
BOTH_CURSORS = "Received both starting_after and ending_before parameters. Please pass in only one."


def limit_of(params: dict[str, Any]) -> int:
    return min(max(params.get("limit", DEFAULT_LIMIT), 1), MAX_LIMIT)


def filters(call: Call, kind: str) -> Where:
    """The conditions of the parameters that have the name of a column."""
    where: Where = []
    for name in FILTER_COLUMNS[kind]:
        value = call.params.get(name)
        if isinstance(value, dict):
            where += [(f"{name} {OPERATORS[how]} ?", moment) for how, moment in value.items()]
        elif value is not None:
            where.append((f"{name} = ?", value))
    return where


def page(call: Call, kind: str, where: Where | None = None, url: str | None = None) -> str:
    """The JSON text of one page of objects of this kind, by the call's parameters or by `where`."""
    bodies, has_more = select_page(call, kind, filters(call, kind) if where is None else where)
    return envelope(call, bodies, has_more, url or call.path)


def envelope(call: Call, bodies: list[str], has_more: bool, url: str) -> str:
    """Stripe's list object around the JSON texts of its members."""
    wanted = call.params.get("expand")
    if wanted:
        obj = {"object": "list", "data": [json.loads(body) for body in bodies], "has_more": has_more, "url": url}
        return dumps(expand_all(call, obj, wanted))
    more = "true" if has_more else "false"
    return f'{{"object":"list","data":[{",".join(bodies)}],"has_more":{more},"url":{dumps(url)}}}'


def cursors(call: Call) -> tuple[str | None, str | None]:
    """The ids in starting_after and ending_before; Stripe refuses both together."""
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise refusals.invalid_parameter(BOTH_CURSORS)
    return after, before


def select_page(call: Call, kind: str, where: Where) -> tuple[list[str], bool]:
    """The JSON texts of one page, and whether more follow. `seq` is the row number."""
    after, before = cursors(call)
    conditions = ["deleted = 0", *(one[0] for one in where)]
    values = [value for one in where for value in one[1:]]
    name = "starting_after" if after else "ending_before"
    cursor = after or before
    if cursor:
        seq = call.db.position(kind, cursor)
        if seq is None:
            raise refusals.resource_missing_in_parameter(kind, cursor, name)
        conditions.append("seq < ?" if after else "seq > ?")
        values.append(seq)
    limit = limit_of(call.params)
    narrow_by_position(call, kind, conditions, values)
    order = "ASC" if before else "DESC"
    sql = f"SELECT body FROM {table_name(kind)} WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?"
    bodies = [row[0] for row in call.db.execute(sql, (*values, limit + 1))]
    found = bodies[:limit]
    return (found[::-1] if before else found), len(bodies) > limit


def narrow_by_position(call: Call, kind: str, conditions: list[str], values: list[Any]) -> None:
    """Add a range of row numbers for a range of `created`, so that only those rows are read.

    This needs rows in the order of creation; see Database.note_creation_order.
    """
    created = call.params.get("created")
    if not isinstance(created, dict) or call.db.setting(f"unordered {kind}"):
        return
    if low := created.get("gte", created.get("gt", created.get("is"))):
        row = first_of(call, kind, "created >= ? ORDER BY created, seq", low)
        conditions.append("seq >= ?")
        values.append(row if row is not None else NO_SUCH_ROW_ABOVE)
    high = created.get("lte", created.get("lt", created.get("is")))
    if high is not None:
        row = first_of(call, kind, "created <= ? ORDER BY created DESC, seq DESC", high)
        conditions.append("seq <= ?")
        values.append(row if row is not None else NO_SUCH_ROW_BELOW)


def first_of(call: Call, kind: str, condition: str, moment: int) -> int | None:
    row = call.db.execute(f"SELECT seq FROM {table_name(kind)} WHERE {condition} LIMIT 1", (moment,)).fetchone()
    return row[0] if row else None


def page_of_members(call: Call, kind: str, objects: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """A page of a list inside an object, such as an invoice's lines, in its own order."""
    after, before = cursors(call)
    limit, cursor = limit_of(call.params), after or before
    if not cursor:
        return objects[:limit], len(objects) > limit
    place = next((index for index, one in enumerate(objects) if one["id"] == cursor), None)
    if place is None:
        raise refusals.resource_missing_in_parameter(kind, cursor, "starting_after" if after else "ending_before")
    if after:
        return objects[place + 1 :][:limit], len(objects) - place - 1 > limit
    return objects[max(place - limit, 0) : place], place > limit
