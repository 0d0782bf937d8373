"""Makes the index by which a customer's page finds what the customer owes, without locking writers out."""

import importlib

from django.db import migrations, models

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0046_names_of_models")]

    operations = [
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('customer_id'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('status', 'open')), name='invoice_customer_open'),
        ),
    ]
