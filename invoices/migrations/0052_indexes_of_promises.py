"""Makes the indexes by which all promises are listed, newest first, without locking writers out."""

import importlib

from django.db import migrations, models

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0051_indexes_of_matching")]

    operations = [
        AddSearchIndex(
            model_name='promise',
            index=models.Index(models.OrderBy(models.F('recorded_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='promise_newest'),
        ),
        AddSearchIndex(
            model_name='promise',
            index=models.Index(models.F('state'), models.OrderBy(models.F('recorded_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='promise_state'),
        ),
    ]
