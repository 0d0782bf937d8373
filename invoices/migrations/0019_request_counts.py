"""How many requests a caller sent in a minute: counted in the database where no Redis does."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0018_runtime_role'),
    ]

    operations = [
        migrations.CreateModel(
            name='RequestCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.BigIntegerField()),
                ('minute', models.BigIntegerField(help_text='Minutes since 1970')),
                ('number', models.IntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('minute', 'key'), name='one_count_per_key_and_minute')],
            },
        ),
    ]
