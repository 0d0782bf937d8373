"""Notes on invoices, and what they said before."""

import django.db.models.deletion
import invoices.clock
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0034_batches_by_token'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('invoice', models.CharField(help_text="The invoice's id", max_length=255)),
                ('created_at', models.DateTimeField(default=invoices.clock.now)),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='notes', to=settings.AUTH_USER_MODEL)),
                ('token', models.ForeignKey(blank=True, db_index=False, help_text='With which it was written; empty: in the admin', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.KNOX_TOKEN_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='NoteVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='1, 2, 3 and so on')),
                ('text', models.TextField()),
                ('written_at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('note', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='invoices.note')),
                ('token', models.ForeignKey(blank=True, db_index=False, help_text='With which it was written; empty: in the admin', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.KNOX_TOKEN_MODEL)),
            ],
            options={
                'ordering': ('number',),
            },
        ),
        migrations.AddIndex(
            model_name='note',
            index=models.Index(models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='note_newest'),
        ),
        migrations.AddIndex(
            model_name='note',
            index=models.Index(models.F('invoice'), models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='note_invoice'),
        ),
        migrations.AddConstraint(
            model_name='noteversion',
            constraint=models.UniqueConstraint(fields=('note', 'number'), name='noteversion_one_per_number'),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
