"""Erasures: whose personal data was erased, and each row of the journal that was rewritten for it."""

import django.db.models.deletion
import invoices.clock
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0012_events_by_month'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AddField(
            model_name='journallink',
            name='kept',
            field=models.CharField(blank=True, db_default='', default='', help_text='SHA-256 of what is not personal, which an erasure leaves as it is; empty in links of before', max_length=64),
        ),
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('customer', models.CharField(db_index=True, help_text="The customer's id", max_length=255)),
                ('reason', models.TextField()),
                ('ticket', models.CharField(blank=True, max_length=255)),
                ('shell_user', models.CharField(help_text='Who ran the command: user@host of the operating system', max_length=255)),
                ('requested_at', models.DateTimeField(default=invoices.clock.now)),
                ('finished_at', models.DateTimeField(blank=True, help_text='Empty: it was interrupted, and can go on', null=True)),
                ('actor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='ErasedRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='As in the chain', max_length=32)),
                ('row', models.CharField(help_text="The row's id, as the database writes it as text", max_length=255)),
                ('columns', models.CharField(help_text='Which columns were rewritten', max_length=255)),
                ('kept', models.CharField(help_text='SHA-256 of what is not personal: the same before and after', max_length=64)),
                ('fixed_before', models.CharField(max_length=64)),
                ('digest_before', models.CharField(max_length=64)),
                ('fixed_after', models.CharField(blank=True, default='', max_length=64)),
                ('digest_after', models.CharField(blank=True, default='', max_length=64)),
                ('made_at', models.DateTimeField(default=invoices.clock.now)),
                ('rewritten_at', models.DateTimeField(blank=True, null=True)),
                ('erasure', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rows', to='invoices.erasure')),
            ],
        ),
        migrations.AddIndex(
            model_name='erasure',
            index=models.Index(models.F('requested_at'), condition=models.Q(('finished_at', None)), name='erasure_unfinished'),
        ),
        migrations.AddIndex(
            model_name='erasedrow',
            index=models.Index(models.F('kind'), models.F('row'), models.F('id'), name='erasedrow_row'),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
