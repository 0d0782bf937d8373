"""The mirror's tables: customers, invoices and their payments, payment intents, charges, credit notes and refunds.

`invoices.mirror` alone writes them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy, pgettext_lazy

from invoices.models.fields import ObjectField
from invoices.models.hosted_page import DIGEST_LENGTH
from invoices.models.hosted_page import digest as digest_of_page
from invoices.models.invoice_numbers import NumberKey
from invoices.models.reading import expandable_id, flag, integer, lower, member, moment, text
from invoices.models.searchable import metadata_lines

Object = dict[str, Any]


class StoredManager(models.Manager):
    """Leaves out the empty rows, which exist only to be locked: no state of theirs was stored yet."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().filter(stored_at__isnull=False)


class Mirrored(models.Model):
    """One of Stripe's objects, the span in which its state was seen to be true, and when it was last written.

    What the columns from `seen_since` to `provisional` mean for the freshness rule is in `invoices/mirror.py`.
    """

    OBJECT: ClassVar[str]  # Stripe's `object` value
    FINAL: ClassVar[tuple[str, ...]] = ()  # statuses that never change
    RANKS: ClassVar[dict[str, int]] = {}  # status → how far along the object is; this never decreases
    DELETABLE_STATUSES: ClassVar[frozenset[str]] = frozenset()  # in these a 404 means that the object was deleted

    id = models.CharField(primary_key=True, max_length=255)
    created = models.DateTimeField(null=True, blank=True, help_text="When Stripe created the object")
    livemode = models.BooleanField(null=True, blank=True)
    data = ObjectField(
        null=True, blank=True, help_text="The whole object as Stripe sent it, with all lines", spelled_anyhow=True
    )
    seen_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Stripe's clock: the beginning of the span in which the state was seen to be true",
    )
    seen_until = models.DateTimeField(null=True, blank=True, help_text="Stripe's clock: the end of that span")
    stored_at = models.DateTimeField(
        null=True, blank=True, help_text="The database's clock after the row was locked; empty: nothing was stored yet"
    )
    provisional = models.BooleanField(
        default=False,
        db_default=False,  # so that processes of the version before, which do not know the column, can go on writing
        help_text=(
            "The state came in another API version than ours. It is shown, but counts as no row for the freshness "
            "rule until the object was refetched"
        ),
    )
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="When the mirror learned that it was deleted")

    objects = StoredManager()
    rows = models.Manager()  # every row, the empty ones included

    class Meta:
        abstract = True
        default_manager_name = "objects"
        base_manager_name = "rows"

    def __str__(self) -> str:
        return self.id

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        """The typed columns' values, read from Stripe's object; None where it does not say."""
        return {"created": moment(data, "created"), "livemode": flag(data, "livemode")}

    def wrong_columns(self) -> dict[str, tuple[Any, Any]]:
        """The columns that do not follow from `data`: name → (what the column holds, what the object says)."""
        says = self.columns(self.data) if isinstance(self.data, dict) else {}
        return {name: (getattr(self, name), value) for name, value in says.items() if getattr(self, name) != value}

    @classmethod
    def rank(cls, data: Object) -> int | None:
        """How far along the object is, or None where its status does not tell."""
        return cls.RANKS.get(member(data, "status"), None) if cls.RANKS else 0


# Every index costs each write. So each stands beside the question that it answers, and tests/test_indexes.py holds the
# list. No column has `db_index`: on PostgreSQL Django would make a second index beside it, for LIKE. The indexes that
# find a part of a text, a word or metadata are in `searchable.py`: only PostgreSQL has them.


def _indexes(name: str) -> list[models.Index]:
    return [
        _newest(f"{name}_newest"),  # The next page of the list; what was created in this window?
    ]


def _newest(name: str, *columns: str, condition: Q | None = None) -> models.Index:
    """The rows with these values, newest first: a page of a list with that filter is one short range of it."""
    return models.Index(*columns, models.F("created").desc(), models.F("id").desc(), name=name, condition=condition)


def _amounts(name: str, column: str, condition: Q | None = None) -> models.Index:
    """The rows of a currency by this amount: `keyset.CurrencyOrder`, and a range of amounts in one currency."""
    return models.Index("currency", column, "id", name=name, condition=condition)


def _text(name: str, column: str) -> models.Index:
    """Which row has exactly this text, and which begins with it? On PostgreSQL only this operator class answers both;
    other databases have no such thing and need none."""
    return models.Index(fields=[column], name=name, opclasses=["varchar_pattern_ops"])


