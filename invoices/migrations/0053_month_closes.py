"""The months that finance has closed; the permission to see reports; what people call notes and promises."""

import django.db.models.deletion
import invoices.clock
import invoices.models.fields
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ("invoices", "0052_indexes_of_promises"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="invoice",
            options={
                "base_manager_name": "rows",
                "default_manager_name": "objects",
                "permissions": [("view_reports", "Can see and download reports")],
                "verbose_name": "invoice",
                "verbose_name_plural": "invoices",
            },
        ),
        migrations.AlterModelOptions(name="note", options={"verbose_name": "note", "verbose_name_plural": "notes"}),
        migrations.AlterModelOptions(
            name="promise", options={"verbose_name": "promise", "verbose_name_plural": "promises"}
        ),
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='MonthClose',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('month', models.DateField(help_text='Its first day')),
                ('time_zone', models.CharField(help_text='In which its days begin and end', max_length=64)),
                ('number', models.PositiveIntegerField(help_text='1; one more each time that the month is closed again')),
                ('closed_at', models.DateTimeField(default=invoices.clock.now)),
                ('reason', models.TextField(blank=True, help_text='Needed where a check was not met, or the month was closed before')),
                ('checks', invoices.models.fields.ObjectField(default=list, help_text='month_end.Check as JSON: what each said at that moment')),
                ('totals', invoices.models.fields.ObjectField(default=dict, help_text='What → currency → minor units, of the month')),
                ('figures', invoices.models.fields.ObjectField(help_text='What of the month was known then: kind → id → what counts of it', null=True)),
                ('head_position', models.BigIntegerField(blank=True, help_text="The journal's last link at that moment", null=True)),
                ('head_hash', models.CharField(blank=True, max_length=64)),
                ('change_sequence', models.BigIntegerField(default=0, help_text='The last change of the mirror that it has seen')),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('shell_user', models.CharField(blank=True, max_length=255)),
                ('closed_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'closed month',
                'verbose_name_plural': 'closed months',
                'permissions': [('close_month', 'Can close a month')],
                'indexes': [models.Index(models.OrderBy(models.F('month'), descending=True), models.OrderBy(models.F('number'), descending=True), name='monthclose_newest')],
                'constraints': [models.UniqueConstraint(fields=('month', 'number'), name='monthclose_once')],
            },
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
