"""A role that may not change the tables can run the desk: a function makes the months of events for it, and autovacuum
tends the queues that it may not vacuum."""

from django.db import migrations

from invoices.models import partitions

QUEUES = ("invoices_pendingevent", "invoices_unchainedrow")
# Autovacuum looks once a minute; it then takes a queue from which fifty rows were taken, and does not pause in it.
STORAGE = {
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 50,
    "autovacuum_vacuum_cost_delay": 0,
}


def tend(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for queue in QUEUES:
            schema_editor.execute(f"ALTER TABLE {queue} SET ({', '.join(f'{k} = {v}' for k, v in STORAGE.items())})")


def neglect(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for queue in QUEUES:
            schema_editor.execute(f"ALTER TABLE {queue} RESET ({', '.join(STORAGE)})")


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0017_shared_state'),
    ]

    operations = [
        migrations.RunPython(partitions.make_function, partitions.drop_function),
        migrations.RunPython(tend, neglect),
    ]
