"""What makes the mirror searchable by a part of a text, a word of a name, and metadata: lookups and their indexes.

PostgreSQL finds a part of a text by its windows of three characters (`invoices_windows`), which one index for each
table holds. It needs no extension. SQLite has no such index: there the rows are looked through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import CharField, Lookup, TextField

from invoices.models.reading import member, one_line, storable

WINDOW = 3  # characters
# What divides the words of a name. A closed list, so that each database and Python divide alike.
SEPARATORS = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a0\u2013\u2014\u2019"
_TO_SPACES = str.maketrans(SEPARATORS, " " * len(SEPARATORS))

MAX_TEXT_LENGTH = 512  # characters of a column that is stored in small letters
MAX_LINE_LENGTH = 600  # characters; above Stripe's 40 for a key and 500 for a value, below what an index entry can hold
BETWEEN = "\x1f"  # stands in no key and no value: `one_line` replaces it


def folded(value: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """As texts are stored in small letters: one line of at most so many characters."""
    return one_line(storable(value, limit)).lower()


def windows(value: str, *, whole: bool) -> list[str]:
    """The windows that a text in small letters has if it contains this one; `whole`: if it contains it as one or more
    whole words."""
    spaced = value.translate(_TO_SPACES)
    padded = f" {spaced} " if whole else spaced
    return sorted({padded[place : place + WINDOW] for place in range(len(padded) - WINDOW + 1)})


def metadata_line(key: str, value: str | None = None) -> str:
    """The line of a column of metadata that says that there is this key, or that it has this value."""
    line = folded(key) if value is None else f"{folded(key)}{BETWEEN}{folded(value, MAX_LINE_LENGTH)}"
    return line[:MAX_LINE_LENGTH]


def metadata_lines(data: Any) -> str | None:
    """An object's metadata as a column: for each pair a line with the key, and a line with key and value."""
    pairs = member(data, "metadata")
    if not isinstance(pairs, dict):
        return None
    lines = {
        line
        for key, value in pairs.items()
        if isinstance(key, str) and isinstance(value, str)
        for line in (metadata_line(key), metadata_line(key, value))
    }
    return "\n".join(sorted(lines)) or None


@CharField.register_lookup
class HasWindows(Lookup):
    """On PostgreSQL, where the index of windows is: whether a text has all of these. What has them need not contain the
    text that was sought, so another condition must compare it."""

    lookup_name = "has_windows"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        return f"invoices_windows({column}) @> %s::text[]", [*parameters, self.rhs]


@TextField.register_lookup
class HasLine(Lookup):
    """Whether this is one of a text's lines."""

    lookup_name = "has_line"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        return f"string_to_array({column}, E'\\n') @> ARRAY[%s]::text[]", [*parameters, self.rhs]

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        return f"instr(char(10) || {column} || char(10), %s) > 0", [*parameters, f"\n{self.rhs}\n"]


# --- for migrations: PostgreSQL alone ---------------------------------------------------------------------------------

INDEXES = {  # name → table, and what it holds
    "customer_search": (
        "invoices_customer",
        "invoices_windows(name), invoices_windows(email), invoices_windows(phone), string_to_array(metadata, E'\\n')",
    ),
    "invoice_search": (
        "invoices_invoice",
        "invoices_windows(customer_name), invoices_windows(customer_email), invoices_windows(number), "
        "invoices_windows(receipt_number), string_to_array(metadata, E'\\n')",
    ),
    "invoice_subscription_search": ("invoices_invoice", "invoices_windows(subscription)"),
}
FIRST_INDEXES = ("customer_search", "invoice_search")  # of migration 0028
# Entries that a write leaves to be sorted in later, in kB: one writer in some hundred sorts them in, and each search
# looks through them.
PENDING_LIST_KB = 2048


def make_function(apps: Any, schema_editor: Any) -> None:
    """A text's windows of three characters. An index keeps what it gave, so it must never change."""
    if schema_editor.connection.vendor != "postgresql":
        return
    spaced = f"translate(lower(value), {_literal(SEPARATORS)}, repeat(' ', {len(SEPARATORS)}))"
    statement = f"""
        CREATE OR REPLACE FUNCTION invoices_windows(value text) RETURNS text[]
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
        DECLARE
            padded text := ' ' || {spaced} || ' ';
            found text[] := '{{}}';
        BEGIN
            FOR place IN 1 .. length(padded) - {WINDOW - 1} LOOP
                found := found || substr(padded, place, {WINDOW});
            END LOOP;
            RETURN found;
        END $function$
    """
    schema_editor.execute(statement, params=None)  # so that the percent sign is none of a parameter


def drop_function(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION IF EXISTS invoices_windows(text)")


def make_indexes(apps: Any, schema_editor: Any, names: Iterable[str] = FIRST_INDEXES) -> None:
    """Without locking writers out, so outside a transaction. What an interruption left invalid is made anew."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for name in names:
        table, content = INDEXES[name]
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        schema_editor.execute(
            f"CREATE INDEX CONCURRENTLY {name} ON {table} USING gin ({content}) "
            f"WITH (gin_pending_list_limit = {PENDING_LIST_KB})"
        )


def drop_indexes(apps: Any, schema_editor: Any, names: Iterable[str] = FIRST_INDEXES) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for name in names:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
