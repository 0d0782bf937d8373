"""Charges: one more kind of the mirror.

Its table is kept as those of credit notes and refunds are (0026), before the first row is written. Nothing is imported
here: the next full run does that, or the nightly parts of one.
"""

import importlib

import django.db.models.manager
from django.db import migrations, models

import invoices.models.fields
from invoices.models import change_triggers

credits = importlib.import_module("invoices.migrations.0026_credit_notes_and_refunds")


def set_storage(apps, schema_editor):
    credits.set_storage(schema_editor, ("invoices_charge",))


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0030_acting"),
    ]

    operations = [
        migrations.CreateModel(
            name="Charge",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("created", models.DateTimeField(blank=True, help_text="When Stripe created the object", null=True)),
                ("livemode", models.BooleanField(blank=True, null=True)),
                (
                    "data",
                    invoices.models.fields.ObjectField(
                        blank=True, help_text="The whole object as Stripe sent it, with all lines", null=True
                    ),
                ),
                (
                    "seen_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Stripe's clock: the beginning of the span in which the state was seen to be true",
                        null=True,
                    ),
                ),
                (
                    "seen_until",
                    models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
                ),
                (
                    "stored_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The database's clock after the row was locked; empty: nothing was stored yet",
                        null=True,
                    ),
                ),
                (
                    "provisional",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The state came in another API version than ours. It is shown, but counts as no row for the freshness rule until the object was refetched",
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, help_text="When the mirror learned that it was deleted", null=True
                    ),
                ),
                ("payment_intent", models.CharField(blank=True, max_length=255, null=True)),
                ("customer", models.CharField(blank=True, max_length=255, null=True)),
                ("status", models.CharField(blank=True, max_length=32, null=True)),
                ("currency", models.CharField(blank=True, max_length=8, null=True)),
                ("amount", models.BigIntegerField(blank=True, help_text="Minor units", null=True)),
                ("amount_refunded", models.BigIntegerField(blank=True, help_text="Minor units", null=True)),
                ("failure_code", models.CharField(blank=True, max_length=255, null=True)),
            ],
            options={
                "abstract": False,
                "base_manager_name": "rows",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("created"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="charge_newest",
                    ),
                    models.Index(
                        models.F("payment_intent"),
                        condition=models.Q(("payment_intent__isnull", False)),
                        name="charge_intent",
                    ),
                    models.Index(
                        models.F("customer"),
                        models.OrderBy(models.F("created"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="charge_customer_newest",
                    ),
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("rows", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunPython(credits.leave_out_like_twins, migrations.RunPython.noop),
        migrations.RunPython(set_storage, migrations.RunPython.noop),
        migrations.RunPython(change_triggers.make, migrations.RunPython.noop),
    ]
