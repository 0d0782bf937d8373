"""The permission to make API tokens for service users, and tokens that outlive an attempt to delete their user.

The permissions that are there already are noted as given, so that the `create_groups` of this version gives the groups
only what is new.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def note_permissions(apps, schema_editor):
    """On a fresh database there is no permission yet."""
    alias = schema_editor.connection.alias
    permissions = apps.get_model("auth", "Permission").objects.using(alias).filter(content_type__app_label="invoices")
    given = apps.get_model("invoices", "GivenPermission")
    codenames = permissions.values_list("codename", flat=True)
    given.objects.using(alias).bulk_create([given(codename=codename) for codename in set(codenames)])


class Migration(migrations.Migration):
    dependencies = [("invoices", "0005_authority")]

    operations = [
        migrations.AlterModelOptions(
            name="apitoken",
            options={
                "permissions": [("add_service_token", "Can make API tokens for service users")],
                "verbose_name": "API token",
            },
        ),
        migrations.AlterField(
            model_name="apitoken",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="auth_token_set",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.CreateModel(
            name="GivenPermission",
            fields=[("codename", models.CharField(max_length=100, primary_key=True, serialize=False))],
        ),
        migrations.RunPython(note_permissions, migrations.RunPython.noop),
    ]
