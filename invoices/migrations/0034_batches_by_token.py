"""The API token with which a batch was asked for, and the caller's idempotency key."""

import django.db.models.deletion
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):
    dependencies = [("invoices", "0033_search_indexes")]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AddField(
            model_name="batch",
            name="idempotency_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Sent by the API client; the id follows from it and from the user",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="batch",
            name="token",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="With which the API was asked; empty: it was asked for in the admin",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="batches",
                to="invoices.apitoken",
            ),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
