"""What is judged when money moves: tokens with their journal, the amounts that a second person agrees to, money under
way, contradictions."""

from importlib import import_module

import django.db.models.deletion
import invoices.clock
from invoices.clock import now
from django.conf import settings
from django.db import migrations, models


def close_duplicate_requests(apps, schema_editor):
    """Of several requests for the same action that wait on one invoice, the oldest goes on waiting."""
    operations = apps.get_model("invoices", "Operation").objects.using(schema_editor.connection.alias)
    seen = set()
    for operation in operations.filter(state="awaiting_approval").order_by("created_at", "id"):
        if (operation.invoice, operation.action) in seen:
            operations.filter(pk=operation.pk).update(
                state="cancelled",
                code="withdrawn",
                message="Withdrawn at an upgrade: an older request for the same waited already.",
                outcome_by="nobody",
                finished_at=now(),
            )
        seen.add((operation.invoice, operation.action))


def fill_what_is_at_stake(apps, schema_editor):
    """Of what is not final: final rows cannot be changed, and the gate fills the columns of the rest anew."""
    operations = apps.get_model("invoices", "Operation").objects.using(schema_editor.connection.alias)
    for operation in operations.filter(state__in=["awaiting_approval", "ready", "running", "unknown"]).iterator():
        before = operation.before or {}
        operations.filter(pk=operation.pk).update(
            customer=before.get("customer") or "", currency=before.get("currency") or ""
        )


