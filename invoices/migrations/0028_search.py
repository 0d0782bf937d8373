"""Columns by which the mirror is searched. They are filled, and their indexes made, by the next two migrations."""

from django.db import migrations, models

from invoices.models import searchable

SHORT = {
    "invoices_customer": ("phone", "metadata"),
    "invoices_invoice": (
        "last_finalization_error_code",
        "last_finalization_error_type",
        "metadata",
        "receipt_number",
    ),
}


def keep_inside(apps, schema_editor):
    """As migration 0023 did with the columns of its time: what is compared stays in its row."""
    if schema_editor.connection.vendor == "postgresql":
        for table, names in SHORT.items():
            columns = ", ".join(f"ALTER COLUMN {name} SET STORAGE MAIN" for name in names)
            schema_editor.execute(f"ALTER TABLE ONLY {table} {columns}")


class Migration(migrations.Migration):
    dependencies = [("invoices", "0027_token_scopes")]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="metadata",
            field=models.TextField(blank=True, help_text="In lines, to be searched: see searchable.py", null=True),
        ),
        migrations.AddField(
            model_name="customer",
            name="phone",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="last_finalization_error_code",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="last_finalization_error_type",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="metadata",
            field=models.TextField(blank=True, help_text="In lines, to be searched: see searchable.py", null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="receipt_number",
            field=models.CharField(blank=True, help_text="In small letters", max_length=512, null=True),
        ),
        migrations.RunPython(keep_inside, migrations.RunPython.noop),
        migrations.RunPython(searchable.make_function, searchable.drop_function),
    ]
