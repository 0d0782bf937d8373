"""python -m tests.helpers.lint_migrations: whether old code still runs on the tables that a new migration leaves.

django-migration-linter reads the SQL of each migration. Those of released versions are not read: they cannot be changed
any more. What concerns a table that the same migration makes is left out, because no old code uses that table; the
linter itself does not know which tables are new.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

RELEASED = 14  # the number of the last migration of a released version
MIGRATIONS = Path(__file__).resolve().parent.parent.parent / "invoices" / "migrations"
MADE = re.compile(r'CREATE TABLE "(?!new__)(\w+)"')
ABOUT = re.compile(r'(?:CREATE TABLE|ALTER TABLE|INDEX "?\w+"? ON|COMMENT ON COLUMN) "(\w+)"')


def new() -> list[str]:
    return sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py") if int(path.stem[:4]) > RELEASED)


def problems() -> Iterator[str]:
    """What is wrong with the migrations that are not released yet, a sentence each."""
    from django.db import connection
    from django_migration_linter import MigrationLinter
    from django_migration_linter.sql_analyser import analyse_sql_statements, get_sql_analyser_class

    logging.getLogger("django_migration_linter").setLevel(logging.ERROR)
    linter = MigrationLinter(str(MIGRATIONS), include_apps=["invoices"], no_cache=True, no_output=True)
    # SQLite makes a changed table anew, with every NOT NULL that it had: only PostgreSQL's SQL shows which are new.
    left_out = ["NOT_NULL"] if connection.vendor == "sqlite" else []
    for name in new():
        concern = of_old_tables(linter.get_sql("invoices", name))
        errors, _, _ = analyse_sql_statements(get_sql_analyser_class(connection.vendor), concern, left_out)
        of_data, _, _ = linter.analyse_data_migration(linter.migration_loader.disk_migrations["invoices", name])
        yield from (f"{name}: {each.message}" for each in [*errors, *of_data])
        for statement in concern if connection.vendor == "postgresql" else []:
            # `ON ONLY` makes the whole of an index whose parts are made one by one, and reads no row.
            if re.match(r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)(?!.* ON ONLY )", statement):
                yield f"{name}: on a table in use an index is made concurrently, by a migration of its own: {statement}"


def of_old_tables(statements: list[str]) -> list[str]:
    """Those that concern no table which the same statements make."""
    made = {table for statement in statements for table in MADE.findall(statement)}
    return [each for each in statements if not ((about := ABOUT.search(each)) and about[1] in made)]


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    found = list(problems())
    for each in found:
        print(each, file=sys.stderr)
    print(f"{len(new())} migrations since {RELEASED:04}: {len(found)} problems.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
