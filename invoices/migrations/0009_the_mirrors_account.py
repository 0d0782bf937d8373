"""The mirror is of one Stripe account; rows that Stripe does not have are removed on record; a full run comes in parts."""

import invoices.clock
import invoices.models.fields
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0008_scheduled_refetches'),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='AccountRecord',
            fields=[
                ('number', models.BigIntegerField(help_text='1, 2, 3 and so on', primary_key=True, serialize=False)),
                ('account', models.CharField(help_text="Stripe's id: acct_…", max_length=255)),
                ('livemode', models.BooleanField(help_text='Live mode or test mode: an account has different objects in each')),
                ('recorded_at', models.DateTimeField(default=invoices.clock.now)),
                ('recorded_by', models.CharField(blank=True, help_text='Who ran the command: user@host; empty: the first import', max_length=255)),
                ('reason', models.TextField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CheckedKey',
            fields=[
                ('fingerprint', models.CharField(help_text="SHA-256 of Stripe's address and the key", max_length=64, primary_key=True, serialize=False)),
                ('account', models.CharField(max_length=255)),
                ('checked_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Removal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('object_type', models.CharField(max_length=64)),
                ('object_id', models.CharField(db_index=True, max_length=255)),
                ('held', invoices.models.fields.ObjectField(help_text='The members of the object that finance needs: number, status, amounts, creation')),
                ('account', models.CharField(help_text='The account in which Stripe had no such object', max_length=255)),
                ('reason', models.TextField()),
                ('removed_by', models.CharField(help_text='Who ran the command: user@host of the operating system', max_length=255)),
                ('removed_at', models.DateTimeField(default=invoices.clock.now)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.RemoveConstraint(
            model_name='reconciliationrun',
            name='run_one_sweep_at_a_time',
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='kind',
            field=models.CharField(choices=[('sweep', 'Sweep'), ('full', 'Full'), ('part', 'part of a full run'), ('invoice', 'Invoice'), ('catch_up', 'catch-up'), ('verify', 'proof of equality')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='reconciliationrun',
            constraint=models.UniqueConstraint(condition=models.Q(('kind__in', ['sweep', 'full', 'part']), ('state', 'running')), fields=('state',), name='run_one_sweep_at_a_time'),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
