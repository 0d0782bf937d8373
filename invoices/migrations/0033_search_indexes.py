"""Makes the indexes by which a part of a subscription's id, and a customer's id in any spelling, are found."""

import importlib

from django.db import migrations, models
from django.db.models.functions import Lower

from invoices.models import searchable

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex
NAME = "invoice_subscription_search"


def make(apps, schema_editor):
    searchable.make_indexes(apps, schema_editor, [NAME])


def drop(apps, schema_editor):
    searchable.drop_indexes(apps, schema_editor, [NAME])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0032_abandoned_deliveries")]

    operations = [
        AddSearchIndex(model_name="customer", index=models.Index(Lower("id"), name="customer_any_case")),
        migrations.RunPython(make, drop),
    ]
