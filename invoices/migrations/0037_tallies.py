"""The tallies: how many objects stand in each queue, as what each is counted, and how far it is counted."""

import datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0036_drift_by_invoice'),
    ]

    operations = [
        migrations.CreateModel(
            name='TallyProgress',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('after', models.BigIntegerField(default=0, help_text='The number of the change up to which it is counted')),
                ('mark', models.CharField(blank=True, help_text='Of that change: see invoices.changes', max_length=64)),
                ('counted_at', models.DateTimeField(help_text="The database's clock: nothing newer was there then", null=True)),
                ('counted_from', models.DateField(help_text='UTC: of charges and of paid invoices, those since this day are counted')),
                ('walk', models.CharField(blank=True, choices=[('fill', 'Fill'), ('proof', 'Proof')], help_text='Empty: nothing is walked', max_length=8)),
                ('walk_type', models.CharField(blank=True, help_text='Which kind of objects it walks now', max_length=64)),
                ('walk_after', models.CharField(blank=True, help_text='The id up to which it has walked them', max_length=255)),
                ('walk_wrong', models.PositiveBigIntegerField(default=0, help_text='How many were counted wrong, so far')),
                ('filled_at', models.DateTimeField(help_text='When everything was counted for the first time', null=True)),
                ('proved_at', models.DateTimeField(help_text='When the last re-count ended', null=True)),
                ('wrong', models.PositiveBigIntegerField(default=0, help_text='How many the last re-count found wrong, and put right')),
            ],
        ),
        migrations.CreateModel(
            name='Tallied',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(help_text='A name in tallies.buckets, such as `payment_failed`', max_length=32)),
                ('day', models.DateField(default=datetime.date(1, 1, 1), help_text='UTC: due, finalized, paid or created, as the queue says')),
                ('currency', models.CharField(max_length=8)),
                ('reason', models.CharField(blank=True, help_text='Why a charge was declined; empty elsewhere', max_length=64)),
                ('object_type', models.CharField(help_text="Stripe's `object` value", max_length=64)),
                ('object_id', models.CharField(max_length=255)),
                ('amount', models.BigIntegerField(help_text='Minor units')),
            ],
            options={
                'verbose_name_plural': 'tallied objects',
                'indexes': [models.Index(models.F('queue'), models.F('reason'), models.F('day'), models.F('object_id'), name='tallied_in_queue')],
                'constraints': [models.UniqueConstraint(fields=('object_type', 'object_id', 'queue'), name='tallied_once_per_queue')],
            },
        ),
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(help_text='A name in tallies.buckets, such as `payment_failed`', max_length=32)),
                ('day', models.DateField(default=datetime.date(1, 1, 1), help_text='UTC: due, finalized, paid or created, as the queue says')),
                ('currency', models.CharField(max_length=8)),
                ('reason', models.CharField(blank=True, help_text='Why a charge was declined; empty elsewhere', max_length=64)),
                ('count', models.BigIntegerField()),
                ('amount', models.BigIntegerField(help_text='Minor units')),
            ],
            options={
                'verbose_name_plural': 'tallies',
                'constraints': [models.UniqueConstraint(fields=('queue', 'day', 'currency', 'reason'), name='tally_one_per_bucket')],
            },
        ),
    ]
