"""The journal is evidence against its own administrators: more is refused, in SQL too, and each row is chained."""

from importlib import import_module

from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers
from invoices.models.chain import CHAINED

journal_is_evidence = import_module("invoices.migrations.0002_journal_is_evidence")


def guard(apps, schema_editor):
    journal_is_evidence.release(apps, schema_editor)
    triggers.make(apps, schema_editor)


def release(apps, schema_editor):
    triggers.remove(apps, schema_editor)
    journal_is_evidence.guard(apps, schema_editor)


def queue_what_is_there(apps, schema_editor):
    """The job chains it at its first run. What was done to it before is not known to the chain."""
    for kind, model in CHAINED.items():
        if model.__name__.lower() not in apps.all_models["invoices"]:
            continue  # a later migration makes this table
        table, key = model._meta.db_table, model._meta.pk.column
        schema_editor.execute(
            f"INSERT INTO invoices_unchainedrow (kind, \"row\") SELECT '{kind}', CAST({key} AS text) FROM {table}"
        )


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0006_service_tokens'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='JournalHead',
            fields=[
                ('day', models.DateField(help_text='UTC', primary_key=True, serialize=False)),
                ('position', models.BigIntegerField()),
                ('hash', models.CharField(max_length=64)),
                ('made_at', models.DateTimeField()),
                ('mailed_at', models.DateTimeField(blank=True, null=True)),
                ('written_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='JournalLink',
            fields=[
                ('position', models.BigIntegerField(help_text='1, 2, 3 and so on, without gaps', primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=32)),
                ('row', models.CharField(help_text="The row's id, as the database writes it as text", max_length=255)),
                ('fixed', models.CharField(help_text='SHA-256 of the columns that never change', max_length=64)),
                ('digest', models.CharField(help_text='SHA-256 of all its evidence', max_length=64)),
                ('sealed', models.BooleanField(help_text='Nothing of the evidence could change any more')),
                ('made_at', models.DateTimeField(help_text='When the row was chained, not when it was written')),
                ('hash', models.CharField(help_text='SHA-256 of the hash before, and of the columns above', max_length=64)),
            ],
            options={
                'indexes': [models.Index(models.F('kind'), models.F('row'), models.F('position'), name='journallink_row')],
            },
        ),
        migrations.CreateModel(
            name='UnchainedRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=32)),
                ('row', models.CharField(max_length=255)),
            ],
            options={
                'indexes': [models.Index(models.F('kind'), models.F('row'), name='unchainedrow_row')],
            },
        ),
        migrations.RunPython(queue_what_is_there, migrations.RunPython.noop),
        migrations.RunPython(guard, release),
    ]
