"""Drift has a kind for a column that differs from its object, and reports have all kinds: choices and help texts."""

import invoices.models.fields
from django.db import migrations, models


def drop_like_twins(apps, schema_editor):
    """Those that Django made for the keys of the tables since 0010: no question uses them."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() "
            "AND tablename LIKE 'invoices\\_%%' AND indexname LIKE '%%\\_like'"
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0013_erasures'),
    ]

    operations = [
        migrations.AlterField(
            model_name='drift',
            name='field',
            field=models.CharField(blank=True, help_text='The path in the object, such as lines.data.3.amount, or the column; empty: the whole object', max_length=255),
        ),
        migrations.AlterField(
            model_name='drift',
            name='kind',
            field=models.CharField(choices=[('missing_here', 'missing here'), ('missing_at_stripe', 'missing at Stripe'), ('differs', 'Differs'), ('unreadable', 'Unreadable'), ('column', 'column differs from its object')], max_length=32),
        ),
        migrations.AlterField(
            model_name='reconciliationrun',
            name='report',
            field=invoices.models.fields.ObjectField(blank=True, default=dict, help_text='Of a proof: counts, sums and digests by kind and day: RunReport'),
        ),
        migrations.RunPython(drop_like_twins, migrations.RunPython.noop),
    ]
