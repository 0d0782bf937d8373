"""Of a bank's batch that was told by its transactions: the batch, so that another file may tell it as one."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("invoices", "0056_figures_of_closed_months")]

    operations = [
        migrations.AddField(
            model_name="banktransaction",
            name="entry_amount",
            field=models.BigIntegerField(
                blank=True, help_text="Minor units of that batch; empty: it is no part of one", null=True
            ),
        ),
        migrations.AddField(
            model_name="banktransaction",
            name="entry_reference",
            field=models.CharField(
                blank=True, default="", help_text="The bank's, of the batch of which it is a part", max_length=255
            ),
        ),
    ]