def guard_again(apps, schema_editor):
    """On SQLite the table of operations was made anew, and lost its triggers."""
    journal = import_module("invoices.migrations.0002_journal_is_evidence")
    if schema_editor.connection.vendor == "sqlite":
        journal.release(apps, schema_editor)
        journal.guard(apps, schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0004_actions_and_calls'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(close_duplicate_requests, migrations.RunPython.noop),
        migrations.CreateModel(
            name='Contradiction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message', models.TextField(help_text="What the journal says and what Stripe's event says, in plain words")),
                ('found_at', models.DateTimeField(default=invoices.clock.now)),
                ('announced_at', models.DateTimeField(blank=True, help_text='When people were told by e-mail', null=True)),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolution', models.TextField(blank=True, help_text='What the person did about it')),
            ],
        ),
        migrations.CreateModel(
            name='TokenRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('what', models.CharField(choices=[('created', 'Created'), ('used', 'Used'), ('revoked', 'Revoked')], max_length=16)),
                ('at', models.DateTimeField(default=invoices.clock.now)),
                ('day', models.DateField(blank=True, help_text='UTC, of a use', null=True)),
                ('address', models.CharField(blank=True, help_text="The client's IP address; empty: not known", max_length=45)),
                ('request_id', models.CharField(blank=True, max_length=255)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='operation',
            name='operation_one_per_key',
        ),
        migrations.AddField(
            model_name='apitoken',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='created_tokens', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='apitoken',
            name='revoked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='apitoken',
            name='revoked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='batch',
            name='announced_at',
            field=models.DateTimeField(blank=True, help_text='When the approvers were told', null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='approver',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='approved_batches', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='batch',
            name='awaiting_approval',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='batch',
            name='confirmed_at',
            field=models.DateTimeField(blank=True, help_text='When a person last confirmed it; its life counts from here. Empty: created_at', null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='decided_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='decision_address',
            field=models.GenericIPAddressField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='decision_reason',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='batch',
            name='decision_request_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=255),
        ),
        migrations.AddField(
            model_name='operation',
            name='approval_amount',
            field=models.BigIntegerField(blank=True, help_text='Minor units, as last judged: what a second person would agree to. Empty where one person is enough for any amount', null=True),
        ),
        migrations.AddField(
            model_name='operation',
            name='card_fingerprint',
            field=models.CharField(blank=True, db_default='', default='', help_text="Stripe's fingerprint of the card that was declined; the same card again has it too", max_length=255),
        ),
        migrations.AddField(
            model_name='operation',
            name='cooldown_override',
            field=models.BooleanField(db_default=False, default=False, help_text='A manager charges again although a decline was recent'),
        ),
        migrations.AddField(
            model_name='operation',
            name='currency',
            field=models.CharField(blank=True, db_default='', default='', help_text='Of the invoice, in lower case as at Stripe', max_length=3),
        ),
        migrations.AddField(
            model_name='operation',
            name='customer',
            field=models.CharField(blank=True, db_default='', default='', help_text="The id of the invoice's customer", max_length=255),
        ),
        migrations.AddField(
            model_name='operation',
            name='key_base',
            field=models.UUIDField(blank=True, help_text="Stripe's idempotency keys begin with this, and not with the id: an earlier operation for the same request ended before anything was applied", null=True),
        ),
        migrations.AddField(
            model_name='operation',
            name='shell_user',
            field=models.CharField(blank=True, db_default='', default='', help_text='Who ran the command: user@host of the operating system', max_length=255),
        ),
        migrations.AddField(
            model_name='operation',
            name='token',
            field=models.ForeignKey(blank=True, help_text='With which the API was asked', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='operations', to=settings.KNOX_TOKEN_MODEL),
        ),
        migrations.AlterField(
            model_name='batch',
            name='created_at',
            field=models.DateTimeField(default=invoices.clock.now),
        ),
        migrations.AlterField(
            model_name='operation',
            name='created_at',
            field=models.DateTimeField(default=invoices.clock.now),
        ),
        migrations.AlterField(
            model_name='operation',
            name='state',
            field=models.CharField(choices=[('awaiting_approval', 'awaiting approval'), ('ready', 'ready'), ('running', 'running'), ('unknown', 'outcome unknown, checking with Stripe'), ('processing', 'money under way, a bank is processing it'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('refused', 'refused'), ('cancelled', 'cancelled'), ('expired', 'expired')], default='ready', max_length=32),
        ),
        migrations.AlterField(
            model_name='pause',
            name='paused_at',
            field=models.DateTimeField(default=invoices.clock.now),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(models.F('settle_at'), condition=models.Q(('state', 'processing')), name='operation_processing'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(models.F('key_base'), condition=models.Q(('key_base', None), _negated=True), name='operation_key_base'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(models.F('actor'), models.F('currency'), models.F('created_at'), condition=models.Q(('approver', None), models.Q(('approval_amount', None), _negated=True)), name='operation_unapproved'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(models.F('customer'), models.F('finished_at'), condition=models.Q(('code__in', ['authentication_required', 'card_declined']), ('state', 'failed')), name='operation_declined'),
        ),
        migrations.AddConstraint(
            model_name='batch',
            constraint=models.CheckConstraint(condition=models.Q(('approver', None), models.Q(('approver', models.F('actor')), _negated=True), _connector='OR'), name='batch_approved_by_a_second_person'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('idempotency_key', ''), _negated=True), models.Q(('state', 'refused'), _negated=True), models.Q(('code', 'stripe_unavailable'), ('state', 'failed'), _negated=True)), fields=('actor', 'idempotency_key'), name='operation_one_per_key'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'awaiting_approval')), fields=('invoice', 'action'), name='operation_one_waits_per_action'),
        ),
        migrations.AddField(
            model_name='contradiction',
            name='event',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='invoices.event'),
        ),
        migrations.AddField(
            model_name='contradiction',
            name='operation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='contradictions', to='invoices.operation'),
        ),
        migrations.AddField(
            model_name='contradiction',
            name='resolved_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='tokenrecord',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='tokenrecord',
            name='token',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='records', to=settings.KNOX_TOKEN_MODEL),
        ),
        migrations.AddIndex(
            model_name='contradiction',
            index=models.Index(models.F('found_at'), condition=models.Q(('resolved_at', None)), name='contradiction_unresolved'),
        ),
        migrations.AddConstraint(
            model_name='contradiction',
            constraint=models.UniqueConstraint(fields=('operation', 'event'), name='contradiction_once_per_event'),
        ),
        migrations.AddIndex(
            model_name='tokenrecord',
            index=models.Index(models.F('token'), models.OrderBy(models.F('at'), descending=True), name='tokenrecord_token'),
        ),
        migrations.AddConstraint(
            model_name='tokenrecord',
            constraint=models.UniqueConstraint(condition=models.Q(('what', 'used')), fields=('token', 'day', 'address'), name='tokenrecord_one_use_a_day'),
        ),
        migrations.RunPython(fill_what_is_at_stake, migrations.RunPython.noop),
        migrations.RunPython(guard_again, migrations.RunPython.noop),
    ]
