"""The events of each month in a partition of their own (PostgreSQL), their queue in a table, their archives; and every
moment of a new row from the database's clock."""

import django.db.models.deletion
import invoices.clock
from django.conf import settings
from django.db import migrations, models

from invoices.models import partitions, triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0011_interrupted_runs'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='EventArchive',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.DateField(help_text="Its first day: of the events' `created`, UTC")),
                ('file', models.CharField(help_text='The name of the file, without its folder', max_length=255)),
                ('count', models.PositiveBigIntegerField(help_text='Events in the file')),
                ('sha256', models.CharField(help_text='Of the file', max_length=64)),
                ('positions', models.TextField(help_text="Positions of the events' links in the chain, as 1-500,503")),
                ('changed', models.TextField(blank=True, help_text='Ids of the events whose lines are not as chained, one a line')),
                ('reason', models.TextField()),
                ('shell_user', models.CharField(blank=True, help_text='Who ran the command: user@host', max_length=255)),
                ('made_at', models.DateTimeField(default=invoices.clock.now)),
            ],
        ),
        migrations.CreateModel(
            name='PendingEvent',
            fields=[
                ('event', models.CharField(help_text="The event's id", max_length=255, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(help_text="The event's, by which its partition is found", null=True)),
                ('received_at', models.DateTimeField()),
                ('next_attempt_at', models.DateTimeField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name='event',
            name='event_pending',
        ),
        migrations.AlterField(
            model_name='contradiction',
            name='event',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='invoices.event'),
        ),
        migrations.AlterField(
            model_name='drift',
            name='found_at',
            field=models.DateTimeField(db_default=invoices.clock.InsertedAt()),
        ),
        migrations.AlterField(
            model_name='event',
            name='next_attempt_at',
            field=models.DateTimeField(db_default=invoices.clock.InsertedAt()),
        ),
        migrations.AlterField(
            model_name='event',
            name='received_at',
            field=models.DateTimeField(db_default=invoices.clock.InsertedAt()),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='alive_at',
            field=models.DateTimeField(db_default=invoices.clock.InsertedAt(), help_text='The last sign of life of a running run; one that stays silent is taken over'),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='started_at',
            field=models.DateTimeField(db_default=invoices.clock.InsertedAt()),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(models.F('received_at'), condition=models.Q(('state', 'pending')), name='event_pending'),
        ),
        migrations.AddField(
            model_name='eventarchive',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='eventarchive',
            name='replaces',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replacements', to='invoices.eventarchive'),
        ),
        migrations.AddIndex(
            model_name='pendingevent',
            index=models.Index(models.F('next_attempt_at'), name='pendingevent_due'),
        ),
        migrations.AddConstraint(
            model_name='eventarchive',
            constraint=models.UniqueConstraint(condition=models.Q(('replaces', None)), fields=('file',), name='eventarchive_file'),
        ),
        migrations.AddConstraint(
            model_name='eventarchive',
            constraint=models.UniqueConstraint(fields=('replaces',), name='eventarchive_replaced_once'),
        ),
        migrations.RunPython(partitions.divide, partitions.join),
        migrations.RunSQL(
            "INSERT INTO invoices_pendingevent (event, created, received_at, next_attempt_at) "
            "SELECT id, created, received_at, next_attempt_at FROM invoices_event WHERE state = 'pending'",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
