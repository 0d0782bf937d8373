"""That a credit is another payment than the one for which it was taken: a decision of its own kind."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("invoices", "0057_parts_of_batches")]

    operations = [
        migrations.AlterField(
            model_name="bankdecision",
            name="what",
            field=models.CharField(
                choices=[
                    ("ignored", "Set aside"),
                    ("not_ours", "Not ours"),
                    ("already_recorded", "Recorded already"),
                    ("reopened", "Taken up again"),
                    ("another", "Another payment"),
                ],
                max_length=32,
            ),
        ),
    ]
