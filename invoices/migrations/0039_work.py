"""Mentions in notes, promises to pay, and who has an invoice."""

import django.db.models.deletion
import invoices.clock
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0038_list_downloads'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='Assignment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('invoice', models.CharField(help_text="The invoice's id", max_length=255)),
                ('given_at', models.DateTimeField(default=invoices.clock.now)),
                ('note', models.TextField(blank=True, help_text='What the next person is to know')),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_by', models.ForeignKey(blank=True, db_index=False, help_text='Who released it, took it over or handed it over; empty: the invoice was paid, voided or deleted', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('given_by', models.ForeignKey(db_index=False, help_text='Who took it, or handed it over', on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(db_index=False, help_text='Who has it', on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(models.F('invoice'), models.OrderBy(models.F('given_at'), descending=True), name='assignment_invoice'), models.Index(models.F('person'), models.F('invoice'), condition=models.Q(('ended_at', None)), name='assignment_person')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('invoice',), name='assignment_one_at_a_time')],
            },
        ),
        migrations.CreateModel(
            name='Mention',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('made_at', models.DateTimeField(default=invoices.clock.now)),
                ('read_at', models.DateTimeField(blank=True, help_text='When the person was done with it', null=True)),
                ('withdrawn_at', models.DateTimeField(blank=True, help_text='When an edit took the name out, unread', null=True)),
                ('note', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='mentions', to='invoices.note')),
                ('person', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='mentions', to='invoices.noteversion')),
            ],
            options={
                'indexes': [models.Index(models.F('person'), models.OrderBy(models.F('made_at'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('read_at', None), ('withdrawn_at', None)), name='mention_waiting'), models.Index(models.F('person'), models.OrderBy(models.F('read_at'), descending=True), condition=models.Q(('read_at__isnull', False)), name='mention_done')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('read_at', None), ('withdrawn_at', None)), fields=('person', 'note'), name='mention_one_waiting')],
            },
        ),
        migrations.CreateModel(
            name='Promise',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('invoice', models.CharField(help_text="The invoice's id", max_length=255)),
                ('amount', models.BigIntegerField(help_text='Minor units')),
                ('currency', models.CharField(help_text='Of the invoice, in lower case as at Stripe', max_length=3)),
                ('paid_before', models.BigIntegerField(help_text='What was paid of the invoice when this was recorded; minor units')),
                ('day', models.DateField(help_text='The last day on which it can be kept')),
                ('ends_at', models.DateTimeField(help_text='When that day ends, where it was recorded')),
                ('note', models.TextField(blank=True)),
                ('recorded_at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('state', models.CharField(choices=[('open', 'Open'), ('kept', 'Kept'), ('broken', 'Broken'), ('withdrawn', 'Withdrawn')], default='open', max_length=16)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_because', models.TextField(blank=True)),
                ('ended_by', models.ForeignKey(blank=True, db_index=False, help_text='Who withdrew it; empty: the desk saw what came of it', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('recorded_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(models.F('invoice'), models.OrderBy(models.F('recorded_at'), descending=True), name='promise_invoice'), models.Index(models.F('ends_at'), models.F('invoice'), condition=models.Q(('state', 'open')), name='promise_open'), models.Index(models.F('ended_at'), models.F('invoice'), condition=models.Q(('state', 'broken')), name='promise_broken')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('invoice',), name='promise_one_open'), models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='promise_amount')],
            },
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
