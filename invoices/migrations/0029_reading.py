"""Indexes for the API's list of events: newest first, of all types and of one.

On PostgreSQL the events are divided by months. Each month gets its index without holding up who writes it, and then
becomes a part of the whole one. What was interrupted can be repeated.
"""

from django.db import migrations, models

from invoices.models import partitions

INDEXES = {"event_newest": "created DESC, id DESC", "event_type_newest": "type, created DESC, id DESC"}


def make(apps, schema_editor):
    run, connection = schema_editor.execute, schema_editor.connection
    for name, columns in INDEXES.items():
        if connection.vendor != "postgresql":
            run(f"CREATE INDEX IF NOT EXISTS {name} ON {partitions.EVENTS} ({columns})")
            continue
        run(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {partitions.EVENTS} ({columns})")
        for month in partitions.of(connection, partitions.EVENTS):
            if month in _with_part(connection, name):
                continue  # a month that was made meanwhile has one
            part = name + month.removeprefix(partitions.EVENTS)
            run(f"DROP INDEX CONCURRENTLY IF EXISTS {part}")  # one that was interrupted is not valid
            run(f"CREATE INDEX CONCURRENTLY {part} ON {month} ({columns})")
            run(f"ALTER INDEX {name} ATTACH PARTITION {part}")


def _with_part(connection, name):
    """The months whose index is a part of this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT month.relname FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid "
            "JOIN pg_class month ON month.oid = indrelid WHERE inhparent = %s::regclass",
            [name],
        )
        return {month for (month,) in cursor.fetchall()}


def drop(apps, schema_editor):
    for name in INDEXES:
        schema_editor.execute(f"DROP INDEX IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("invoices", "0028_indexes_of_search"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(make, drop)],
            state_operations=[
                migrations.AddIndex(
                    model_name="event",
                    index=models.Index(models.F("created").desc(), models.F("id").desc(), name="event_newest"),
                ),
                migrations.AddIndex(
                    model_name="event",
                    index=models.Index(
                        "type", models.F("created").desc(), models.F("id").desc(), name="event_type_newest"
                    ),
                ),
            ],
        ),
    ]
