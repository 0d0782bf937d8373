"""The changes feed: a row for each change of what the mirror shows, written by triggers on the mirror's tables."""

from django.db import migrations, models

from invoices.models import change_triggers, grants

# As the other queues (0018): autovacuum takes what was numbered out of it once a minute.
TENDED = {
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 50,
    "autovacuum_vacuum_cost_delay": 0,
}


def tend(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        options = ", ".join(f"{name} = {value}" for name, value in TENDED.items())
        schema_editor.execute(f"ALTER TABLE invoices_unnumberedchange SET ({options})")


def let_write(apps, schema_editor):
    """From the next step on every writer of the mirror writes here, also one whose grants are renewed only after the
    last migration."""
    if schema_editor.connection.vendor == "postgresql":
        for role in map(schema_editor.quote_name, grants.granted()):
            schema_editor.execute(f"GRANT INSERT ON invoices_unnumberedchange TO {role}")


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0023_short_columns_in_their_row'),
    ]

    operations = [
        migrations.CreateModel(
            name='Change',
            fields=[
                ('object_type', models.CharField(help_text="Stripe's `object` value", max_length=64)),
                ('object_id', models.CharField(max_length=255)),
                ('what', models.CharField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted')], max_length=16)),
                ('recorded_at', models.DateTimeField(help_text="The database's clock when the row was written, before its commit")),
                ('sequence', models.BigAutoField(help_text='Each number once, in their order, and none left out', primary_key=True, serialize=False)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='UnnumberedChange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('object_type', models.CharField(help_text="Stripe's `object` value", max_length=64)),
                ('object_id', models.CharField(max_length=255)),
                ('what', models.CharField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted')], max_length=16)),
                ('recorded_at', models.DateTimeField(help_text="The database's clock when the row was written, before its commit")),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.RunPython(tend, migrations.RunPython.noop),
        migrations.RunPython(let_write, migrations.RunPython.noop),
        migrations.RunPython(change_triggers.make, change_triggers.remove),
    ]
