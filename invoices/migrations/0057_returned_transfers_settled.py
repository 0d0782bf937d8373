"""A person can say of a returned transfer that it is settled at Stripe. Names one more decision; changes no table."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0056_returns_without_references'),
    ]

    operations = [
        migrations.AlterField(
            model_name='bankdecision',
            name='what',
            field=models.CharField(choices=[('ignored', 'Set aside'), ('not_ours', 'Not ours'), ('already_recorded', 'Recorded already'), ('reopened', 'Taken up again'), ('another', 'Another payment'), ('settled', 'Settled at Stripe')], max_length=32),
        ),
    ]
