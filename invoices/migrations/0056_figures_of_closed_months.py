"""What was known of a month when it was closed, so that what changes later can be told exactly."""

from django.db import migrations

import invoices.models.fields
from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [("invoices", "0055_explanations_of_drift")]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AddField(
            model_name="monthclose",
            name="figures",
            field=invoices.models.fields.ObjectField(
                help_text="What of the month was known then: kind → id → what counts of it", null=True
            ),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
