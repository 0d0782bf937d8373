"""How PostgreSQL keeps what grows: large texts compressed by lz4, and autovacuum where rows are written again and again.
And the index by which a customer's operations are found.

No table is rewritten: all of this applies to what is written from now on. Each statement is a transaction of its own,
so that no two tables are locked at the same time; what was interrupted can be repeated.
"""

from django.db import migrations, models

from invoices.models import partitions

# Large texts. Beside PostgreSQL's own pglz, lz4 takes a fifth less time of an insert, and the bodies a fifth less room.
# A server that was built without lz4 keeps pglz.
COMPRESSED = (
    ("invoices_customer", "data"),
    ("invoices_invoice", "data"),
    ("invoices_invoicepayment", "data"),
    ("invoices_paymentintent", "data"),
    ("invoices_event", "body"),
    ("invoices_operation", "calls"),
    ("invoices_batch", "items"),
    ("invoices_reconciliationrun", "report"),
    ("invoices_drift", "ours"),
    ("invoices_drift", "theirs"),
)

QUEUE = {
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 50,
    "autovacuum_vacuum_cost_delay": 0,
}
STORAGE = {
    # A queue like those of 0018: each claim passes over the index entries of what was taken before.
    "invoices_scheduledrefetch": QUEUE,
    # An operation is written about six times: claimed, sent, answered. Each writing changes an indexed column (`state`,
    # `claimed_until`, `settle_at`), so room on the page would not spare the indexes; only vacuuming takes the old
    # entries out, which the search for unfinished operations passes over every few seconds. The default of a fifth would
    # wait for hundreds of thousands.
    "invoices_operation": {
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_analyze_scale_factor": 0.02,
    },
    # A running reconciliation writes its row again every few seconds, and a counted request its minute's. Neither
    # changes an indexed column: with room on the page no index is written.
    "invoices_reconciliationrun": {"fillfactor": 50, "toast_tuple_target": 256},
    "invoices_requestcount": {"fillfactor": 50},
    # Never written again. The planner learns of new links after two hundredths of the table, not after a tenth.
    "invoices_journallink": {"autovacuum_analyze_scale_factor": 0.02, "autovacuum_vacuum_insert_scale_factor": 0.05},
}


def has_lz4(cursor) -> bool:
    cursor.execute("SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    found = cursor.fetchone()
    return bool(found and found[0])


def compress(apps, schema_editor):
    _each_text(schema_editor, "lz4")


def decompress(apps, schema_editor):
    _each_text(schema_editor, "default")


def _each_text(schema_editor, method):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        if not has_lz4(cursor):
            return
    for table, column in COMPRESSED:
        for each in (table, *partitions.of(schema_editor.connection, table)):
            schema_editor.execute(f"ALTER TABLE {each} ALTER COLUMN {column} SET COMPRESSION {method}")


def store(apps, schema_editor):
    _each_table(schema_editor, "SET", lambda options: ", ".join(f"{name} = {options[name]}" for name in options))


def forget(apps, schema_editor):
    _each_table(schema_editor, "RESET", ", ".join)


def _each_table(schema_editor, verb, words):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, options in STORAGE.items():
        schema_editor.execute(f"ALTER TABLE {table} {verb} ({words(options)})")
    # A body stands beside its row, which stays small: what marks an event as done does not write the body again, and a
    # page of the list reads a tenth of the blocks. The function gives it to the months to come.
    for partition in partitions.of(schema_editor.connection, partitions.EVENTS):
        value = " = 256" if verb == "SET" else ""
        schema_editor.execute(f"ALTER TABLE {partition} {verb} (toast_tuple_target{value})")


class AddIndexInUse(migrations.AddIndex):
    """Makes the index while others write, on PostgreSQL. It is the last step: what is before it can be repeated."""

    atomic = False

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        schema_editor.add_index(model, self.index, concurrently=True)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("invoices", "0019_request_counts"),
    ]

    operations = [
        migrations.RunPython(compress, decompress),
        migrations.RunPython(store, forget),
        migrations.RunPython(partitions.make_function, migrations.RunPython.noop),
        AddIndexInUse(
            model_name="operation",
            index=models.Index(
                models.F("customer"), condition=models.Q(("customer", ""), _negated=True), name="operation_customer"
            ),
        ),
    ]
