"""Makes the indexes by which a bank credit finds the invoices that it may pay, without locking writers out."""

import importlib

from django.db import migrations, models

import invoices.models.invoice_numbers

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0050_exports")]

    operations = [
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(invoices.models.invoice_numbers.NumberKey('number'), name='invoice_number_key'),
        ),
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('currency'), models.F('amount_remaining'), models.F('id'), condition=models.Q(('status', 'uncollectible')), name='invoice_written_off_amount'),
        ),
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('customer_id'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('status', 'uncollectible')), name='invoice_customer_written_off'),
        ),
    ]
