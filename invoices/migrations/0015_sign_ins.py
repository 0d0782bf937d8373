"""The journal of people: sign-ins, changes of users and groups; and the archives of its months."""

import django.db.models.deletion
import invoices.clock
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0014_proof_covers_everything'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='SignInRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('what', models.CharField(choices=[('signed_in', 'Signed in'), ('failed', 'Sign-in failed'), ('locked', 'Locked out'), ('refused', 'Sign-in refused'), ('signed_out', 'Signed out'), ('session_ended', 'Session ended'), ('factor_failed', 'Second factor failed'), ('factor_confirmed', 'Second factor confirmed'), ('factor_added', 'Second factor added'), ('factor_removed', 'Second factor removed'), ('factors_reset', 'Second factors reset'), ('user_made', 'User made'), ('user_changed', 'User changed'), ('user_deleted', 'User deleted'), ('group_changed', 'Group changed'), ('token_made', 'Token made'), ('token_revoked', 'Token revoked'), ('exported', 'Journal exported')], max_length=32)),
                ('username', models.CharField(blank=True, help_text='Whose account; what was typed, where none has it', max_length=255)),
                ('user_key', models.BigIntegerField(blank=True, help_text="The account's id", null=True)),
                ('by', models.CharField(blank=True, help_text='Who did it: a user, or who ran a command', max_length=255)),
                ('detail', models.TextField(blank=True)),
                ('reason', models.TextField(blank=True)),
                ('address', models.CharField(blank=True, help_text="The client's IP address; empty: not known", max_length=45)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('at', models.DateTimeField(default=invoices.clock.now)),
            ],
            options={
                'verbose_name': 'sign-in record',
                'permissions': [('reset_second_factor', 'Can reset the second factors of others')],
                'indexes': [models.Index(models.OrderBy(models.F('at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='signinrecord_at'), models.Index(models.F('username'), models.OrderBy(models.F('at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='signinrecord_username'), models.Index(models.F('what'), models.OrderBy(models.F('at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='signinrecord_what'), models.Index(models.F('address'), models.OrderBy(models.F('at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='signinrecord_address')],
            },
        ),
        migrations.CreateModel(
            name='SignInArchive',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.DateField(help_text="Its first day: of the records' `at`, UTC")),
                ('file', models.CharField(help_text='The name of the file, without its folder', max_length=255)),
                ('count', models.PositiveBigIntegerField(help_text='Records in the file')),
                ('sha256', models.CharField(help_text='Of the file', max_length=64)),
                ('positions', models.TextField(help_text="Positions of the records' links in the chain, as 1-500,503")),
                ('reason', models.TextField()),
                ('shell_user', models.CharField(blank=True, help_text='Who ran the command: user@host', max_length=255)),
                ('made_at', models.DateTimeField(default=invoices.clock.now)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('file',), name='signinarchive_file')],
            },
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
