"""Endpoints of the company's services: where events are sent, what is owed to each, and the journal of their changes."""

import django.db.models.deletion
import invoices.clock
import invoices.models.webhook_endpoints
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


def leave_out_like_twins(apps, schema_editor):
    """The indexes that Django would make beside text keys at the end of this migration: no question uses them."""
    schema_editor.deferred_sql[:] = [each for each in schema_editor.deferred_sql if "_like" not in str(each)]


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0024_changes'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(help_text="The id of Stripe's event, or of ours", max_length=255)),
                ('event_created', models.DateTimeField(blank=True, help_text='By which its partition is found', null=True)),
                ('type', models.CharField(max_length=255)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'failed: for three days, or the endpoint is gone'), ('abandoned', 'abandoned: the endpoint was disabled, or the event is not here any more')], default='pending', max_length=16)),
                ('written_at', models.DateTimeField(default=invoices.clock.now)),
                ('due_since', models.DateTimeField(default=invoices.clock.now, help_text='When it was written, or asked for again by hand')),
                ('next_attempt_at', models.DateTimeField(default=invoices.clock.now, help_text="From when on a worker may take it; for one that is taken, its lease's end")),
                ('token', models.UUIDField(blank=True, help_text='Of the worker that took it last', null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('retries', models.PositiveIntegerField(default=0, help_text='Failed attempts since it is due')),
                ('last_status', models.PositiveSmallIntegerField(blank=True, help_text='HTTP; empty: no answer', null=True)),
                ('last_error', models.TextField(blank=True)),
                ('ended_at', models.DateTimeField(blank=True, help_text='When it was delivered, given up or abandoned', null=True)),
            ],
            options={
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.AlterField(
            model_name='email',
            name='kind',
            field=models.CharField(choices=[('approval', 'a request waits for a second person'), ('batch_approval', 'a batch waits for a second person'), ('contradiction', 'Stripe contradicts the journal'), ('reconciliation', 'a run found drift, or failed'), ('journal_head', "the head of the journal's chain"), ('webhook_endpoint', 'an endpoint was disabled')], max_length=32),
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('seconds', models.FloatField(help_text='From its beginning to the last byte of the answer')),
                ('status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('error', models.TextField(blank=True)),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempted', to='invoices.delivery')),
            ],
        ),
        migrations.CreateModel(
            name='DeskEvent',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=255)),
                ('operation', models.UUIDField(blank=True, null=True)),
                ('body', models.TextField(help_text='As it is sent')),
                ('created_at', models.DateTimeField(default=invoices.clock.now)),
            ],
            options={
                'indexes': [models.Index(models.F('created_at'), name='deskevent_created'), models.Index(models.F('operation'), condition=models.Q(('operation', None), _negated=True), name='deskevent_operation')],
            },
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.CharField(default=invoices.models.webhook_endpoints.new_endpoint_id, max_length=64, primary_key=True, serialize=False)),
                ('url', models.TextField()),
                ('description', models.TextField(blank=True)),
                ('enabled_events', models.JSONField(help_text='Types of events, or “*” for all')),
                ('secret', models.TextField(help_text='The signing secret, encrypted')),
                ('previous_secret', models.TextField(blank=True, help_text='The one before, encrypted: both sign for a while')),
                ('previous_secret_until', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=invoices.clock.now)),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('disabled_because', models.TextField(blank=True)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('failing_since', models.DateTimeField(blank=True, help_text='From when on every attempt has failed', null=True)),
                ('unanswered', models.PositiveIntegerField(default=0, help_text='Attempts in a row that it did not answer at all')),
                ('rests_until', models.DateTimeField(blank=True, help_text='It did not answer: nothing is tried before', null=True)),
                ('redeliver_from', models.DateTimeField(blank=True, help_text="Of the events' arrival; empty: none", null=True)),
                ('redeliver_after', models.CharField(blank=True, help_text='The last event that was queued', max_length=255)),
                ('redeliver_until', models.DateTimeField(blank=True, null=True)),
                ('owner', models.ForeignKey(blank=True, db_index=False, help_text='Who is told when it is disabled; empty: made by a command', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'webhook endpoint',
            },
        ),
        migrations.AddField(
            model_name='delivery',
            name='endpoint',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='invoices.webhookendpoint'),
        ),
        migrations.CreateModel(
            name='WebhookEndpointRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('what', models.CharField(choices=[('created', 'Created'), ('changed', 'Changed'), ('disabled', 'Disabled'), ('enabled', 'Enabled'), ('secret_replaced', 'secret replaced'), ('deleted', 'Deleted'), ('redelivered', 'sent again'), ('tested', 'Tested')], max_length=32)),
                ('detail', models.TextField(blank=True)),
                ('shell_user', models.CharField(blank=True, help_text='Who ran the command: user@host', max_length=255)),
                ('at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.CharField(blank=True, help_text="The client's IP address; empty: not known", max_length=45)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='records', to='invoices.webhookendpoint')),
                ('token', models.ForeignKey(blank=True, db_index=False, help_text='With which the API was asked', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.KNOX_TOKEN_MODEL)),
            ],
            options={
                'verbose_name': 'webhook endpoint record',
            },
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('endpoint'), models.F('next_attempt_at'), condition=models.Q(('state', 'pending')), name='delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('endpoint'), models.OrderBy(models.F('written_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='delivery_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('endpoint'), models.F('state'), models.OrderBy(models.F('written_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='delivery_state'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('ended_at'), condition=models.Q(('ended_at__isnull', False)), name='delivery_ended'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('endpoint', 'event'), name='delivery_once'),
        ),
        migrations.AddIndex(
            model_name='webhookendpointrecord',
            index=models.Index(models.F('endpoint'), models.OrderBy(models.F('at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='webhookendpointrecord_newest'),
        ),
        migrations.RunPython(leave_out_like_twins, migrations.RunPython.noop),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
