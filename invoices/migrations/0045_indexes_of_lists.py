"""Makes the indexes by which the lists of the admin are filtered and sorted: amounts, currencies, statuses, names."""

import importlib

from django.db import migrations, models

AddSearchIndex = importlib.import_module("invoices.migrations.0028_indexes_of_search").AddSearchIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0044_pauses_that_end")]

    operations = [
        AddSearchIndex(
            model_name='charge',
            index=models.Index(models.F('status'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='charge_status_newest'),
        ),
        AddSearchIndex(
            model_name='charge',
            index=models.Index(models.F('currency'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='charge_currency_newest'),
        ),
        AddSearchIndex(
            model_name='charge',
            index=models.Index(models.F('currency'), models.F('amount'), models.F('id'), name='charge_by_amount'),
        ),
        AddSearchIndex(
            model_name='creditnote',
            index=models.Index(models.F('status'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='creditnote_status_newest'),
        ),
        AddSearchIndex(
            model_name='creditnote',
            index=models.Index(models.F('currency'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='creditnote_currency_newest'),
        ),
        AddSearchIndex(
            model_name='creditnote',
            index=models.Index(models.F('currency'), models.F('amount'), models.F('id'), name='creditnote_by_amount'),
        ),
        AddSearchIndex(
            model_name='customer',
            index=models.Index(models.F('name'), models.F('id'), condition=models.Q(('name__isnull', False)), name='customer_by_name'),
        ),
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('currency'), models.F('amount_remaining'), models.F('id'), name='invoice_by_remaining'),
        ),
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('currency'), models.F('amount_remaining'), models.F('id'), condition=models.Q(('status', 'open')), name='invoice_open_by_remaining'),
        ),
        AddSearchIndex(
            model_name='invoice',
            index=models.Index(models.F('currency'), models.F('total'), models.F('id'), name='invoice_by_total'),
        ),
        AddSearchIndex(
            model_name='invoicepayment',
            index=models.Index(models.F('currency'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='invoicepayment_currency_newest'),
        ),
        AddSearchIndex(
            model_name='invoicepayment',
            index=models.Index(models.F('currency'), models.F('amount_requested'), models.F('id'), name='invoicepayment_by_amount'),
        ),
        AddSearchIndex(
            model_name='operation',
            index=models.Index(models.F('approver'), models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('approver__isnull', False)), name='operation_approver'),
        ),
        AddSearchIndex(
            model_name='paymentintent',
            index=models.Index(models.F('status'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='paymentintent_status_newest'),
        ),
        AddSearchIndex(
            model_name='paymentintent',
            index=models.Index(models.F('currency'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='paymentintent_currency_newest'),
        ),
        AddSearchIndex(
            model_name='paymentintent',
            index=models.Index(models.F('currency'), models.F('amount'), models.F('id'), name='paymentintent_by_amount'),
        ),
        AddSearchIndex(
            model_name='refund',
            index=models.Index(models.F('status'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='refund_status_newest'),
        ),
        AddSearchIndex(
            model_name='refund',
            index=models.Index(models.F('currency'), models.OrderBy(models.F('created'), descending=True), models.OrderBy(models.F('id'), descending=True), name='refund_currency_newest'),
        ),
        AddSearchIndex(
            model_name='refund',
            index=models.Index(models.F('currency'), models.F('amount'), models.F('id'), name='refund_by_amount'),
        ),
    ]
