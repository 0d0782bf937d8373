"""Keeps the short columns in their row, on PostgreSQL, where `toast_tuple_target` is low so that the large text leaves it.

PostgreSQL moves the longest columns out of a row until the row is as small as that. After the document, ids and names
went too, and every comparison of an id then read another table: a look through 2,000 invoices took 0.6 seconds. `MAIN`
moves a column only where the row would not fit on its page otherwise.

No table is rewritten: it applies to what is written from now on. Each statement is a transaction of its own, so that no
two tables are locked at the same time; what was interrupted can be repeated.
"""

from django.db import migrations

from invoices.models import partitions

TABLES = (
    "invoices_customer",
    "invoices_invoice",
    "invoices_invoicepayment",
    "invoices_paymentintent",
    "invoices_reconciliationrun",
    "invoices_event",
)


def keep_inside(apps, schema_editor):
    _each_table(schema_editor, "MAIN")


def let_out(apps, schema_editor):
    _each_table(schema_editor, "EXTENDED")


def _each_table(schema_editor, storage):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    for parent in TABLES:
        for table in (parent, *partitions.of(connection, parent)):
            columns = ", ".join(f"ALTER COLUMN {column} SET STORAGE {storage}" for column in _short(connection, table))
            schema_editor.execute(f"ALTER TABLE ONLY {table} {columns}")


def _short(connection, table):
    """The columns with a greatest length."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped AND atttypid = 'varchar'::regtype ORDER BY attnum",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("invoices", "0022_sightings"),
    ]

    operations = [
        migrations.RunPython(partitions.make_function, migrations.RunPython.noop),  # for the months to come, first
        migrations.RunPython(keep_inside, let_out),
    ]
