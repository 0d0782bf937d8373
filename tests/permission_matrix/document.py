"""docs/permissions.md: its words are written by hand, its tables from the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.apps import apps

from invoices.operations import ACTIONS
from tests.permission_matrix.addresses import CONVERTER
from tests.permission_matrix.lists import LISTS
from tests.permission_matrix.matrix import PATHS, addresses, is_of_every_list, rows
from tests.permission_matrix.roles import EVERYBODY, NOBODY, PEOPLE, TOKENS, may
from tests.permission_matrix.rows import Row

FILE = Path(__file__).parent.parent.parent / "docs" / "permissions.md"
TABLE = re.compile(r"(<!-- (actions|lists|pages|endpoints) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
ROOMS = {"home": "Every member of the staff", "sign-in": "Signing in", "reports": "Reports"}
SAID = {"": "any of the staff", NOBODY: "nobody", EVERYBODY: "none, and no sign-in"}


def written(text: str) -> str:
    """This text with the tables as they must be."""
    tables = {"actions": _actions, "lists": _lists, "pages": _pages, "endpoints": _endpoints}
    return TABLE.sub(lambda found: "\n".join([found[1], *tables[found[2]](), found[3]]), text)


def _actions() -> Iterator[str]:
    of = {action.name: Row("", "", "", (action.codename,), scope=action.name) for action in ACTIONS.values()}
    roles = [role for role in TOKENS if role in PEOPLE or role == "Service"]
    yield from _table("action", roles, ((name, [row]) for name, row in of.items()))


def _lists() -> Iterator[str]:
    found = ((f"admin/invoices/{model}/", rows()[f"invoices_{model}_changelist"]) for model in LISTS)
    yield from _table("list", PEOPLE, found)


def _pages() -> Iterator[str]:
    rooms: dict[str, dict[str, list[Row]]] = {}
    for key, of_key in rows().items():
        for row in of_key:
            if not addresses()[key].is_of_api and not is_of_every_list(row):
                rooms.setdefault(row.room, {}).setdefault(_address(row), []).append(row)
    for room, of_room in rooms.items():
        yield f"### {_title(room)}\n"
        yield from _table("address", PEOPLE, of_room.items())


def _endpoints() -> Iterator[str]:
    found = [row for of_key in rows().values() for row in of_key if addresses()[row.key].is_of_api]
    yield from _table("request", TOKENS, ((f"{row.method} {_address(row)}", [row]) for row in found))


def _table(first: str, roles: Iterable[str], lines: Iterable[tuple[str, list[Row]]]) -> Iterator[str]:
    roles = list(roles)
    yield f"| {first} | permissions | {' | '.join(roles)} |\n| --- | --- |{' --- |' * len(roles)}"
    for name, of_line in lines:
        yield f"| `{name}` | {_needs(of_line)} | {' | '.join(_cell(role, of_line) for role in roles)} |"
    yield ""


def _cell(role: str, of_line: list[Row]) -> str:
    allowed = {row.method for row in of_line if may(role, row.needs, row.scope)}
    if allowed == {"GET"} and of_line[0].room != "api":
        return "reads"
    return "yes" if allowed else "–"


def _needs(of_line: list[Row]) -> str:
    """What is needed to read, and to send where that is more."""
    found: dict[str, str] = {}
    for row in of_line:
        needs = " ".join(row.needs)
        said = SAID.get(needs) or f"`{needs}`"
        found[row.method] = f"{said}, for `{row.scope}`" if row.scope and row.room == "api" else said
    if len(set(found.values())) == 1:
        return found.popitem()[1]
    return f"{found['GET']}; to send {found['POST']}"


def _address(row: Row) -> str:
    """With what decides in its place: `admin/invoices/invoice/<id>/do/pay/`."""
    if row.key in PATHS:
        return PATHS[row.key].removeprefix("/")
    text = CONVERTER.sub(lambda place: row.given.get(place[1], f"<{place[1]}>"), addresses()[row.key].text)
    return text.removeprefix("/").replace("<object_id>", "<id>") or "/"


def _title(room: str) -> str:
    if room in ROOMS:
        return ROOMS[room]
    app = "auth" if room in ("user", "group") else "invoices"
    name = str(apps.get_model(app, room)._meta.verbose_name_plural)
    return name[:1].upper() + name[1:]
