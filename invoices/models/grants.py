"""What the runtime role may do in PostgreSQL: web, worker and beat run as it, and it owns nothing.

The owner migrates. The runtime role reads and writes rows; of the journal it may insert rows, and update the columns
that the rules of its tables leave open. It may make no tables either, temporary ones included: a trigger would find a
temporary table before our own of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from invoices.models import partitions
from invoices.models.access import GivenPermission
from invoices.models.chain import JournalHead, UnchainedRow
from invoices.models.changes import Change, UnnumberedChange
from invoices.models.events import PendingEvent
from invoices.models.immutable import ImmutableModel
from invoices.models.reconciliation import ReconciliationRun

# Only `migrate` writes these.
READ_ONLY = frozenset({"django_migrations", "django_content_type", "auth_permission", GivenPermission._meta.db_table})
ONLY_GROWS = frozenset({Change._meta.db_table})  # of which no row is changed either
KEPT = frozenset({ReconciliationRun._meta.db_table, JournalHead._meta.db_table})  # of which no row is ever deleted
QUEUES = tuple(queue._meta.db_table for queue in (PendingEvent, UnchainedRow, UnnumberedChange))


def statements(role: str) -> list[str]:
    """The SQL that gives this role what it needs and takes all else away. It can be run any number of times."""
    quote = connection.ops.quote_name
    name = quote(role)
    schema, database = (quote(each) for each in _row("SELECT current_schema(), current_database()"))
    found = [
        f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC, {name}",
        f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {name}",
        f"GRANT CONNECT ON DATABASE {database} TO {name}",
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {name}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC, {name}",
    ]
    found += [f"GRANT {what} ON {quote(table)} TO {name}" for table, what in _of_tables()]
    if _row("SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relnamespace = current_schema()::regnamespace")[0]:
        found.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {name}")
    if _version() >= 170000:  # before, only the owner may vacuum a table, and autovacuum tends the queues
        found.append(f"GRANT MAINTAIN ON {', '.join(map(quote, QUEUES))} TO {name}")
    found.append(f"GRANT EXECUTE ON FUNCTION {partitions.FUNCTION}(date) TO {name}")
    return found


def _of_tables() -> Iterator[tuple[str, str]]:
    """Each table that Django knows, and what of it is granted. Rows of a partition are reached through their table."""
    there = set(connection.introspection.table_names())
    yield "django_migrations", "SELECT"
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        if table not in there or not model._meta.managed or model._meta.proxy:
            continue
        if table in READ_ONLY:
            yield table, "SELECT"
        elif issubclass(model, ImmutableModel):
            columns = sorted(updatable(model))
            yield table, "SELECT, INSERT" + (f", UPDATE ({', '.join(map(_quoted, columns))})" if columns else "")
        elif table in ONLY_GROWS:
            yield table, "SELECT, INSERT"
        elif table in KEPT:
            yield table, "SELECT, INSERT, UPDATE"
        else:
            yield table, "SELECT, INSERT, UPDATE, DELETE"


def updatable(model: type[ImmutableModel]) -> set[str]:
    """The columns of the journal's table that may change at some time, by erasure too."""
    rules = model.rules
    return set(rules.working | rules.changing | rules.once | rules.decision | rules.texts | rules.documents)


def apply(role: str) -> None:
    """Runs the statements, all or none. Raises DatabaseError where this connection's role is not the owner."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements(role):
            cursor.execute(statement)


def granted() -> list[str]:
    """The roles that were given what they need: each may run the function, which is nobody's otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT role.rolname FROM pg_proc function, aclexplode(function.proacl) entry "
            "JOIN pg_roles role ON role.oid = entry.grantee WHERE function.proname = %s "
            "AND function.pronamespace = current_schema()::regnamespace AND entry.grantee <> function.proowner",
            [partitions.FUNCTION],
        )
        return [name for (name,) in cursor.fetchall()]


def apply_again(plan: Sequence[tuple[Any, bool]] = (), **kwargs: Any) -> None:
    """After `migrate`: what the new tables need is granted to the roles that had what the old ones needed. Not after a
    migration backwards: the tables are then those of an older version, which knows what it needs."""
    if connection.vendor == "postgresql" and not any(backwards for _, backwards in plan):
        for role in granted():
            apply(role)


def exists(role: str) -> bool:
    return _row("SELECT count(*) FROM pg_roles WHERE rolname = %s", role)[0] == 1


def runs_as(role: str) -> bool:
    """Whether this connection is that role's."""
    return bool(_row("SELECT current_user = %s", role)[0])


def is_owner() -> bool:
    """Whether this connection may change the tables, so that a command can say early that it needs the owner's role.
    On SQLite everyone may."""
    owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::regclass"
    return connection.vendor != "postgresql" or bool(_row(owned, partitions.EVENTS)[0])


def may_vacuum_queues() -> bool:
    return is_owner() or _version() >= 170000


def excess(role: str) -> list[str]:
    """What this role may do beyond what the desk needs, a sentence each; nothing where all is well."""
    attributes = _row(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
        role,
    )
    names = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")
    held = [name for name, has in zip(names, attributes, strict=True) if has]
    found = [f"it has {name}: ALTER ROLE … NO{name}" for name in held]
    if "SUPERUSER" in held:
        return found  # for whom every further question is answered with yes
    for (other,) in _rows(
        "SELECT rolname FROM pg_roles WHERE rolname <> %s AND pg_has_role(%s, oid, 'MEMBER') ORDER BY 1", role, role
    ):
        found.append(f"it is a member of {other}: REVOKE {other} FROM …")
    for what, level, ours in (
        ("CREATE", "database", "current_database()"),
        ("TEMPORARY", "database", "current_database()"),
        ("CREATE", "schema", "current_schema()"),
    ):
        if _row(f"SELECT has_{level}_privilege(%s, {ours}, %s)", role, what)[0]:
            found.append(f"it has {what} on the {level}: its owner must revoke it, from PUBLIC too")
    for table, what in _rows(
        "SELECT class.relname, what FROM pg_class class, unnest(ARRAY['TRUNCATE', 'TRIGGER', 'REFERENCES']) what "
        "WHERE class.relkind IN ('r', 'p') AND class.relnamespace = current_schema()::regnamespace "
        "AND has_table_privilege(%s, class.oid, what) ORDER BY 1, 2",
        role,
    ):
        found.append(f"it has {what} on {table}")
    for (thing,) in _rows(
        "SELECT relname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner "
        "WHERE relnamespace = current_schema()::regnamespace AND rolname = %s ORDER BY 1",
        role,
    ):
        found.append(f"it owns {thing}")
    if _version() >= 150000 and _row("SELECT has_parameter_privilege(%s, 'session_replication_role', 'SET')", role)[0]:
        found.append("it may set session_replication_role, which switches the triggers off")
    return found


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _version() -> int:
    return int(_row("SHOW server_version_num")[0])


def _row(question: str, *params: Any) -> tuple[Any, ...]:
    return _rows(question, *params)[0]


def _rows(question: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(question, params or None)
        return cursor.fetchall()
