"""Actions are entries in code: their names, labels and permissions leave the tables. Calls and codes get types."""

from django.db import migrations, models

import invoices.models.batch_items
import invoices.models.calls


def rename_permission(apps, schema_editor, old="brake_actions", new="pause_actions"):
    """Groups and users that hold the old one hold the new one. Both exist where this went back and forth before."""
    alias = schema_editor.connection.alias
    permissions = apps.get_model("auth", "Permission").objects.using(alias).filter(content_type__app_label="invoices")
    before, after = permissions.filter(codename=old).first(), permissions.filter(codename=new).first()
    if before is not None and after is None:
        permissions.filter(pk=before.pk).update(codename=new)
    elif before is not None:
        for group in before.group_set.all():
            group.permissions.add(after)
        for user in before.user_set.all():
            user.user_permissions.add(after)
        before.delete()


def rename_permission_back(apps, schema_editor):
    rename_permission(apps, schema_editor, old="pause_actions", new="brake_actions")


def fill_first_sendings(apps, schema_editor):
    """Only of unknown outcomes: a manager's queue needs it at once. Final operations cannot be changed."""
    operations = apps.get_model("invoices", "Operation").objects.using(schema_editor.connection.alias)
    for operation in operations.filter(state="unknown"):
        sent_at = operation.calls[-1].first_sent_at if operation.calls else None
        if sent_at is not None:
            operations.filter(pk=operation.pk).update(last_call_first_sent_at=sent_at)


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0003_refetch_token_and_provisional'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='invoice',
            options={'base_manager_name': 'rows', 'default_manager_name': 'objects'},
        ),
        migrations.AlterModelOptions(
            name='operation',
            options={'permissions': [('approve_operation', "Can approve or reject another's operation"), ('override_operation', 'Can charge again within the decline cooldown, and resolve unknown outcomes')]},
        ),
        migrations.AlterModelOptions(
            name='pause',
            options={'permissions': [('pause_actions', 'Can pause and resume actions')]},
        ),
        migrations.RunPython(rename_permission, rename_permission_back),
        migrations.AddField(
            model_name='operation',
            name='last_call_first_sent_at',
            field=models.DateTimeField(blank=True, help_text='When the last of its calls was sent for the first time', null=True),
        ),
        migrations.AlterField(
            model_name='batch',
            name='action',
            field=models.CharField(help_text='A name in operations.ACTIONS', max_length=32),
        ),
        migrations.AlterField(
            model_name='operation',
            name='action',
            field=models.CharField(help_text='A name in operations.ACTIONS', max_length=32),
        ),
        migrations.AlterField(
            model_name='operation',
            name='after',
            field=models.JSONField(blank=True, default=dict, help_text="The invoice's status and amounts after it"),
        ),
        migrations.AlterField(
            model_name='operation',
            name='before',
            field=models.JSONField(blank=True, default=dict, help_text="The invoice's status and amounts before it"),
        ),
        # Both columns stay text. An AlterField that Django carries out would make the table anew on SQLite, and the
        # triggers that keep final operations unchanged (migration 0002) would be lost.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name='operation',
                    name='calls',
                    field=invoices.models.calls.CallsField(blank=True, default=list, help_text='What was sent, and what came back: RecordedCall'),
                ),
                migrations.AlterField(
                    model_name='batch',
                    name='items',
                    field=invoices.models.batch_items.BatchItemsField(default=list, help_text='BatchItem: the invoices as they were confirmed, in order'),
                ),
            ],
        ),
        migrations.AlterField(
            model_name='operation',
            name='code',
            field=models.CharField(blank=True, choices=[('permission_denied', 'Permission Denied'), ('resource_missing', 'Resource Missing'), ('parameter_invalid', 'Parameter Invalid'), ('invoice_not_open', 'Invoice Not Open'), ('invoice_changed', 'Invoice Changed'), ('attempted_recently', 'Attempted Recently'), ('approval_required', 'Approval Required'), ('operation_in_progress', 'Operation In Progress'), ('idempotency_key_reused', 'Idempotency Key Reused'), ('actions_paused', 'Actions Paused'), ('stripe_unavailable', 'Stripe Unavailable'), ('expired', 'Expired'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn'), ('outcome_unknown', 'Outcome Unknown'), ('not_applied', 'Not Applied'), ('stripe_refused', 'Stripe Refused'), ('card_declined', 'Card Declined'), ('authentication_required', 'Authentication Required')], max_length=255),
        ),
        migrations.AlterField(
            model_name='operation',
            name='outcome_by',
            field=models.CharField(blank=True, choices=[('us', 'our request'), ('someone_else', "someone else's request at Stripe"), ('nobody', 'nobody: nothing was applied'), ('person', 'a manager, who said what came of it')], max_length=16),
        ),
        migrations.AlterField(
            model_name='pause',
            name='action',
            field=models.CharField(blank=True, help_text='Empty: every action', max_length=32),
        ),
        migrations.AlterField(
            model_name='event',
            name='body',
            field=models.TextField(help_text='From a webhook: the raw body as it was signed. From the catch-up: the event as JSON'),
        ),
        migrations.AlterField(
            model_name='operation',
            name='fingerprint',
            field=models.CharField(blank=True, help_text='SHA-256 of action, invoice and parameters', max_length=64),
        ),
        migrations.AlterField(
            model_name='operation',
            name='idempotency_key',
            field=models.CharField(blank=True, help_text='Sent by the API client; unique per user', max_length=255),
        ),
        migrations.AlterField(
            model_name='operation',
            name='params',
            field=models.JSONField(blank=True, default=dict, help_text="The action's parameters after checking"),
        ),
        migrations.AlterField(
            model_name='operation',
            name='payment_method',
            field=models.CharField(blank=True, help_text='The id of the payment method that this charges; empty if nobody knows it', max_length=255),
        ),
        migrations.AlterField(
            model_name='operation',
            name='processing',
            field=models.BooleanField(default=False, help_text='Stripe took the payment; the bank is still processing it'),
        ),
        migrations.AlterField(
            model_name='operation',
            name='settle_at',
            field=models.DateTimeField(blank=True, help_text='The earliest moment of the next look at its outcome', null=True),
        ),
        migrations.RunPython(fill_first_sendings, migrations.RunPython.noop),
    ]
