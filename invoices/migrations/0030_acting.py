"""What the API's caller wants to see whole in an action's answer, and the token with which a decision was told."""

import django.db.models.deletion
import invoices.models.fields
from django.db import migrations, models

from invoices.models import triggers

HELP = "What the API's caller wants to see whole; empty where an older version did not write it"


def add_expand(**more):
    field = invoices.models.fields.ObjectField(blank=True, help_text=HELP, null=True, **more)
    return migrations.AddField(model_name="operation", name="expand", field=field)


class Migration(migrations.Migration):
    dependencies = [("invoices", "0029_reading")]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        # The rows that are there get no value: nobody knows what was asked for with them.
        migrations.SeparateDatabaseAndState(
            database_operations=[add_expand()], state_operations=[add_expand(default=list)]
        ),
        migrations.AddField(
            model_name="operation",
            name="decision_token",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="With which the API was told the decision",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="invoices.apitoken",
            ),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
