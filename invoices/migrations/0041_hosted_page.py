"""Adds the column by which an invoice is found by an address of its page at Stripe. The next two migrations fill it, and
make its index."""

from django.db import migrations, models


def keep_inside(apps, schema_editor):
    """As migration 0023 did with the columns of its time: what is compared stays in its row."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE ONLY invoices_invoice ALTER COLUMN hosted_page SET STORAGE MAIN")


class Migration(migrations.Migration):
    dependencies = [("invoices", "0040_saved_views")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="hosted_page",
            field=models.CharField(
                blank=True,
                help_text="A digest of the address of Stripe's page for the customer: see hosted_page.py",
                max_length=32,
                null=True,
            ),
        ),
        migrations.RunPython(keep_inside, migrations.RunPython.noop),
    ]
