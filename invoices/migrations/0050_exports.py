"""Files that are prepared in the background, and their pieces."""

import django.db.models.deletion
import invoices.clock
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0049_bank_statements'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='email',
            name='kind',
            field=models.CharField(choices=[('approval', 'a request waits for a second person'), ('batch_approval', 'a batch waits for a second person'), ('contradiction', 'Stripe contradicts the journal'), ('reconciliation', 'a run found drift, or failed'), ('journal_head', "the head of the journal's chain"), ('webhook_endpoint', 'an endpoint was disabled'), ('export', 'a file is ready, or was not prepared')], max_length=32),
        ),
        migrations.CreateModel(
            name='Export',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, help_text='From the form, so that it is asked for once', primary_key=True, serialize=False)),
                ('kind', models.CharField(help_text='What is asked for: a name in exports.kinds', max_length=64)),
                ('parameters', models.JSONField(blank=True, default=dict, help_text="Of the kind, such as the list's address")),
                ('time_zone', models.CharField(blank=True, help_text='In which its days are counted; empty: UTC', max_length=64)),
                ('format', models.CharField(help_text='csv, xlsx', max_length=8)),
                ('title', models.CharField(help_text='In English: which list or report', max_length=255)),
                ('detail', models.TextField(blank=True, help_text='In English: what narrows it, without what was searched for')),
                ('file_name', models.CharField(max_length=255)),
                ('permissions', models.JSONField(blank=True, default=list, help_text='Whoever has all of these may have the file: what it shows needed them')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('ready', 'Ready'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('removed', 'Removed')], default='waiting', max_length=16)),
                ('asked_at', models.DateTimeField(default=invoices.clock.now)),
                ('started_at', models.DateTimeField(blank=True, help_text='Of the last attempt', null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('expires_at', models.DateTimeField(blank=True, help_text='When the file is removed', null=True)),
                ('attempts', models.PositiveIntegerField(default=0, help_text='That were begun')),
                ('rows', models.PositiveBigIntegerField(default=0, help_text='That are written so far')),
                ('size', models.PositiveBigIntegerField(default=0, help_text='Bytes of the file so far')),
                ('stored', models.PositiveBigIntegerField(default=0, help_text='Bytes that it takes in the database so far')),
                ('chunks', models.PositiveIntegerField(default=0, help_text='In how many pieces the file is stored so far')),
                ('error', models.TextField(blank=True, help_text='In English: why there is no file')),
                ('claim_token', models.UUIDField(blank=True, help_text='Of the worker that prepares it', null=True)),
                ('claimed_until', models.DateTimeField(blank=True, help_text='Then another worker may take it', null=True)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='exports', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'export',
                'verbose_name_plural': 'exports',
            },
        ),
        migrations.CreateModel(
            name='ExportChunk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='0, 1, 2 and so on')),
                ('content', models.BinaryField()),
                ('export', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='pieces', to='invoices.export')),
            ],
            options={
                'verbose_name': 'piece of an export',
                'verbose_name_plural': 'pieces of exports',
            },
        ),
        migrations.AddIndex(
            model_name='export',
            index=models.Index(models.F('owner'), models.OrderBy(models.F('asked_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='export_owner'),
        ),
        migrations.AddIndex(
            model_name='export',
            index=models.Index(models.F('asked_at'), condition=models.Q(('state__in', ['waiting', 'running'])), name='export_unfinished'),
        ),
        migrations.AddIndex(
            model_name='export',
            index=models.Index(models.F('expires_at'), condition=models.Q(('expires_at__isnull', False)), name='export_expires'),
        ),
        migrations.AddIndex(
            model_name='export',
            index=models.Index(models.F('asked_at'), name='export_asked'),
        ),
        migrations.AddConstraint(
            model_name='exportchunk',
            constraint=models.UniqueConstraint(fields=('export', 'number'), name='exportchunk_one_per_number'),
        ),
    ]
