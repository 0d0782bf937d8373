"""A delivery that was answered 410 is abandoned with all that the endpoint was owed, and not failed by itself."""

from django.db import migrations, models

STATES = [
    ("pending", "Pending"),
    ("delivered", "Delivered"),
    ("failed", "failed: for three days"),
    ("abandoned", "abandoned: the endpoint was disabled, or the event is not here any more"),
]


class Migration(migrations.Migration):
    dependencies = [("invoices", "0031_charges")]

    operations = [
        migrations.AlterField(  # the words alone: the table stays as it is
            model_name="delivery",
            name="state",
            field=models.CharField(choices=STATES, default="pending", max_length=16),
        ),
    ]
