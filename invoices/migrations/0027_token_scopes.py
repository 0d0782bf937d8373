"""What a token is for, whether its program knows other versions of Stripe's API, and who made it on the command line.

No token that there is loses anything: without scopes `read_only` says what it may, and each may ask for any version.
"""

from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):
    dependencies = [("invoices", "0026_credit_notes_and_refunds")]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.AddField(
            model_name="apitoken",
            name="scopes",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Words of Scope and names of actions, with a space between them; empty: made before there were any",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="any_stripe_version",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Its program knows that objects are those of our version, whichever it asks for. Those made before this was asked keep it",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="shell_user",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Who ran the command that made it: user@host; empty: it was made in the admin",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="apitoken",
            name="read_only",
            field=models.BooleanField(
                default=False, help_text="What the version before goes by, and this one where there are no scopes"
            ),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
