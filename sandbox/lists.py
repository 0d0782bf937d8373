"""Lists: newest first, cursors, and pages spliced from the stored text without reading it."""

import json
from typing import Any

from sandbox import refusals
from sandbox.call import Call
from sandbox.expand import expand_all
from sandbox.schema import KINDS, table
from sandbox.store import dumps

Where = list[tuple[Any, ...]]  # a condition and its values
COMPARED = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "is": "="}
BOTH_CURSORS = "Received both starting_after and ending_before parameters. Please pass in only one."


def limit_of(params: dict[str, Any]) -> int:
    return min(max(params.get("limit", 10), 1), 100)


def filters(call: Call, kind: str) -> Where:
    """Every parameter that names a column filters by it; ranges come as gt, gte, lt, lte."""
    where: Where = []
    for name in KINDS[kind]:
        value = call.params.get(name)
        if isinstance(value, dict):
            where += [(f"{name} {COMPARED[how]} ?", moment) for how, moment in value.items()]
        elif value is not None:
            where.append((f"{name} = ?", value))
    return where


def page(call: Call, kind: str, where: Where | None = None, url: str | None = None) -> str:
    bodies, has_more = walk(call, kind, filters(call, kind) if where is None else where)
    return envelope(call, bodies, has_more, url or call.path)


def envelope(call: Call, bodies: list[str], has_more: bool, url: str) -> str:
    wanted = call.params.get("expand")
    if wanted:
        obj = {"object": "list", "data": [json.loads(body) for body in bodies], "has_more": has_more, "url": url}
        return dumps(expand_all(call, obj, wanted))
    more = "true" if has_more else "false"
    return f'{{"object":"list","data":[{",".join(bodies)}],"has_more":{more},"url":{dumps(url)}}}'


def cursors(call: Call) -> tuple[str | None, str | None]:
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise refusals.invalid(BOTH_CURSORS)
    return after, before


def walk(call: Call, kind: str, where: Where) -> tuple[list[str], bool]:
    after, before = cursors(call)
    conditions = ["deleted = 0", *(one[0] for one in where)]
    values = [value for one in where for value in one[1:]]
    name = "starting_after" if after else "ending_before"
    cursor = after or before
    if cursor:
        seq = call.db.seq(kind, cursor)
        if seq is None:
            raise refusals.missing_param(kind, cursor, name)
        conditions.append("seq < ?" if after else "seq > ?")
        values.append(seq)
    limit = limit_of(call.params)
    narrow(call, kind, conditions, values)
    order = "ASC" if before else "DESC"
    sql = f"SELECT body FROM {table(kind)} WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?"
    bodies = [row[0] for row in call.db.execute(sql, (*values, limit + 1))]
    found = bodies[:limit]
    return (found[::-1] if before else found), len(bodies) > limit


def narrow(call: Call, kind: str, conditions: list[str], values: list[Any]) -> None:
    """Where creation and order agree, a range of the one is a range of the other: no walk over what lies between."""
    created = call.params.get("created")
    if not isinstance(created, dict) or call.db.meta(f"unordered {kind}"):
        return
    if low := created.get("gte", created.get("gt", created.get("is"))):
        row = first_of(call, kind, "created >= ? ORDER BY created, seq", low)
        conditions.append("seq >= ?")
        values.append(row if row is not None else 1 << 62)
    high = created.get("lte", created.get("lt", created.get("is")))
    if high is not None:
        row = first_of(call, kind, "created <= ? ORDER BY created DESC, seq DESC", high)
        conditions.append("seq <= ?")
        values.append(row if row is not None else -1)


def first_of(call: Call, kind: str, condition: str, moment: int) -> int | None:
    row = call.db.execute(f"SELECT seq FROM {table(kind)} WHERE {condition} LIMIT 1", (moment,)).fetchone()
    return row[0] if row else None


def slice_of(call: Call, kind: str, objects: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The same walk over a list that an object holds inside, which runs in its own order."""
    after, before = cursors(call)
    limit, cursor = limit_of(call.params), after or before
    if not cursor:
        return objects[:limit], len(objects) > limit
    place = next((index for index, one in enumerate(objects) if one["id"] == cursor), None)
    if place is None:
        raise refusals.missing_param(kind, cursor, "starting_after" if after else "ending_before")
    if after:
        return objects[place + 1 :][:limit], len(objects) - place - 1 > limit
    return objects[max(place - limit, 0) : place], place > limit