def _known(name: str, column: str) -> models.Index:
    """Which rows have exactly this value? Where most have none: those are left out."""
    return models.Index(column, name=name, condition=Q(**{f"{column}__isnull": False}))


# The objects of which Stripe does not say when they were finalized, ended or paid: reports name them. They are asked
# for in these very words, because those of a partial index must be found in the question.
_UNDATED_BEGIN = Q(finalized_at=None, status__in=("open", "paid", "uncollectible", "void"))
_UNDATED_END = (
    Q(status="paid", paid_at=None)
    | Q(status="void", voided_at=None)
    | Q(status="uncollectible", marked_uncollectible_at=None)
)
_UNDATED_PAYMENT = Q(status="paid", paid_at=None)


class Customer(Mirrored):
    OBJECT = "customer"

    email = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    name = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    phone = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    metadata = models.TextField(null=True, blank=True, help_text="In lines, to be searched: see searchable.py")
    default_payment_method = models.CharField(max_length=255, null=True, blank=True)

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("customer")
        verbose_name_plural = gettext_lazy("customers")
        indexes = [
            *_indexes("customer"),
            _text("customer_email", "email"),  # Search by e-mail, or its beginning
            _text("customer_name", "name"),  # Search by the beginning of the name
            models.Index("name", "id", name="customer_by_name", condition=Q(name__isnull=False)),  # The list by name
            models.Index(Lower("id"), name="customer_any_case"),  # How is the id spelled that a query names?
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "email": lower(data, "email"),
            "name": lower(data, "name"),
            "phone": lower(data, "phone"),
            "metadata": metadata_lines(data),
            "default_payment_method": expandable_id(data, "invoice_settings", "default_payment_method")
            or expandable_id(data, "default_source"),
        }


