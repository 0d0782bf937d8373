"""Makes the index by which payments are listed by the day on which they were paid, without locking writers out."""

import importlib

from django.db import migrations, models

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0047_open_invoices_of_a_customer")]

    operations = [
        AddSearchIndex(
            model_name='invoicepayment',
            index=models.Index(models.F('paid_at'), models.F('id'), condition=models.Q(('paid_at__isnull', False)), name='invoicepayment_by_day'),
        ),
    ]
