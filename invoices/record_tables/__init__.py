"""The tables of our records: which columns the file of each list has."""

from django.db.models import Model

from invoices.models import (
    ApiToken,
    BankStatement,
    BankTransaction,
    Batch,
    Charge,
    CreditNote,
    Customer,
    Drift,
    Email,
    Event,
    Invoice,
    InvoicePayment,
    MonthClose,
    Note,
    Operation,
    Pause,
    PaymentIntent,
    Promise,
    ReconciliationRun,
    Refund,
    ScheduledRefetch,
    SignInRecord,
    WebhookEndpoint,
)
from invoices.record_tables import of_bank, of_desk, of_health, of_stripe, of_work
from invoices.record_tables.of_desk import at_stake
from invoices.record_tables.shape import Field, Seen, Shape

SHAPES: dict[type[Model], Shape] = {
    Invoice: of_stripe.INVOICES,
    Customer: of_stripe.CUSTOMERS,
    InvoicePayment: of_stripe.INVOICE_PAYMENTS,
    PaymentIntent: of_stripe.PAYMENT_INTENTS,
    Charge: of_stripe.CHARGES,
    CreditNote: of_stripe.CREDIT_NOTES,
    Refund: of_stripe.REFUNDS,
    Operation: of_desk.OPERATIONS,
    Batch: of_desk.BATCHES,
    Note: of_work.NOTES,
    Promise: of_work.PROMISES,
    MonthClose: of_desk.MONTH_CLOSES,
    Pause: of_desk.PAUSES,
    ApiToken: of_desk.API_TOKENS,
    WebhookEndpoint: of_desk.WEBHOOK_ENDPOINTS,
    Email: of_desk.EMAILS,
    SignInRecord: of_desk.SIGN_INS,
    BankStatement: of_bank.STATEMENTS,
    BankTransaction: of_bank.TRANSACTIONS,
    Event: of_health.EVENTS,
    ReconciliationRun: of_health.RUNS,
    Drift: of_health.DRIFT,
    ScheduledRefetch: of_health.REFETCHES,
}

__all__ = ["SHAPES", "Field", "Seen", "Shape", "at_stake"]
