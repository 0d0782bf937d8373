"""Makes the indexes by which the mirror is searched, without locking writers out. What was interrupted is made anew."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from invoices.models import searchable


class AddSearchIndex(AddIndexConcurrently):
    """Concurrently where the database can. What an interruption left of it is made anew."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        name = schema_editor.quote_name(self.index.name)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = schema_editor.connection.vendor == "postgresql"
        way = AddIndexConcurrently if concurrently else migrations.AddIndex
        way.database_backwards(self, app_label, schema_editor, from_state, to_state)


def known(name, column):
    """An index of the rows that have a value."""
    return AddSearchIndex(
        model_name="invoice",
        index=models.Index(models.F(column), condition=models.Q((f"{column}__isnull", False)), name=name),
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0028_rows_of_search")]

    operations = [
        known("invoice_total", "total"),
        known("invoice_amount_due", "amount_due"),
        known("invoice_amount_remaining", "amount_remaining"),
        known("invoice_paid_at", "paid_at"),
        known("invoice_error_code", "last_finalization_error_code"),
        known("invoice_error_type", "last_finalization_error_type"),
        migrations.RunPython(searchable.make_indexes, searchable.drop_indexes),
    ]