class Invoice(Mirrored):
    OBJECT = "invoice"
    RANKS = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
    DELETABLE_STATUSES = frozenset({"draft"})
    # An uncollectible invoice can still be paid.
    UNPAID = ("draft", "open", "uncollectible")
    FINAL = ("paid", "void")
    UNDATED_BEGIN, UNDATED_END = _UNDATED_BEGIN, _UNDATED_END

    class Status(models.TextChoices):
        DRAFT = "draft", gettext_lazy("Draft")
        OPEN = "open", gettext_lazy("Open")
        UNCOLLECTIBLE = "uncollectible", gettext_lazy("Uncollectible")
        PAID = "paid", gettext_lazy("Paid")
        VOID = "void", pgettext_lazy("status of an invoice", "Void")

    # No constraint in the database: an invoice may be stored before its customer.
    customer = models.ForeignKey(
        Customer,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="invoices",
    )
    customer_email = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    customer_name = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    number = models.CharField(max_length=255, null=True, blank=True)
    receipt_number = models.CharField(max_length=512, null=True, blank=True, help_text="In small letters")
    status = models.CharField(max_length=32, null=True, blank=True, choices=Status.choices)
    currency = models.CharField(max_length=8, null=True, blank=True)
    collection_method = models.CharField(max_length=32, null=True, blank=True)
    billing_reason = models.CharField(max_length=64, null=True, blank=True)
    subscription = models.CharField(max_length=255, null=True, blank=True)
    total = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_due = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_paid = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_remaining = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    attempted = models.BooleanField(null=True, blank=True)
    attempt_count = models.BigIntegerField(null=True, blank=True)
    due_date = models.DateTimeField(null=True, blank=True)
    next_payment_attempt = models.DateTimeField(null=True, blank=True)
    finalized_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    marked_uncollectible_at = models.DateTimeField(null=True, blank=True)
    last_finalization_error_code = models.CharField(max_length=255, null=True, blank=True)
    last_finalization_error_type = models.CharField(max_length=255, null=True, blank=True)
    metadata = models.TextField(null=True, blank=True, help_text="In lines, to be searched: see searchable.py")
    hosted_page = models.CharField(
        max_length=DIGEST_LENGTH,
        null=True,
        blank=True,
        help_text="A digest of the address of Stripe's page for the customer: see hosted_page.py",
    )

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("invoice")
        verbose_name_plural = gettext_lazy("invoices")
        indexes = [
            *_indexes("invoice"),
            _newest("invoice_customer_newest", "customer_id"),  # One customer's invoices: page, API, search
            # What one customer owes: neither the customer's 20,000 other invoices are read, nor what all others owe
            _newest("invoice_customer_open", "customer_id", condition=Q(status="open")),
            _newest("invoice_status_newest", "status"),  # Lists by status, in admin and API
            _newest("invoice_currency_newest", "currency"),  # Lists by currency
            # Lists by collection method. Where nearly all are charged automatically, the few others are found by it.
            _newest("invoice_collection_newest", "collection_method"),
            # Overdue invoices, the longest overdue first
            models.Index("due_date", "id", name="invoice_open_due", condition=Q(status="open")),
            _known("invoice_due", "due_date"),  # Stripe's filter `due_date`
            _text("invoice_number", "number"),  # Search by the number, or its beginning
            models.Index(NumberKey("number"), name="invoice_number_key"),  # Which invoices does a bank's text name?
            _text("invoice_customer_name", "customer_name"),  # Search by the beginning of the name on the invoice
            _known("invoice_customer_email", "customer_email"),  # Search by the e-mail on the invoice
            _known("invoice_subscription", "subscription"),  # Stripe's filter `subscription`, and the search
            # Search by amounts and by when it was paid
            *(_known(f"invoice_{name}", name) for name in ("total", "amount_due", "amount_remaining", "paid_at")),
            # Reports: what was issued, voided and written off in a month, and what was open at the end of it
            *(_known(f"invoice_{name}", f"{name}_at") for name in ("finalized", "voided")),
            _known("invoice_marked_uncollectible", "marked_uncollectible_at"),
            models.Index("id", name="invoice_undated_begin", condition=_UNDATED_BEGIN),
            models.Index("id", name="invoice_undated_end", condition=_UNDATED_END),
            # Lists by amount, and ranges of amounts. Most rows have nothing left to pay: the open ones stand apart.
            _amounts("invoice_by_remaining", "amount_remaining"),
            _amounts("invoice_open_by_remaining", "amount_remaining", Q(status="open")),
            # What a bank credit may pay though it was written off: by its amount, and of one customer
            _amounts("invoice_written_off_amount", "amount_remaining", Q(status="uncollectible")),
            _newest("invoice_customer_written_off", "customer_id", condition=Q(status="uncollectible")),
            _amounts("invoice_by_total", "total"),
            _known("invoice_error_code", "last_finalization_error_code"),  # Search by why it could not be finalized
            _known("invoice_error_type", "last_finalization_error_type"),
            _known("invoice_hosted_page", "hosted_page"),  # Search by an address of Stripe's page for the customer
        ]
        permissions = [("view_reports", "Can see and download reports")]

    @property
    def billed_to(self) -> str:
        """The customer's name as written, else the e-mail, else the id; empty where there is none."""
        return text(self.data, "customer_name") or text(self.data, "customer_email") or self.customer_id or ""

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "created": moment(data, "created") or moment(data, "date"),  # `date` before API version 2019-03-14
            "customer_id": expandable_id(data, "customer"),
            "customer_email": lower(data, "customer_email"),
            "customer_name": lower(data, "customer_name"),
            "number": text(data, "number"),
            "receipt_number": lower(data, "receipt_number"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "collection_method": text(data, "collection_method", limit=32),
            "billing_reason": text(data, "billing_reason", limit=64),
            "subscription": expandable_id(data, "parent", "subscription_details", "subscription")
            or expandable_id(data, "subscription"),
            "total": integer(data, "total"),
            "amount_due": integer(data, "amount_due"),
            "amount_paid": integer(data, "amount_paid"),
            "amount_remaining": integer(data, "amount_remaining"),
            "attempted": flag(data, "attempted"),
            "attempt_count": integer(data, "attempt_count"),
            "due_date": moment(data, "due_date"),
            "next_payment_attempt": moment(data, "next_payment_attempt"),
            "finalized_at": moment(data, "status_transitions", "finalized_at"),
            "paid_at": moment(data, "status_transitions", "paid_at"),
            "voided_at": moment(data, "status_transitions", "voided_at"),
            "marked_uncollectible_at": moment(data, "status_transitions", "marked_uncollectible_at"),
            "last_finalization_error_code": text(data, "last_finalization_error", "code"),
            "last_finalization_error_type": text(data, "last_finalization_error", "type"),
            "metadata": metadata_lines(data),
            "hosted_page": digest_of_page(member(data, "hosted_invoice_url")),
        }


