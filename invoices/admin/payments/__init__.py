"""Payments of invoices (InvoicePayment), the PaymentIntents behind them, credit notes and refunds, as mirrored from
Stripe."""
