"""What people wrote about differences between Stripe and the mirror that no run healed."""

import django.db.models.deletion
import invoices.clock
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0054_indexes_of_reports'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AlterModelOptions(
            name='drift',
            options={'permissions': [('explain_drift', 'Can explain differences that no run healed')], 'verbose_name': 'drift', 'verbose_name_plural': 'drift'},
        ),
        migrations.CreateModel(
            name='DriftExplanation',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('what', models.CharField(choices=[('explained', 'Explained'), ('taken_back', 'Explanation taken back')], max_length=16)),
                ('text', models.TextField()),
                ('written_at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('drift', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='explanations', to='invoices.drift')),
                ('written_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'explanation of drift',
                'verbose_name_plural': 'explanations of drift',
            },
        ),
        migrations.AddField(
            model_name='drift',
            name='explanation',
            field=models.ForeignKey(blank=True, db_index=False, help_text='That holds for this difference, also where it was found again; see reconcile/explaining.py', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='invoices.driftexplanation'),
        ),
        migrations.AddIndex(
            model_name='driftexplanation',
            index=models.Index(models.F('drift'), models.F('written_at'), name='driftexplanation_drift'),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
