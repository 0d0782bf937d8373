"""What hosts share beyond mirror and journal: the throttle's slot, leases, when beat sent what."""

from django.db import migrations, models


def leave_out_like_twins(apps, schema_editor):
    """The indexes that Django would make beside text keys at the end of this migration: no question uses them."""
    schema_editor.deferred_sql[:] = [each for each in schema_editor.deferred_sql if "_like" not in str(each)]


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0016_emails'),
    ]

    operations = [
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('name', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('holder', models.CharField(help_text='The host, the process and a random word', max_length=200)),
                ('until', models.DateTimeField(help_text="The database's clock: another process may take it afterwards")),
            ],
        ),
        migrations.CreateModel(
            name='ScheduledRun',
            fields=[
                ('name', models.CharField(help_text='The key in CELERY_BEAT_SCHEDULE', max_length=64, primary_key=True, serialize=False)),
                ('sent_at', models.DateTimeField(help_text="The database's clock; of a task never sent: when beat first saw it")),
            ],
        ),
        migrations.CreateModel(
            name='ThrottleSlot',
            fields=[
                ('name', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('next_at', models.FloatField(help_text="Seconds since 1970, by the database's clock")),
            ],
        ),
        migrations.RunPython(leave_out_like_twins, migrations.RunPython.noop),
    ]
