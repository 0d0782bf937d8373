"""Saved views of lists."""

import django.db.models.deletion
import invoices.clock
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0039_work'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('list', models.CharField(help_text='Of which records: the name of the model, such as `invoice`', max_length=64)),
                ('name', models.CharField(max_length=60)),
                ('query', models.CharField(blank=True, help_text="The list's address behind the question mark", max_length=2000)),
                ('shared', models.BooleanField(default=False, help_text='Everybody who may see the list sees the view')),
                ('created_at', models.DateTimeField(default=invoices.clock.now)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='saved_views', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('share_savedview', 'Can share views of lists with everybody')],
                'indexes': [models.Index(models.F('list'), condition=models.Q(('shared', True)), name='savedview_shared')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'list', 'name'), name='savedview_one_per_name')],
            },
        ),
    ]
