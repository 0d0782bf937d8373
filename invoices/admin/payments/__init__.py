"""Payments of invoices (InvoicePayment), the PaymentIntents behind them, charges, credit notes and refunds, as mirrored
from Stripe."""
