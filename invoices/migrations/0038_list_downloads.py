"""The journal of people has the downloads of lists."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0037_tallies'),
    ]

    operations = [
        migrations.AlterField(
            model_name='signinrecord',
            name='what',
            field=models.CharField(choices=[('signed_in', 'Signed in'), ('failed', 'Sign-in failed'), ('locked', 'Locked out'), ('refused', 'Sign-in refused'), ('signed_out', 'Signed out'), ('session_ended', 'Session ended'), ('factor_failed', 'Second factor failed'), ('factor_confirmed', 'Second factor confirmed'), ('factor_added', 'Second factor added'), ('factor_removed', 'Second factor removed'), ('factors_reset', 'Second factors reset'), ('user_made', 'User made'), ('user_changed', 'User changed'), ('user_deleted', 'User deleted'), ('group_changed', 'Group changed'), ('token_made', 'Token made'), ('token_revoked', 'Token revoked'), ('exported', 'Journal exported'), ('list_downloaded', 'List downloaded')], max_length=32),
        ),
    ]
