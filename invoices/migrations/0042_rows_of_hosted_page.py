"""Fills the column by which an invoice is found by an address of its page at Stripe, some hundred rows at a time.

A process of the version before that writes an object meanwhile leaves the column as it is: the next time that the object
is seen mends it.
"""

import importlib

from django.db import migrations

from invoices.models.hosted_page import digest
from invoices.models.reading import member

rows_of_search = importlib.import_module("invoices.migrations.0028_rows_of_search")
COLUMNS = {"invoice": {"hosted_page": lambda data: digest(member(data, "hosted_invoice_url"))}}


def fill(apps, schema_editor):
    rows_of_search.fill(apps, schema_editor, COLUMNS)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0041_hosted_page")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
