"""Credit notes and refunds: two more kinds of the mirror.

Their tables are kept as those of the other kinds are (0010, 0020, 0023), before the first row is written. Nothing is
imported here: the next full run does that, or the nightly parts of one.
"""

import importlib

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

import invoices.models.fields
from invoices.models import change_triggers

TABLES = ("invoices_creditnote", "invoices_refund")
growth = importlib.import_module("invoices.migrations.0020_growth")
short = importlib.import_module("invoices.migrations.0023_short_columns_in_their_row")


def leave_out_like_twins(apps, schema_editor):
    """The second index that Django makes beside a key of text, for LIKE, which nothing asks for."""
    schema_editor.deferred_sql[:] = [each for each in schema_editor.deferred_sql if "_like" not in str(each)]


def set_storage(schema_editor, tables):
    """These tables have just been made, in the same transaction, so nothing else has to be undone."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        has_lz4 = growth.has_lz4(cursor)
    for table in tables:
        schema_editor.execute(
            f"ALTER TABLE {table} SET (fillfactor = 50, toast_tuple_target = 256, "
            "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)"
        )
        if has_lz4:
            schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN data SET COMPRESSION lz4")
        columns = short._short(schema_editor.connection, table)
        schema_editor.execute(
            f"ALTER TABLE ONLY {table} {', '.join(f'ALTER COLUMN {column} SET STORAGE MAIN' for column in columns)}"
        )


def set_storage_of_both(apps, schema_editor):
    set_storage(schema_editor, TABLES)


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0025_webhook_endpoints"),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("created", models.DateTimeField(blank=True, help_text="When Stripe created the object", null=True)),
                ("livemode", models.BooleanField(blank=True, null=True)),
                (
                    "data",
                    invoices.models.fields.ObjectField(
                        blank=True, help_text="The whole object as Stripe sent it, with all lines", null=True
                    ),
                ),
                (
                    "seen_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Stripe's clock: the beginning of the span in which the state was seen to be true",
                        null=True,
                    ),
                ),
                (
                    "seen_until",
                    models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
                ),
                (
                    "stored_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The database's clock after the row was locked; empty: nothing was stored yet",
                        null=True,
                    ),
                ),
                (
                    "provisional",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text=(
                            "The state came in another API version than ours. It is shown, but counts as no row for "
                            "the freshness rule until the object was refetched"
                        ),
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, help_text="When the mirror learned that it was deleted", null=True
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="credit_notes",
                        to="invoices.invoice",
                    ),
                ),
                ("customer", models.CharField(blank=True, max_length=255, null=True)),
                ("number", models.CharField(blank=True, max_length=255, null=True)),
                ("status", models.CharField(blank=True, max_length=32, null=True)),
                (
                    "type",
                    models.CharField(
                        blank=True,
                        help_text="Whether it credits what was not paid yet, what was, or both",
                        max_length=32,
                        null=True,
                    ),
                ),
                ("currency", models.CharField(blank=True, max_length=8, null=True)),
                ("amount", models.BigIntegerField(blank=True, help_text="Minor units, with tax", null=True)),
            ],
            options={
                "abstract": False,
                "base_manager_name": "rows",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("created"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="creditnote_newest",
                    ),
                    models.Index(
                        models.F("invoice_id"),
                        condition=models.Q(("invoice_id__isnull", False)),
                        name="creditnote_invoice",
                    ),
                    models.Index(
                        models.F("customer"),
                        condition=models.Q(("customer__isnull", False)),
                        name="creditnote_customer",
                    ),
                    models.Index(
                        models.F("number"), condition=models.Q(("number__isnull", False)), name="creditnote_number"
                    ),
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("rows", django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("created", models.DateTimeField(blank=True, help_text="When Stripe created the object", null=True)),
                ("livemode", models.BooleanField(blank=True, null=True)),
                (
                    "data",
                    invoices.models.fields.ObjectField(
                        blank=True, help_text="The whole object as Stripe sent it, with all lines", null=True
                    ),
                ),
                (
                    "seen_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Stripe's clock: the beginning of the span in which the state was seen to be true",
                        null=True,
                    ),
                ),
                (
                    "seen_until",
                    models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
                ),
                (
                    "stored_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The database's clock after the row was locked; empty: nothing was stored yet",
                        null=True,
                    ),
                ),
                (
                    "provisional",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text=(
                            "The state came in another API version than ours. It is shown, but counts as no row for "
                            "the freshness rule until the object was refetched"
                        ),
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, help_text="When the mirror learned that it was deleted", null=True
                    ),
                ),
                ("charge", models.CharField(blank=True, max_length=255, null=True)),
                ("payment_intent", models.CharField(blank=True, max_length=255, null=True)),
                ("customer", models.CharField(blank=True, max_length=255, null=True)),
                ("status", models.CharField(blank=True, max_length=32, null=True)),
                ("currency", models.CharField(blank=True, max_length=8, null=True)),
                ("amount", models.BigIntegerField(blank=True, help_text="Minor units", null=True)),
            ],
            options={
                "abstract": False,
                "base_manager_name": "rows",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("created"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="refund_newest",
                    ),
                    models.Index(
                        models.F("charge"), condition=models.Q(("charge__isnull", False)), name="refund_charge"
                    ),
                    models.Index(
                        models.F("payment_intent"),
                        condition=models.Q(("payment_intent__isnull", False)),
                        name="refund_intent",
                    ),
                    models.Index(
                        models.F("customer"), condition=models.Q(("customer__isnull", False)), name="refund_customer"
                    ),
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("rows", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunPython(leave_out_like_twins, migrations.RunPython.noop),
        migrations.RunPython(set_storage_of_both, migrations.RunPython.noop),
        migrations.RunPython(change_triggers.make, migrations.RunPython.noop),
    ]
