"""Scheduled refetches leave the mirror's rows for a table of their own; those that wait are moved.

No table of the journal is made anew, so its triggers stay.
"""

from django.db import migrations, models

from invoices import clock

MIRRORED = {"customer": "Customer", "invoice": "Invoice", "invoice_payment": "InvoicePayment", "payment_intent": "PaymentIntent"}
ROWS_AT_ONCE = 1000


def move(apps, schema_editor):
    """One that a worker has taken is asked for anew: its lease stays, and what that worker reads is not counted."""
    using = schema_editor.connection.alias
    scheduled = apps.get_model("invoices", "ScheduledRefetch")._base_manager.using(using)
    now = clock.now()
    for object, name in MIRRORED.items():
        rows = apps.get_model("invoices", name)._base_manager.using(using).filter(read_due_at__isnull=False)
        found = list(rows.values_list("id", "read_due_at"))
        scheduled.bulk_create(
            [scheduled.model(object_type=object, object_id=id, asked_at=now, due_at=due_at) for id, due_at in found],
            batch_size=ROWS_AT_ONCE,
        )


def move_back(apps, schema_editor):
    """What was given up is due at once: the version before knows no such state."""
    using = schema_editor.connection.alias
    scheduled = apps.get_model("invoices", "ScheduledRefetch")._base_manager.using(using)
    for object, name in MIRRORED.items():
        model = apps.get_model("invoices", name)
        due = dict(scheduled.filter(object_type=object).values_list("object_id", "due_at"))
        model._base_manager.using(using).bulk_create(
            [model(id=id, read_due_at=due_at) for id, due_at in sorted(due.items())],
            batch_size=ROWS_AT_ONCE,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["read_due_at"],
        )


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0007_journal_is_chained'),
    ]

    operations = [
        migrations.CreateModel(
            name='ScheduledRefetch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('object_type', models.CharField(help_text="Stripe's `object` value", max_length=64)),
                ('object_id', models.CharField(max_length=255)),
                ('asked_at', models.DateTimeField(help_text='The last time; a read that began before it does not count')),
                ('due_at', models.DateTimeField(help_text="From when on a worker may take it; for one that is taken, its lease's end")),
                ('wanted_at', models.DateTimeField(blank=True, help_text='When a person last looked at the object; empty: nobody waits for it', null=True)),
                ('only_payments', models.BooleanField(default=False, help_text='Asked for only because a payment of the final invoice is not final; not read once that has changed')),
                ('token', models.UUIDField(blank=True, help_text='Of the worker that reads it now; empty: not taken, or asked for again since', null=True)),
                ('attempts', models.PositiveIntegerField(default=0, help_text='That failed since the last success')),
                ('failing_since', models.DateTimeField(blank=True, help_text='The first of these', null=True)),
                ('error', models.TextField(blank=True, default='', help_text='Why the last attempt failed')),
                ('given_up_at', models.DateTimeField(blank=True, help_text='It failed for too long; a person, or a new reason to read it, starts it again', null=True)),
            ],
            options={
                'verbose_name': 'scheduled refetch',
                'verbose_name_plural': 'scheduled refetches',
            },
        ),
        migrations.RunPython(move, move_back),
        migrations.RemoveIndex(
            model_name='customer',
            name='customer_read_due',
        ),
        migrations.RemoveIndex(
            model_name='invoice',
            name='invoice_read_due',
        ),
        migrations.RemoveIndex(
            model_name='invoicepayment',
            name='invoicepayment_read_due',
        ),
        migrations.RemoveIndex(
            model_name='paymentintent',
            name='paymentintent_read_due',
        ),
        migrations.RemoveField(
            model_name='customer',
            name='read_due_at',
        ),
        migrations.RemoveField(
            model_name='customer',
            name='refetch_token',
        ),
        migrations.RemoveField(
            model_name='invoice',
            name='read_due_at',
        ),
        migrations.RemoveField(
            model_name='invoice',
            name='refetch_token',
        ),
        migrations.RemoveField(
            model_name='invoicepayment',
            name='read_due_at',
        ),
        migrations.RemoveField(
            model_name='invoicepayment',
            name='refetch_token',
        ),
        migrations.RemoveField(
            model_name='paymentintent',
            name='read_due_at',
        ),
        migrations.RemoveField(
            model_name='paymentintent',
            name='refetch_token',
        ),
        migrations.AddIndex(
            model_name='scheduledrefetch',
            index=models.Index(models.OrderBy(models.F('wanted_at'), descending=True), condition=models.Q(('wanted_at__isnull', False)), name='refetch_wanted'),
        ),
        migrations.AddIndex(
            model_name='scheduledrefetch',
            index=models.Index(models.F('object_type'), models.F('due_at'), condition=models.Q(('failing_since__isnull', True)), name='refetch_first'),
        ),
        migrations.AddIndex(
            model_name='scheduledrefetch',
            index=models.Index(models.F('object_type'), models.F('due_at'), condition=models.Q(('failing_since__isnull', False), ('given_up_at__isnull', True)), name='refetch_failing'),
        ),
        migrations.AddIndex(
            model_name='scheduledrefetch',
            index=models.Index(models.F('given_up_at'), condition=models.Q(('given_up_at__isnull', False)), name='refetch_given_up'),
        ),
        migrations.AddConstraint(
            model_name='scheduledrefetch',
            constraint=models.UniqueConstraint(fields=('object_type', 'object_id'), name='scheduledrefetch_object'),
        ),
    ]
