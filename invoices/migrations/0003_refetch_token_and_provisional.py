"""Two columns for the mirror's tables: who refetches a row now, and whether its state is provisional.

Until now a provisional row was one with an empty `seen_since`. Its state came from an event, whose span is five seconds.
The other changes are help texts: no table of the journal is made anew, so its triggers stay.
"""

from datetime import timedelta

import django.db.models.deletion
import django.utils.timezone
import invoices.models.fields
from django.conf import settings
from django.db import migrations, models

MIRRORED = ("Customer", "Invoice", "InvoicePayment", "PaymentIntent")
EVENT_SPAN = timedelta(seconds=5)


def mark_provisional(apps, schema_editor):
    for name in MIRRORED:
        rows = apps.get_model("invoices", name)._base_manager.using(schema_editor.connection.alias)
        provisional = rows.filter(stored_at__isnull=False, seen_since__isnull=True)
        provisional.update(provisional=True, seen_since=models.F("seen_until") - EVENT_SPAN)


def unmark_provisional(apps, schema_editor):
    for name in MIRRORED:
        rows = apps.get_model("invoices", name)._base_manager.using(schema_editor.connection.alias)
        rows.filter(provisional=True).update(seen_since=None)


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0002_journal_is_evidence'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='customer',
            name='provisional',
            field=models.BooleanField(default=False, db_default=False, help_text='The state came in another API version than ours. It is shown, but counts as no row for the freshness rule until the object was refetched'),
        ),
        migrations.AddField(
            model_name='customer',
            name='refetch_token',
            field=models.UUIDField(blank=True, help_text='Of the worker that refetches now; empty: no worker has taken it', null=True),
        ),
        migrations.AddField(
            model_name='invoice',
            name='provisional',
            field=models.BooleanField(default=False, db_default=False, help_text='The state came in another API version than ours. It is shown, but counts as no row for the freshness rule until the object was refetched'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='refetch_token',
            field=models.UUIDField(blank=True, help_text='Of the worker that refetches now; empty: no worker has taken it', null=True),
        ),
        migrations.AddField(
            model_name='invoicepayment',
            name='provisional',
            field=models.BooleanField(default=False, db_default=False, help_text='The state came in another API version than ours. It is shown, but counts as no row for the freshness rule until the object was refetched'),
        ),
        migrations.AddField(
            model_name='invoicepayment',
            name='refetch_token',
            field=models.UUIDField(blank=True, help_text='Of the worker that refetches now; empty: no worker has taken it', null=True),
        ),
        migrations.AddField(
            model_name='paymentintent',
            name='provisional',
            field=models.BooleanField(default=False, db_default=False, help_text='The state came in another API version than ours. It is shown, but counts as no row for the freshness rule until the object was refetched'),
        ),
        migrations.AddField(
            model_name='paymentintent',
            name='refetch_token',
            field=models.UUIDField(blank=True, help_text='Of the worker that refetches now; empty: no worker has taken it', null=True),
        ),
        migrations.RunPython(mark_provisional, unmark_provisional),
        migrations.AlterField(
            model_name='apitoken',
            name='name',
            field=models.CharField(help_text='Which service uses it; recorded as the reason of its operations', max_length=255),
        ),
        migrations.AlterField(
            model_name='customer',
            name='created',
            field=models.DateTimeField(blank=True, help_text='When Stripe created the object', null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='data',
            field=invoices.models.fields.ObjectField(blank=True, help_text='The whole object as Stripe sent it, with all lines', null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='deleted_at',
            field=models.DateTimeField(blank=True, help_text='When the mirror learned that it was deleted', null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='read_due_at',
            field=models.DateTimeField(blank=True, help_text='When the scheduled refetch is due; empty: none is scheduled', null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='seen_since',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the beginning of the span in which the state was seen to be true", null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='seen_until',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
        ),
        migrations.AlterField(
            model_name='customer',
            name='stored_at',
            field=models.DateTimeField(blank=True, help_text="The database's clock after the row was locked; empty: nothing was stored yet", null=True),
        ),
        migrations.AlterField(
            model_name='drift',
            name='field',
            field=models.CharField(blank=True, help_text='The path in the object, such as lines.data.3.amount; empty: the whole object', max_length=255),
        ),
        migrations.AlterField(
            model_name='drift',
            name='healed_at',
            field=models.DateTimeField(blank=True, help_text='Empty: the difference was left', null=True),
        ),
        migrations.AlterField(
            model_name='drift',
            name='ours_seen_until',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: until when ours was known to be true", null=True),
        ),
        migrations.AlterField(
            model_name='event',
            name='body',
            field=models.TextField(help_text='The raw body, byte for byte as it was signed'),
        ),
        migrations.AlterField(
            model_name='event',
            name='created',
            field=models.DateTimeField(blank=True, help_text="Stripe's stamp: whole seconds, and it may lag behind the change", null=True),
        ),
        migrations.AlterField(
            model_name='event',
            name='idempotency_key',
            field=models.CharField(blank=True, help_text='Idempotency key of the request that caused the event', max_length=255),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='created',
            field=models.DateTimeField(blank=True, help_text='When Stripe created the object', null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='data',
            field=invoices.models.fields.ObjectField(blank=True, help_text='The whole object as Stripe sent it, with all lines', null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='deleted_at',
            field=models.DateTimeField(blank=True, help_text='When the mirror learned that it was deleted', null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='read_due_at',
            field=models.DateTimeField(blank=True, help_text='When the scheduled refetch is due; empty: none is scheduled', null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='seen_since',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the beginning of the span in which the state was seen to be true", null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='seen_until',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
        ),
        migrations.AlterField(
            model_name='invoice',
            name='stored_at',
            field=models.DateTimeField(blank=True, help_text="The database's clock after the row was locked; empty: nothing was stored yet", null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='created',
            field=models.DateTimeField(blank=True, help_text='When Stripe created the object', null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='data',
            field=invoices.models.fields.ObjectField(blank=True, help_text='The whole object as Stripe sent it, with all lines', null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='deleted_at',
            field=models.DateTimeField(blank=True, help_text='When the mirror learned that it was deleted', null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='read_due_at',
            field=models.DateTimeField(blank=True, help_text='When the scheduled refetch is due; empty: none is scheduled', null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='seen_since',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the beginning of the span in which the state was seen to be true", null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='seen_until',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
        ),
        migrations.AlterField(
            model_name='invoicepayment',
            name='stored_at',
            field=models.DateTimeField(blank=True, help_text="The database's clock after the row was locked; empty: nothing was stored yet", null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='created',
            field=models.DateTimeField(blank=True, help_text='When Stripe created the object', null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='data',
            field=invoices.models.fields.ObjectField(blank=True, help_text='The whole object as Stripe sent it, with all lines', null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='deleted_at',
            field=models.DateTimeField(blank=True, help_text='When the mirror learned that it was deleted', null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='read_due_at',
            field=models.DateTimeField(blank=True, help_text='When the scheduled refetch is due; empty: none is scheduled', null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='seen_since',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the beginning of the span in which the state was seen to be true", null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='seen_until',
            field=models.DateTimeField(blank=True, help_text="Stripe's clock: the end of that span", null=True),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='stored_at',
            field=models.DateTimeField(blank=True, help_text="The database's clock after the row was locked; empty: nothing was stored yet", null=True),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='alive_at',
            field=models.DateTimeField(default=django.utils.timezone.now, help_text='The last sign of life of a running run; one that stays silent is taken over'),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='params',
            field=models.JSONField(blank=True, default=dict, help_text='What was asked for: RunParams'),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='progress',
            field=models.JSONField(blank=True, default=dict, help_text='How far the run has come: a killed run goes on from there'),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='report',
            field=invoices.models.fields.ObjectField(blank=True, default=dict, help_text='Of a proof: counts, sums and digests, day by day: RunReport'),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='started_by',
            field=models.ForeignKey(blank=True, help_text='Empty: the schedule, or the command line', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
    ]
