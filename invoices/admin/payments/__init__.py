"""Payments of invoices (InvoicePayment) and the PaymentIntents behind them, as mirrored from Stripe."""
