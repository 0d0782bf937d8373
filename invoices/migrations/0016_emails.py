"""E-mails that wait to be sent, and the journal of who looked at all that is stored about a customer."""

import django.db.models.deletion
import invoices.clock
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0015_sign_ins'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='Email',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, help_text='Also in the Message-ID: of each attempt', primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('approval', 'a request waits for a second person'), ('batch_approval', 'a batch waits for a second person'), ('contradiction', 'Stripe contradicts the journal'), ('reconciliation', 'a run found drift, or failed'), ('journal_head', "the head of the journal's chain")], max_length=32)),
                ('about', models.CharField(help_text="The id of what it tells, such as an operation's", max_length=64)),
                ('recipient', models.CharField(max_length=512)),
                ('subject', models.CharField(max_length=255)),
                ('body', models.TextField(help_text='Empty once it was sent')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sent', 'Sent'), ('given_up', 'given up: try again when the cause is mended')], default='waiting', max_length=16)),
                ('written_at', models.DateTimeField(default=invoices.clock.now)),
                ('next_attempt_at', models.DateTimeField(default=invoices.clock.now, help_text="From when on a worker may take it; for one that is taken, its lease's end")),
                ('token', models.UUIDField(blank=True, help_text='Of the worker that took it last', null=True)),
                ('attempts', models.PositiveIntegerField(default=0, help_text='That failed')),
                ('failing_since', models.DateTimeField(blank=True, help_text='The first of these', null=True)),
                ('error', models.TextField(blank=True, default='', help_text='Why the last attempt failed')),
                ('ended_at', models.DateTimeField(blank=True, help_text='When it was sent, or given up', null=True)),
            ],
            options={
                'verbose_name': 'e-mail',
                'verbose_name_plural': 'e-mails',
                'indexes': [models.Index(models.F('next_attempt_at'), condition=models.Q(('state', 'waiting')), name='email_due'), models.Index(models.F('written_at'), condition=models.Q(('state', 'given_up')), name='email_given_up'), models.Index(models.F('ended_at'), condition=models.Q(('ended_at__isnull', False)), name='email_ended'), models.Index(models.F('written_at'), name='email_written'), models.Index(models.F('about'), name='email_about')],
            },
        ),
        migrations.CreateModel(
            name='Disclosure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('customer', models.CharField(help_text="The customer's id", max_length=255)),
                ('what', models.CharField(choices=[('viewed', 'Viewed'), ('downloaded', 'Downloaded')], max_length=16)),
                ('at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('reason', models.TextField(blank=True, help_text="Of a download: why, such as the ticket of the customer's request")),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('disclose_customer', 'Can see and download all that is stored about a customer')],
                'indexes': [models.Index(models.F('customer'), models.F('at'), name='disclosure_customer')],
            },
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
