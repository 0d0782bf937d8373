"""Runs that were interrupted, who owns a run, and why an object could not be read."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0010_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="drift",
            name="reason",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Of an unreadable object: why it could not be read or stored",
            ),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="owner",
            field=models.UUIDField(
                blank=True,
                help_text="Drawn by the process that works on the run: whoever holds another one writes nothing",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="drift",
            name="kind",
            field=models.CharField(
                choices=[
                    ("missing_here", "missing here"),
                    ("missing_at_stripe", "missing at Stripe"),
                    ("differs", "Differs"),
                    ("unreadable", "Unreadable"),
                ],
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="reconciliationrun",
            name="progress",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="How far the run has come: the next run of its kind goes on from there",
            ),
        ),
        migrations.AlterField(
            model_name="reconciliationrun",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running"),
                    ("finished", "Finished"),
                    ("failed", "Failed"),
                    ("interrupted", "Interrupted"),
                ],
                default="running",
                max_length=16,
            ),
        ),
    ]