class InvoicePayment(Mirrored):
    OBJECT = "invoice_payment"
    RANKS = {"open": 0, "paid": 1, "canceled": 1}
    FINAL = ("paid", "canceled")
    UNDATED = _UNDATED_PAYMENT

    invoice = models.ForeignKey(
        Invoice,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="payments",
    )
    status = models.CharField(max_length=32, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount_requested = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_paid = models.BigIntegerField(null=True, blank=True, help_text="Minor units; null until paid")
    is_default = models.BooleanField(null=True, blank=True)
    payment_type = models.CharField(max_length=64, null=True, blank=True)
    payment_intent = models.CharField(max_length=255, null=True, blank=True)
    payment_record = models.CharField(max_length=255, null=True, blank=True)
    charge = models.CharField(max_length=255, null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("invoice payment")
        verbose_name_plural = gettext_lazy("invoice payments")
        indexes = [
            *_indexes("invoicepayment"),
            _known("invoicepayment_invoice", "invoice_id"),  # The payments of an invoice
            _known("invoicepayment_intent", "payment_intent"),  # Which invoice does this PaymentIntent pay?
            _known("invoicepayment_record", "payment_record"),  # Which invoice does this payment record pay?
            _known("invoicepayment_charge", "charge"),  # Which invoice does this charge pay?
            models.Index("id", name="invoicepayment_undated", condition=_UNDATED_PAYMENT),  # Reports
            # What was paid in a month, in the order of the days
            models.Index("paid_at", "id", name="invoicepayment_by_day", condition=Q(paid_at__isnull=False)),
            _newest("invoicepayment_status_newest", "status"),  # Stripe's filter `status`
            _newest("invoicepayment_currency_newest", "currency"),  # Lists by currency
            _amounts("invoicepayment_by_amount", "amount_requested"),  # Lists by amount
            # Stripe's filter `payment[type]`: payments outside Stripe are few
            _newest("invoicepayment_records_newest", condition=Q(payment_type="payment_record")),
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "invoice_id": expandable_id(data, "invoice"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "amount_requested": integer(data, "amount_requested"),
            "amount_paid": integer(data, "amount_paid"),
            "is_default": flag(data, "is_default"),
            "payment_type": text(data, "payment", "type", limit=64),
            "payment_intent": expandable_id(data, "payment", "payment_intent"),
            "payment_record": expandable_id(data, "payment", "payment_record"),
            "charge": expandable_id(data, "payment", "charge"),
            "paid_at": moment(data, "status_transitions", "paid_at"),
            "canceled_at": moment(data, "status_transitions", "canceled_at"),
        }


class PaymentIntent(Mirrored):
    OBJECT = "payment_intent"
    # The statuses before the end come and go with each attempt, so they share a rank.
    RANKS = {
        "requires_payment_method": 0,
        "requires_confirmation": 0,
        "requires_action": 0,
        "processing": 0,
        "requires_capture": 0,
        "succeeded": 1,
        "canceled": 1,
    }

    customer = models.CharField(max_length=255, null=True, blank=True)
    status = models.CharField(max_length=64, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_received = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    payment_method = models.CharField(max_length=255, null=True, blank=True)
    latest_charge = models.CharField(max_length=255, null=True, blank=True)
    error_code = models.CharField(max_length=255, null=True, blank=True)
    decline_code = models.CharField(max_length=255, null=True, blank=True)
    error_message = models.TextField(null=True, blank=True)

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("payment intent")
        verbose_name_plural = gettext_lazy("payment intents")
        indexes = [
            *_indexes("paymentintent"),
            _newest("paymentintent_status_newest", "status"),  # Lists by status
            _newest("paymentintent_currency_newest", "currency"),  # Lists by currency
            _amounts("paymentintent_by_amount", "amount"),  # Lists by amount
            _known(
                "paymentintent_customer", "customer"
            ),  # The attempts of a customer: search, and the decline cooldown
            _known("paymentintent_charge", "latest_charge"),  # Which PaymentIntent made this charge?
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "customer": expandable_id(data, "customer"),
            "status": text(data, "status", limit=64),
            "currency": text(data, "currency", limit=8),
            "amount": integer(data, "amount"),
            "amount_received": integer(data, "amount_received"),
            "payment_method": expandable_id(data, "payment_method"),
            "latest_charge": expandable_id(data, "latest_charge"),
            "error_code": text(data, "last_payment_error", "code"),
            "decline_code": text(data, "last_payment_error", "decline_code"),
            "error_message": text(data, "last_payment_error", "message", limit=5000),
        }


class Charge(Mirrored):
    """One attempt to take money, also one that failed. Those without a PaymentIntent come from older integrations."""

    OBJECT = "charge"
    # A bank debit is pending for days. What was captured, refunded or disputed afterwards changes no status.
    RANKS = {"pending": 0, "succeeded": 1, "failed": 1}
    FINAL = ("failed",)

    payment_intent = models.CharField(max_length=255, null=True, blank=True)
    customer = models.CharField(max_length=255, null=True, blank=True)
    status = models.CharField(max_length=32, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_refunded = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    failure_code = models.CharField(max_length=255, null=True, blank=True)

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("charge")
        verbose_name_plural = gettext_lazy("charges")
        indexes = [
            *_indexes("charge"),
            _newest("charge_status_newest", "status"),  # Lists by status
            _newest("charge_currency_newest", "currency"),  # Lists by currency
            _amounts("charge_by_amount", "amount"),  # Lists by amount
            _known("charge_intent", "payment_intent"),  # Every attempt of a PaymentIntent: Stripe's filter, erasure
            _newest("charge_customer_newest", "customer"),  # Stripe's filter `customer`, and what is a customer's
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "payment_intent": expandable_id(data, "payment_intent"),
            "customer": expandable_id(data, "customer"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "amount": integer(data, "amount"),
            "amount_refunded": integer(data, "amount_refunded"),
            "failure_code": text(data, "failure_code"),
        }


class CreditNote(Mirrored):
    OBJECT = "credit_note"
    RANKS = {"issued": 0, "void": 1}
    FINAL = ("void",)

    invoice = models.ForeignKey(
        Invoice,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="credit_notes",
    )
    customer = models.CharField(max_length=255, null=True, blank=True)
    number = models.CharField(max_length=255, null=True, blank=True)
    status = models.CharField(max_length=32, null=True, blank=True)
    type = models.CharField(
        max_length=32, null=True, blank=True, help_text="Whether it credits what was not paid yet, what was, or both"
    )
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount = models.BigIntegerField(null=True, blank=True, help_text="Minor units, with tax")

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("credit note")
        verbose_name_plural = gettext_lazy("credit notes")
        indexes = [
            *_indexes("creditnote"),
            _newest("creditnote_status_newest", "status"),  # Lists by status
            _newest("creditnote_currency_newest", "currency"),  # Lists by currency
            _amounts("creditnote_by_amount", "amount"),  # Lists by amount
            _known("creditnote_invoice", "invoice_id"),  # The credit notes of an invoice
            _known("creditnote_customer", "customer"),  # Stripe's filter `customer`, and what is a customer's
            _known("creditnote_number", "number"),  # Search by the number
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "invoice_id": expandable_id(data, "invoice"),
            "customer": expandable_id(data, "customer"),
            "number": text(data, "number"),
            "status": text(data, "status", limit=32),
            "type": text(data, "type", limit=32),
            "currency": text(data, "currency", limit=8),
            "amount": integer(data, "amount"),
        }


class Refund(Mirrored):
    OBJECT = "refund"
    # A refund that succeeded can fail days later, when the customer's bank sends the money back.
    RANKS = {"pending": 0, "requires_action": 0, "succeeded": 1, "failed": 2, "canceled": 2}
    FINAL = ("failed", "canceled")

    charge = models.CharField(max_length=255, null=True, blank=True)
    payment_intent = models.CharField(max_length=255, null=True, blank=True)
    customer = models.CharField(max_length=255, null=True, blank=True)
    status = models.CharField(max_length=32, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount = models.BigIntegerField(null=True, blank=True, help_text="Minor units")

    class Meta(Mirrored.Meta):
        verbose_name = gettext_lazy("refund")
        verbose_name_plural = gettext_lazy("refunds")
        indexes = [
            *_indexes("refund"),
            _newest("refund_status_newest", "status"),  # Lists by status
            _newest("refund_currency_newest", "currency"),  # Lists by currency
            _amounts("refund_by_amount", "amount"),  # Lists by amount
            _known("refund_charge", "charge"),  # Stripe's filter `charge`
            # Stripe's filter `payment_intent`, and the refunds of an invoice
            _known("refund_intent", "payment_intent"),
            _known("refund_customer", "customer"),  # What is a customer's
        ]

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "charge": expandable_id(data, "charge"),
            "payment_intent": expandable_id(data, "payment_intent"),
            "customer": expandable_id(data, "customer"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "amount": integer(data, "amount"),
        }


# `object` value → model. Every writer locks rows in this order of tables, so two writers cannot wait for each other.
MIRRORED: dict[str, type[Mirrored]] = {
    model.OBJECT: model for model in (Customer, Invoice, InvoicePayment, PaymentIntent, Charge, CreditNote, Refund)
}
