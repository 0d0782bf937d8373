"""The triggers that refuse to plain SQL what the journal's rules refuse, and queue for the chain what is new.

They are made from `Rules` by migrations. A migration that changes a guarded table or its rules begins with `remove` and
ends with `make`: SQLite makes a changed table anew, without its triggers, and refuses to while others name it.
tests/test_immutable.py compares the triggers of the database with those that follow from the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps as django_apps
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from invoices.models import partitions
from invoices.models.chain import CHAINED, JournalLink
from invoices.models.erasures import ErasedRow
from invoices.models.events import Event, PendingEvent
from invoices.models.immutable import ImmutableModel, Rules, names_people
from invoices.models.personal import REDACTED

GUARDED: dict[str, type[ImmutableModel]] = {**CHAINED, "link": JournalLink}
PREFIX = "journal_"  # of every trigger's and function's name here


def make(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Makes the triggers anew, for the tables as `apps` has them. For migrations."""
    remove(apps, schema_editor)
    for statement in [*statements(apps, schema_editor), *_of_partitions(schema_editor.connection)]:
        schema_editor.execute(statement, params=None)


def remove(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Removes them all. For migrations, and for tests that stand for a hostile owner of the database."""
    of = schema_editor.connection
    with of.cursor() as cursor:
        if of.vendor == "postgresql":
            cursor.execute(
                "SELECT DISTINCT trigger.tgname, trigger.tgrelid::regclass::text FROM pg_trigger trigger "
                f"WHERE NOT trigger.tgisinternal AND trigger.tgparentid = 0 AND trigger.tgname LIKE '{PREFIX}%%'"
            )
            for name, table in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name} ON {table}")
        else:
            cursor.execute(f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '{PREFIX}%%'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name}")


def missing() -> list[str]:
    """The names of the triggers that this database lacks, or has switched off, elsewhere or in another form."""
    schema_editor: Any = connection.schema_editor(collect_sql=True)
    dialect: Any = Postgresql if connection.vendor == "postgresql" else Sqlite
    made = list(statements(django_apps, schema_editor))
    bodies = {found[1]: found[2] for each in made if (found := FUNCTION.match(each))}
    # Each partition has a copy of the triggers of its table, under the same names.
    made += [
        statement.replace(f" ON {table} ", f" ON {partition} ")
        for table in partitions.TABLES
        for partition in partitions.of(connection, table)
        for statement in made
        if f" ON {table} FOR EACH ROW " in statement
    ]
    made += _of_partitions(connection)
    expected = [(found[1], each, bodies.get(found[2], "")) for each in made if (found := TRIGGER.match(each))]
    with connection.cursor() as cursor:
        cursor.execute(dialect.PRESENT)
        present = set(cursor.fetchall())
    return sorted({each[0] for each in expected if each not in present})


def _of_partitions(of: Any) -> list[str]:
    """The statements that make what partitions do not inherit."""
    return [
        Postgresql.guard_partition(table, partition)
        for table in partitions.TABLES
        for partition in partitions.of(of, table)
    ]


@contextmanager
def lifted(model: type[ImmutableModel]) -> Iterator[None]:
    """In a transaction of its own, rows of this table may be deleted. Others that write to it wait for its end."""
    name, table = f"{PREFIX}{model._meta.db_table}_removal", model._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
            yield
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}")
        else:
            cursor.execute(f"DROP TRIGGER {name}")
            yield
            editor: Any = connection.schema_editor(collect_sql=True)
            for statement in statements(django_apps, editor):
                if statement.startswith(f"CREATE TRIGGER {name} "):
                    cursor.execute(statement)


FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION (\w+)\(\) .*?\$\$(.*)\$\$", re.DOTALL)
TRIGGER = re.compile(r"CREATE TRIGGER (\w+) (?:.* EXECUTE FUNCTION (\w+))?", re.DOTALL)


def statements(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> Iterator[str]:
    """The statements that make the triggers."""
    dialect: Any = Postgresql if schema_editor.connection.vendor == "postgresql" else Sqlite
    for kind, guarded in GUARDED.items():
        if not _is_there(apps, guarded):
            continue
        model = apps.get_model("invoices", guarded.__name__)
        erases = _erases(apps, model, kind, guarded.rules, dialect)
        yield from dialect.guard(model, guarded.rules, schema_editor, erases)
        if kind in CHAINED:
            yield from dialect.queue(model, kind, guarded.rules)
    if _is_there(apps, PendingEvent):
        yield from dialect.queue_pending(Event._meta.db_table, PendingEvent._meta.db_table)
    yield from dialect.guard_people(get_user_model(), _is_named(apps))


def _is_there(apps: Any, model: type[models.Model]) -> bool:
    """Whether a migration has made this table: those before it make the triggers of fewer tables."""
    return model.__name__.lower() in apps.all_models["invoices"]


def _erases(apps: Any, model: Any, kind: str, rules: Rules, dialect: Any) -> str:
    """Whether an update is the rewriting of an erasure: only the personal columns change, texts become the placeholder,
    and an `ErasedRow` for this row waits for it. Empty where nothing of the table can be erased."""
    if not _is_there(apps, ErasedRow) or not (rules.texts | rules.documents):
        return ""
    record = apps.get_model("invoices", ErasedRow.__name__)
    columns = {column.attname for column in model._meta.concrete_fields}
    others = sorted(columns - rules.texts - rules.documents)
    only_removed = "".join(
        f" AND (NOT {dialect.differ([text])} OR NEW.{text} = '{REDACTED}')" for text in sorted(rules.texts)
    )
    return (
        f"NOT {dialect.differ(others)}{only_removed} AND EXISTS (SELECT 1 FROM {record._meta.db_table} erased "
        f"WHERE erased.kind = '{kind}' AND erased.\"row\" = CAST(OLD.{model._meta.pk.column} AS text) "
        "AND erased.rewritten_at IS NULL)"
    )


def _refusals(model: Any, rules: Rules, dialect: Any) -> list[tuple[str, str]]:
    """(condition over OLD and NEW, what is said of the row) of every refused update."""
    differ = dialect.differ
    refusals = []
    if rules.final:
        refusals.append((f"OLD.state IN ({_texts(rules.final)})", "is final"))
    if rules.ended_at:
        refusals.append((f"OLD.{rules.ended_at} IS NOT NULL AND {differ(rules.evidence(model))}", "has ended"))
    refusals.append((differ(rules.never(model)), "never changes what it was written with"))
    reopened = ""
    if rules.reopened:
        column, before, after = rules.reopened
        reopened = f" AND NOT (OLD.{column} = {_literal(before)} AND NEW.{column} = {_literal(after)})"
    there = {column.attname for column in model._meta.concrete_fields}  # a later migration may add one of them
    for column in sorted((rules.once | rules.decision) & there):
        is_set = f"OLD.{column} IS NOT NULL AND CAST(OLD.{column} AS text) <> ''"
        exception = reopened if column in rules.decision else ""
        refusals.append((f"{is_set} AND {differ([column])}{exception}", f"has its {column} already"))
    if rules.moves:
        legal = " OR ".join(
            f"OLD.state = {_literal(before)} AND NEW.state IN ({_texts(sorted(after))})"
            for before, after in sorted(rules.moves.items())
        )
        refusals.append((f"NEW.state <> OLD.state AND NOT ({legal})", "does not go from this state to that one"))
    return refusals + [
        ((forbidden.sqlite if dialect is Sqlite else "") or forbidden.sql, forbidden.message)
        for forbidden in rules.forbidden
    ]


def _of_evidence(model: Any, rules: Rules) -> str:
    """The columns whose change is evidence, as ` OF a, b`; empty where all are.

    A statement that does not set a column cannot change it. A trigger that fires all the same compares the row before
    and after, and reads and decompresses what is large: of an event marked as done, twice its body.
    """
    return f" OF {', '.join(rules.evidence(model))}" if rules.working else ""


def _literal(value: Any) -> str:
    return str(value).upper() if isinstance(value, bool) else f"'{value}'"


def _texts(values: Any) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _is_named(apps: Any) -> str:
    """Whether a row of the journal names the user OLD."""
    places = []
    for chained in CHAINED.values():
        if not _is_there(apps, chained):
            continue
        table = chained._meta.db_table
        places += [f"EXISTS (SELECT 1 FROM {table} WHERE {who.column} = OLD.id)" for who in names_people(chained)]
    return " OR ".join(places)


class Postgresql:
    """The triggers as PostgreSQL spells them. TRUNCATE is refused as well."""

    # Name, statement and function's body of the triggers that fire. A role or a database can be set so that none does.
    PRESENT = """
        SELECT trigger.tgname, pg_get_triggerdef(trigger.oid, true), function.prosrc
        FROM pg_trigger trigger JOIN pg_proc function ON function.oid = trigger.tgfoid
        WHERE trigger.tgenabled IN ('O', 'A') AND pg_table_is_visible(trigger.tgrelid) AND function.proconfig IS NULL
        AND (trigger.tgenabled = 'A' OR current_setting('session_replication_role') <> 'replica')
    """

    @staticmethod
    def differ(columns: list[str]) -> str:
        return "(" + " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns) + ")"

    @classmethod
    def guard(cls, model: Any, rules: Rules, schema_editor: Any, erases: str) -> Iterator[str]:
        table, name = model._meta.db_table, model._meta.verbose_name
        checks = [
            cls._raise(when, f"This {name} %s: the journal is not rewritten.", says, erases)
            for when, says in _refusals(model, rules, cls)
        ]
        yield cls._function(f"{table}_update", "".join(checks))
        yield cls._function(
            f"{table}_removal",
            f"RAISE EXCEPTION 'The journal keeps every {name}: none is deleted.' USING ERRCODE = 'restrict_violation';",
        )
        # These refuse also what changes no evidence.
        of = "" if rules.final or rules.moves or rules.forbidden else _of_evidence(model, rules)
        yield cls._trigger(f"{table}_update", f"BEFORE UPDATE{of}", table, "ROW")
        yield cls._trigger(f"{table}_removal", "BEFORE DELETE", table, "ROW")
        yield cls._trigger(f"{table}_emptying", "BEFORE TRUNCATE", table, "STATEMENT", function=f"{table}_removal")

    @classmethod
    def queue(cls, model: Any, kind: str, rules: Rules) -> Iterator[str]:
        table, key, evidence = model._meta.db_table, model._meta.pk.column, rules.evidence(model)
        yield cls._function(
            f"{table}_queue",
            f"IF TG_OP = 'UPDATE' THEN IF NOT {cls.differ(evidence)} THEN RETURN NULL; END IF; END IF; "
            f"INSERT INTO invoices_unchainedrow (kind, \"row\") VALUES ('{kind}', NEW.{key}::text);",
        )
        yield cls._trigger(f"{table}_queue", f"AFTER INSERT OR UPDATE{_of_evidence(model, rules)}", table, "ROW")

    @classmethod
    def guard_partition(cls, table: str, partition: str) -> str:
        """TRUNCATE of a partition alone. Its triggers for rows are those of its table."""
        return cls._trigger(f"{table}_emptying", "BEFORE TRUNCATE", partition, "STATEMENT", f"{table}_removal")

    @classmethod
    def queue_pending(cls, event: str, pending: str) -> Iterator[str]:
        yield cls._function(
            f"{event}_pending",
            f"IF NEW.state = 'pending' THEN INSERT INTO {pending} (event, created, received_at, next_attempt_at) "
            "VALUES (NEW.id, NEW.created, NEW.received_at, NEW.next_attempt_at) "
            "ON CONFLICT (event) DO UPDATE SET next_attempt_at = EXCLUDED.next_attempt_at; "
            f"ELSIF TG_OP = 'UPDATE' THEN DELETE FROM {pending} WHERE event = NEW.id; END IF;",
        )
        yield cls._trigger(f"{event}_pending", "AFTER INSERT OR UPDATE", event, "ROW")

    @classmethod
    def guard_people(cls, user: Any, is_named: str) -> Iterator[str]:
        table, name = user._meta.db_table, user.USERNAME_FIELD
        renamed = f"(OLD.id <> NEW.id OR OLD.{name} <> NEW.{name}) AND ({is_named})"
        yield cls._function(f"{table}_update", cls._raise(renamed, NAMED, ""))
        yield cls._trigger(f"{table}_update", f"BEFORE UPDATE OF id, {name}", table, "ROW")

    @staticmethod
    def _raise(when: str, message: str, says: str, unless: str = "") -> str:
        said = message.replace("%s", says).replace("'", "''")
        refuse = f"RAISE EXCEPTION '{said}' USING ERRCODE = 'restrict_violation';"
        if unless:
            refuse = f"IF NOT ({unless}) THEN {refuse} END IF;"
        return f"IF {when} THEN {refuse} END IF; "

    @staticmethod
    def _function(name: str, body: str) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION {PREFIX}{name}() RETURNS trigger AS $$ BEGIN {body} RETURN NEW; END $$ "
            "LANGUAGE plpgsql"
        )

    @staticmethod
    def _trigger(name: str, when: str, table: str, each: str, function: str = "") -> str:
        does = f"EXECUTE FUNCTION {PREFIX}{function or name}()"
        return f"CREATE TRIGGER {PREFIX}{name} {when} ON {table} FOR EACH {each} {does}"


class Sqlite:
    """The triggers as SQLite spells them.

    `INSERT OR REPLACE` and `UPDATE OR REPLACE` delete the rows that stand in the way, and no trigger of deletion sees
    it. So a write that would meet another row in a unique column is refused before. SQLite's own number of a row, its
    `rowid`, is such a column too. Where an insertion does not name one, it is -1 when the trigger looks.
    """

    PRESENT = "SELECT name, sql, '' FROM sqlite_master WHERE type = 'trigger'"

    @staticmethod
    def differ(columns: list[str]) -> str:
        return "(" + " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns) + ")"

    @classmethod
    def guard(cls, model: Any, rules: Rules, schema_editor: Any, erases: str) -> Iterator[str]:
        table, name, key = model._meta.db_table, model._meta.verbose_name, model._meta.pk.column
        displaced = f"Another {name} has this already: UNIQUE constraint failed."
        same_key = f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key} OR (rowid = NEW.rowid AND rowid <> -1))"
        renumbered = ("OLD.rowid <> NEW.rowid", f"This {name} never changes its place: the journal is not rewritten.")
        unique = [each for each in model._meta.constraints if isinstance(each, models.UniqueConstraint)]
        others = [
            (cls._meets_another(model, each, schema_editor), "" if each.name in rules.left_out else displaced)
            for each in unique
        ]
        checks = [
            (f"({when}) AND NOT ({erases})" if erases else when, f"This {name} {says}: the journal is not rewritten.")
            for when, says in _refusals(model, rules, cls)
        ]
        yield cls._trigger(f"{table}_update", "BEFORE UPDATE", table, [renumbered, *checks, *others])
        yield cls._trigger(f"{table}_insert", "BEFORE INSERT", table, [(same_key, displaced), *others])
        yield cls._trigger(
            f"{table}_removal", "BEFORE DELETE", table, [("1", f"The journal keeps every {name}: none is deleted.")]
        )

    @staticmethod
    def _meets_another(model: Any, constraint: models.UniqueConstraint, schema_editor: Any) -> str:
        table, key = model._meta.db_table, model._meta.pk.column
        columns = [model._meta.get_field(name).column for name in constraint.fields]
        same = " AND ".join(f'"{column}" = NEW."{column}"' for column in columns)
        condition = constraint._get_condition_sql(model, schema_editor) or "1"  # type: ignore[attr-defined]
        of_new = re.sub(r'"(\w+)"', r'NEW."\1"', condition)
        other = f'{same} AND ({condition}) AND "{key}" <> NEW."{key}"'
        return f"({of_new}) AND EXISTS (SELECT 1 FROM {table} WHERE {other})"

    @classmethod
    def queue(cls, model: Any, kind: str, rules: Rules) -> Iterator[str]:
        table, key, evidence = model._meta.db_table, model._meta.pk.column, rules.evidence(model)
        queue = f"INSERT INTO invoices_unchainedrow (kind, \"row\") VALUES ('{kind}', CAST(NEW.{key} AS text));"
        yield f"CREATE TRIGGER {PREFIX}{table}_queue_new AFTER INSERT ON {table} BEGIN {queue} END"
        yield (
            f"CREATE TRIGGER {PREFIX}{table}_queue_changed AFTER UPDATE ON {table} WHEN {cls.differ(evidence)} "
            f"BEGIN {queue} END"
        )

    @classmethod
    def queue_pending(cls, event: str, pending: str) -> Iterator[str]:
        queue = (
            f"DELETE FROM {pending} WHERE event = NEW.id; "
            f"INSERT INTO {pending} (event, created, received_at, next_attempt_at) "
            "SELECT NEW.id, NEW.created, NEW.received_at, NEW.next_attempt_at WHERE NEW.state = 'pending';"
        )
        yield f"CREATE TRIGGER {PREFIX}{event}_pending_new AFTER INSERT ON {event} BEGIN {queue} END"
        yield f"CREATE TRIGGER {PREFIX}{event}_pending_changed AFTER UPDATE ON {event} BEGIN {queue} END"

    @classmethod
    def guard_people(cls, user: Any, is_named: str) -> Iterator[str]:
        """Also against deletion and replacement: foreign keys are checked only where a connection asks for it."""
        table, name = user._meta.db_table, user.USERNAME_FIELD
        renamed = f"(OLD.id <> NEW.id OR OLD.{name} <> NEW.{name}) AND ({is_named})"
        yield cls._trigger(f"{table}_update", f"BEFORE UPDATE OF id, {name}", table, [(renamed, NAMED)])
        yield cls._trigger(f"{table}_removal", "BEFORE DELETE", table, [(is_named, NAMED)])
        in_the_way = re.sub(r"\bOLD\.id\b", "other.id", is_named)
        replaced = (
            f"EXISTS (SELECT 1 FROM {table} other WHERE (other.id = NEW.id OR other.{name} = NEW.{name}) "
            f"AND ({in_the_way}))"
        )
        yield cls._trigger(f"{table}_insert", "BEFORE INSERT", table, [(replaced, NAMED)])
        renamed_over = (
            f"EXISTS (SELECT 1 FROM {table} other WHERE other.id <> OLD.id AND "
            f"(other.id = NEW.id OR other.{name} = NEW.{name}) AND ({in_the_way}))"
        )
        yield cls._trigger(f"{table}_over", f"BEFORE UPDATE OF id, {name}", table, [(renamed_over, NAMED)])

    @staticmethod
    def _trigger(name: str, when: str, table: str, checks: list[tuple[str, str]]) -> str:
        """Where the first condition that holds has no message, the row is left out without an error."""
        body = " ".join(
            "SELECT RAISE({}) WHERE {};".format(
                "ABORT, '{}'".format(message.replace("'", "''")) if message else "IGNORE", condition
            )
            for condition, message in checks
        )
        return f"CREATE TRIGGER {PREFIX}{name} {when} ON {table} BEGIN {body} END"


NAMED = "The journal names this user: neither the name nor the user can be taken away."
