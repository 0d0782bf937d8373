"""Makes the indexes by which reports find what was issued, voided and written off, and what has no date, without locking
writers out."""

import importlib

from django.db import migrations, models

indexes_of_search = importlib.import_module("invoices.migrations.0028_indexes_of_search")
AddSearchIndex, known = indexes_of_search.AddSearchIndex, indexes_of_search.known


def undated(model, name, condition):
    """An index of the rows of which Stripe does not say when."""
    return AddSearchIndex(model_name=model, index=models.Index(models.F("id"), condition=condition, name=name))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0053_month_closes")]

    operations = [
        known("invoice_finalized", "finalized_at"),
        known("invoice_voided", "voided_at"),
        known("invoice_marked_uncollectible", "marked_uncollectible_at"),
        undated(
            "invoice",
            "invoice_undated_begin",
            models.Q(("finalized_at", None), ("status__in", ("open", "paid", "uncollectible", "void"))),
        ),
        undated(
            "invoice",
            "invoice_undated_end",
            models.Q(
                models.Q(("paid_at", None), ("status", "paid")),
                models.Q(("status", "void"), ("voided_at", None)),
                models.Q(("marked_uncollectible_at", None), ("status", "uncollectible")),
                _connector="OR",
            ),
        ),
        undated("invoicepayment", "invoicepayment_undated", models.Q(("paid_at", None), ("status", "paid"))),
    ]
