"""Whether a bank transaction is a return, also where it names no reference of what it returns."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0055_explanations_of_drift'),
    ]

    operations = [
        migrations.AddField(
            model_name='banktransaction',
            name='is_return',
            field=models.BooleanField(db_default=False, default=False, help_text='It undoes an earlier one, or came back of a transfer of our own'),
        ),
        # So far only a return with references was known as one.
        migrations.RunSQL(
            "UPDATE invoices_banktransaction SET is_return = TRUE WHERE returns <> '[]' OR state = 'returned'",
            migrations.RunSQL.noop,
        ),
    ]
