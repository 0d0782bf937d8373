"""Bank statements, their transactions, and what people decide on them."""

import django.db.models.deletion
import invoices.clock
import invoices.models.fields
import uuid
from django.conf import settings
from django.db import migrations, models

from invoices.models import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('invoices', '0048_payments_by_day'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(triggers.remove, triggers.make),
        migrations.CreateModel(
            name='BankStatement',
            fields=[
                ('id', models.UUIDField(help_text="Follows from the file's hash and the place in the file", primary_key=True, serialize=False)),
                ('file_hash', models.CharField(help_text='SHA-256 of the whole file', max_length=64)),
                ('file_name', models.CharField(max_length=255)),
                ('format', models.CharField(help_text='camt.053, camt.054, MT940 or CSV', max_length=16)),
                ('account', models.CharField(help_text='IBAN, or bank and account number', max_length=64)),
                ('currency', models.CharField(help_text='Lower case, as at Stripe', max_length=3)),
                ('number', models.CharField(blank=True, help_text="The bank's own, of the statement", max_length=255)),
                ('begins_on', models.DateField(blank=True, null=True)),
                ('ends_on', models.DateField(blank=True, null=True)),
                ('opening', models.BigIntegerField(blank=True, help_text='Balance before, in minor units', null=True)),
                ('closing', models.BigIntegerField(blank=True, help_text='Balance after, in minor units', null=True)),
                ('line_count', models.PositiveIntegerField()),
                ('known_count', models.PositiveIntegerField(help_text='Lines that an earlier file had brought already')),
                ('uploaded_at', models.DateTimeField(default=invoices.clock.now)),
                ('shell_user', models.CharField(blank=True, help_text='Who ran the command: user@host', max_length=255)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('uploaded_by', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'bank statement',
                'verbose_name_plural': 'bank statements',
            },
        ),
        migrations.CreateModel(
            name='BankTransaction',
            fields=[
                ('id', models.UUIDField(help_text='Follows from account and identity', primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(help_text='The line of the file')),
                ('account', models.CharField(max_length=64)),
                ('identity', models.CharField(help_text='By which the same transaction of another file is known', max_length=64)),
                ('booked_on', models.DateField()),
                ('valued_on', models.DateField(blank=True, null=True)),
                ('amount', models.BigIntegerField(help_text='Minor units; below zero: a debit')),
                ('currency', models.CharField(max_length=3)),
                ('bank_reference', models.CharField(blank=True, max_length=255)),
                ('end_to_end_id', models.CharField(blank=True, max_length=255)),
                ('payer_name', models.CharField(blank=True, max_length=255)),
                ('payer_account', models.CharField(blank=True, max_length=64)),
                ('text', models.TextField(blank=True)),
                ('structured_reference', models.CharField(blank=True, max_length=255)),
                ('code', models.CharField(blank=True, help_text="The bank's code of the kind of transaction", max_length=255)),
                ('returns', invoices.models.fields.ObjectField(default=list, help_text='References of the earlier transaction that it undoes')),
                ('return_reason', models.CharField(blank=True, max_length=255)),
                ('entry_reference', models.CharField(blank=True, default='', help_text="The bank's, of the batch of which it is a part", max_length=255)),
                ('entry_amount', models.BigIntegerField(blank=True, help_text='Minor units of that batch; empty: it is no part of one', null=True)),
                ('state', models.CharField(choices=[('open', 'To match'), ('recording', 'Being recorded'), ('done', 'Done'), ('returned', 'Returned transfer'), ('debit', 'Debit')], default='open', max_length=16)),
                ('left', models.BigIntegerField(default=0, help_text='Minor units of a credit on which nobody has decided')),
                ('proposals', invoices.models.fields.ObjectField(blank=True, help_text='statements.matching.Proposal, best first', null=True)),
                ('confidence', models.PositiveSmallIntegerField(choices=[(3, 'High'), (2, 'Medium'), (1, 'Low'), (0, 'No proposal')], default=0)),
                ('proposed_at', models.DateTimeField(blank=True, null=True)),
                ('resembles', models.ForeignKey(blank=True, db_index=False, help_text='One of another file with the same day and amount: it may be the same', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='invoices.banktransaction')),
                ('statement', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='transactions', to='invoices.bankstatement')),
                ('undoes', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='returned_by', to='invoices.banktransaction')),
            ],
            options={
                'verbose_name': 'bank transaction',
                'verbose_name_plural': 'bank transactions',
                'permissions': [('match_banktransaction', 'Can match bank transactions with invoices, and set them aside')],
            },
        ),
        migrations.CreateModel(
            name='BankMatch',
            fields=[
                ('id', models.UUIDField(help_text='Of its operation too; follows from account, transaction, invoice and attempt', primary_key=True, serialize=False)),
                ('invoice', models.CharField(help_text="The invoice's id", max_length=255)),
                ('customer', models.CharField(blank=True, help_text="The id of the invoice's customer", max_length=255)),
                ('amount', models.BigIntegerField(help_text='Minor units')),
                ('currency', models.CharField(max_length=3)),
                ('attempt', models.PositiveIntegerField(help_text='1; one more after each that ended without effect')),
                ('confidence', models.PositiveSmallIntegerField(blank=True, choices=[(3, 'High'), (2, 'Medium'), (1, 'Low'), (0, 'No proposal')], help_text='Of the proposal that was confirmed; empty: assigned by hand', null=True)),
                ('confirmed_at', models.DateTimeField(default=invoices.clock.now)),
                ('state', models.CharField(choices=[('confirmed', 'Being recorded'), ('recorded', 'Recorded'), ('released', 'Not recorded')], default='confirmed', max_length=16)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('message', models.TextField(blank=True, help_text='Why it was not recorded')),
                ('batch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bank_matches', to='invoices.batch')),
                ('confirmed_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='matches', to='invoices.banktransaction')),
            ],
            options={
                'verbose_name': 'match of a bank credit',
                'verbose_name_plural': 'matches of bank credits',
            },
        ),
        migrations.CreateModel(
            name='BankDecision',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('what', models.CharField(choices=[('ignored', 'Set aside'), ('not_ours', 'Not ours'), ('already_recorded', 'Recorded already'), ('reopened', 'Taken up again'), ('another', 'Another payment')], max_length=32)),
                ('amount', models.BigIntegerField(help_text='Minor units of the credit that it is about')),
                ('reason', models.TextField()),
                ('operation', models.UUIDField(blank=True, help_text='That recorded the payment already', null=True)),
                ('decided_at', models.DateTimeField(default=invoices.clock.now)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('request_id', models.CharField(blank=True, max_length=255)),
                ('decided_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='invoices.banktransaction')),
            ],
            options={
                'verbose_name': 'decision on a bank credit',
                'verbose_name_plural': 'decisions on bank credits',
            },
        ),
        migrations.CreateModel(
            name='KnownPayer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('payer', models.CharField(help_text="The payer's account; without one, the name in small letters", max_length=255)),
                ('customer', models.CharField(help_text='The id of the customer whose invoice was paid', max_length=255)),
                ('times', models.PositiveIntegerField(default=0)),
                ('last_at', models.DateTimeField(default=invoices.clock.now)),
            ],
            options={
                'verbose_name': 'known payer',
                'verbose_name_plural': 'known payers',
                'indexes': [models.Index(models.F('customer'), name='knownpayer_customer')],
                'constraints': [models.UniqueConstraint(fields=('payer', 'customer'), name='knownpayer_once')],
            },
        ),
        migrations.CreateModel(
            name='StatementLayout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='SHA-256 of the labels of the columns', max_length=64)),
                ('name', models.CharField(help_text='Of the bank, as people call it', max_length=255)),
                ('layout', invoices.models.fields.ObjectField(help_text='statements.formats.CsvLayout')),
                ('changed_at', models.DateTimeField(default=invoices.clock.now)),
                ('changed_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'layout of CSV statements',
                'verbose_name_plural': 'layouts of CSV statements',
            },
        ),
        migrations.CreateModel(
            name='StatementLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='The line of the file')),
                ('place', models.PositiveIntegerField(help_text='1, 2, 3 and so on in the statement')),
                ('statement', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='invoices.bankstatement')),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='invoices.banktransaction')),
            ],
            options={
                'verbose_name': 'line of a bank statement',
                'verbose_name_plural': 'lines of bank statements',
            },
        ),
        migrations.AddIndex(
            model_name='bankstatement',
            index=models.Index(models.OrderBy(models.F('uploaded_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='bankstatement_newest'),
        ),
        migrations.AddIndex(
            model_name='bankstatement',
            index=models.Index(models.F('account'), models.OrderBy(models.F('uploaded_at'), descending=True), models.OrderBy(models.F('id'), descending=True), name='bankstatement_account'),
        ),
        migrations.AddIndex(
            model_name='bankstatement',
            index=models.Index(models.F('file_hash'), name='bankstatement_file'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('statement'), models.F('number'), models.F('id'), name='banktransaction_statement'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.OrderBy(models.F('booked_on'), descending=True), models.OrderBy(models.F('id'), descending=True), name='banktransaction_newest'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('state'), models.OrderBy(models.F('booked_on'), descending=True), models.OrderBy(models.F('id'), descending=True), name='banktransaction_state'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.OrderBy(models.F('confidence'), descending=True), models.OrderBy(models.F('booked_on'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('state', 'open')), name='banktransaction_to_match'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('account'), models.OrderBy(models.F('booked_on'), descending=True), models.OrderBy(models.F('id'), descending=True), name='banktransaction_account'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('account'), models.F('booked_on'), models.F('amount'), name='banktransaction_alike'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('end_to_end_id'), condition=models.Q(('end_to_end_id', ''), _negated=True), name='banktransaction_end_to_end'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('bank_reference'), condition=models.Q(('bank_reference', ''), _negated=True), name='banktransaction_reference'),
        ),
        migrations.AddIndex(
            model_name='banktransaction',
            index=models.Index(models.F('undoes'), condition=models.Q(('undoes__isnull', False)), name='banktransaction_undoes'),
        ),
        migrations.AddConstraint(
            model_name='banktransaction',
            constraint=models.UniqueConstraint(fields=('account', 'identity'), name='banktransaction_once'),
        ),
        migrations.AddConstraint(
            model_name='banktransaction',
            constraint=models.CheckConstraint(condition=models.Q(('left__gte', 0)), name='banktransaction_left'),
        ),
        migrations.AddIndex(
            model_name='bankmatch',
            index=models.Index(models.F('confirmed_at'), condition=models.Q(('state', 'confirmed')), name='bankmatch_confirmed'),
        ),
        migrations.AddIndex(
            model_name='bankmatch',
            index=models.Index(models.F('invoice'), models.OrderBy(models.F('confirmed_at'), descending=True), name='bankmatch_invoice'),
        ),
        migrations.AddIndex(
            model_name='bankmatch',
            index=models.Index(models.F('customer'), condition=models.Q(('customer', ''), _negated=True), name='bankmatch_customer'),
        ),
        migrations.AddConstraint(
            model_name='bankmatch',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'released'), _negated=True), fields=('transaction', 'invoice'), name='bankmatch_one_lives'),
        ),
        migrations.AddConstraint(
            model_name='bankmatch',
            constraint=models.UniqueConstraint(fields=('transaction', 'invoice', 'attempt'), name='bankmatch_attempt'),
        ),
        migrations.AddConstraint(
            model_name='bankmatch',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='bankmatch_amount'),
        ),
        migrations.AddIndex(
            model_name='bankdecision',
            index=models.Index(models.F('transaction'), models.F('decided_at'), name='bankdecision_transaction'),
        ),
        migrations.AddIndex(
            model_name='bankdecision',
            index=models.Index(models.F('operation'), condition=models.Q(('operation__isnull', False)), name='bankdecision_operation'),
        ),
        migrations.AddConstraint(
            model_name='statementline',
            constraint=models.UniqueConstraint(fields=('statement', 'place'), name='statementline_once'),
        ),
        migrations.AddConstraint(
            model_name='statementlayout',
            constraint=models.UniqueConstraint(fields=('key',), name='statementlayout_once'),
        ),
        migrations.RunPython(triggers.make, triggers.remove),
    ]
