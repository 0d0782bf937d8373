"""Makes the index by which the page of a run shows its differences invoice by invoice."""

import importlib

from django.db import migrations, models

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0035_notes")]

    operations = [
        AddSearchIndex(
            model_name="drift", index=models.Index(fields=["run", "invoice", "id"], name="drift_run_invoice")
        ),
    ]
