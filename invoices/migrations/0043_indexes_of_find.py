"""Makes the indexes by which an invoice is found by its page at Stripe, and a recorded payment by its reference."""

import importlib

from django.db import migrations, models
from django.db.models.fields.json import KT
from django.db.models.functions import Lower

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0042_rows_of_hosted_page")]

    operations = [
        AddSearchIndex(
            model_name="invoice",
            index=models.Index(
                models.F("hosted_page"),
                condition=models.Q(("hosted_page__isnull", False)),
                name="invoice_hosted_page",
            ),
        ),
        AddSearchIndex(
            model_name="operation",
            index=models.Index(
                Lower(KT("params__reference")),
                condition=models.Q(("params__has_key", "reference")),
                name="operation_reference",
            ),
        ),
    ]
