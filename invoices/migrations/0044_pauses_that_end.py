"""When a pause ends by itself."""

from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):
    dependencies = [("invoices", "0043_indexes_of_find")]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AddField(
            model_name="pause",
            name="ends_at",
            field=models.DateTimeField(
                blank=True, help_text="When it ends by itself; empty: when somebody resumes it", null=True
            ),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
