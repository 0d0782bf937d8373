"""Each index answers a question that is asked, and each list's filter has its index.

What goes: single columns with which another index begins; and the second index that Django makes on PostgreSQL beside
that of every text column, for LIKE. Only searches by the beginning of a text need one, and name it themselves.

On PostgreSQL the mirror's tables keep half of every page free, and large objects beside the row. So a write that
changes no indexed column stays on its page, writes no index, and does not write the object again. This applies to what
is written from now on; `VACUUM FULL` would apply it to all.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers

MIRRORED = ("invoices_customer", "invoices_invoice", "invoices_invoicepayment", "invoices_paymentintent")


def remove_triggers(apps, schema_editor):
    """On SQLite a table whose column is altered is made anew, and would lose its triggers."""
    triggers.remove(apps, schema_editor)


def make_triggers(apps, schema_editor):
    triggers.make(apps, schema_editor)


def drop_like_twins(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() "
            "AND tablename LIKE 'invoices\\_%%' AND indexname LIKE '%%\\_like'"
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


def set_storage(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in MIRRORED:
            schema_editor.execute(
                f"ALTER TABLE {table} SET (fillfactor = 50, toast_tuple_target = 256, "
                "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)"
            )


def reset_storage(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in MIRRORED:
            schema_editor.execute(
                f"ALTER TABLE {table} RESET (fillfactor, toast_tuple_target, "
                "autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor)"
            )


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0009_the_mirrors_account"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(remove_triggers, make_triggers),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_newest",
        ),
        migrations.RemoveIndex(
            model_name="invoice",
            name="invoice_open_due",
        ),
        migrations.RemoveIndex(
            model_name="operation",
            name="operation_invoice",
        ),
        migrations.RemoveIndex(
            model_name="operation",
            name="operation_newest",
        ),
        migrations.RemoveIndex(
            model_name="reconciliationrun",
            name="run_newest",
        ),
        migrations.AlterField(
            model_name="contradiction",
            name="operation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contradictions",
                to="invoices.operation",
            ),
        ),
        migrations.AlterField(
            model_name="customer",
            name="email",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.AlterField(
            model_name="customer",
            name="name",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.AlterField(
            model_name="drift",
            name="invoice",
            field=models.CharField(blank=True, help_text="The invoice that it belongs to", max_length=255),
        ),
        migrations.AlterField(
            model_name="drift",
            name="object_id",
            field=models.CharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="drift",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="drift",
                to="invoices.reconciliationrun",
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="invoices",
                to="invoices.customer",
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="customer_email",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="customer_name",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="number",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="subscription",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="invoicepayment",
            name="charge",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="invoicepayment",
            name="invoice",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="payments",
                to="invoices.invoice",
            ),
        ),
        migrations.AlterField(
            model_name="invoicepayment",
            name="payment_intent",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="invoicepayment",
            name="payment_record",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="operation",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="operations",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="paymentintent",
            name="customer",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="paymentintent",
            name="latest_charge",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="tokenrecord",
            name="token",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to=settings.KNOX_TOKEN_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="batch_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["email"], name="customer_email", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["name"], name="customer_name", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("run"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_run",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("invoice"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_invoice",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("object_id"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_object",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("kind"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("object_type"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_object_type",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.F("field"),
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="drift_field",
            ),
        ),
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(
                models.OrderBy(models.F("found_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("healed_at", None)),
                name="drift_left",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                models.F("received_at"),
                condition=models.Q(("state", "ignored")),
                name="event_ignored",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("currency"),
                models.OrderBy(models.F("created"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="invoice_currency_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("collection_method"),
                models.OrderBy(models.F("created"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="invoice_collection_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("due_date"), models.F("id"), condition=models.Q(("status", "open")), name="invoice_open_due"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("due_date"), condition=models.Q(("due_date__isnull", False)), name="invoice_due"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["number"], name="invoice_number", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                fields=["customer_name"], name="invoice_customer_name", opclasses=["varchar_pattern_ops"]
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("customer_email"),
                condition=models.Q(("customer_email__isnull", False)),
                name="invoice_customer_email",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                models.F("subscription"),
                condition=models.Q(("subscription__isnull", False)),
                name="invoice_subscription",
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.F("invoice_id"), condition=models.Q(("invoice_id__isnull", False)), name="invoicepayment_invoice"
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.F("payment_intent"),
                condition=models.Q(("payment_intent__isnull", False)),
                name="invoicepayment_intent",
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.F("payment_record"),
                condition=models.Q(("payment_record__isnull", False)),
                name="invoicepayment_record",
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.F("charge"), condition=models.Q(("charge__isnull", False)), name="invoicepayment_charge"
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.F("status"),
                models.OrderBy(models.F("created"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="invoicepayment_status_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="invoicepayment",
            index=models.Index(
                models.OrderBy(models.F("created"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("payment_type", "payment_record")),
                name="invoicepayment_records_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("invoice"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_invoice",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("state"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_state",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("action"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_action",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("source"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_source",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("actor"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="operation_actor",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("code"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("code", ""), _negated=True),
                name="operation_code",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                models.F("request_id"), condition=models.Q(("request_id", ""), _negated=True), name="operation_request"
            ),
        ),
        migrations.AddIndex(
            model_name="paymentintent",
            index=models.Index(
                models.F("customer"), condition=models.Q(("customer__isnull", False)), name="paymentintent_customer"
            ),
        ),
        migrations.AddIndex(
            model_name="paymentintent",
            index=models.Index(
                models.F("latest_charge"),
                condition=models.Q(("latest_charge__isnull", False)),
                name="paymentintent_charge",
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationrun",
            index=models.Index(
                models.OrderBy(models.F("started_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="run_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationrun",
            index=models.Index(
                models.F("kind"),
                models.OrderBy(models.F("started_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="run_kind_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationrun",
            index=models.Index(
                models.F("state"),
                models.OrderBy(models.F("started_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="run_state_newest",
            ),
        ),
        migrations.RunPython(make_triggers, remove_triggers),
        migrations.RunPython(drop_like_twins, migrations.RunPython.noop),
        migrations.RunPython(set_storage, reset_storage),
    ]
