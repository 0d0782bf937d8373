"""The mirror's tables. Written by `invoices.mirror` alone; read by everyone."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from invoices.models.fields import ObjectField
from invoices.models.reading import flag, ident, integer, lower, member, moment, text

Object = dict[str, Any]


class Known(models.Manager):
    """Leaves out the rows that were made only to be locked or read: they say nothing of Stripe yet."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().filter(stored_at__isnull=False)


class Mirrored(models.Model):
    """One of Stripe's objects, the span in which its state was seen to be true, and when it was last written."""

    OBJECT: ClassVar[str]  # Stripe's `object` value
    RANKS: ClassVar[dict[str, int]] = {}  # status → progress, which does not go back
    DELETED_RANK: ClassVar[int] = 100
    VANISHING: ClassVar[frozenset[str]] = frozenset()  # statuses in which a 404 means that it was deleted

    id = models.CharField(primary_key=True, max_length=255)
    created = models.DateTimeField(null=True, blank=True, help_text="When Stripe made it")
    livemode = models.BooleanField(null=True, blank=True)
    data = ObjectField(null=True, blank=True, help_text="The whole object as Stripe sent it, all lines")
    seen_since = models.DateTimeField(null=True, blank=True, help_text="Stripe's clock: the state was true from here …")
    seen_until = models.DateTimeField(null=True, blank=True, help_text="… to here, or after")
    stored_at = models.DateTimeField(null=True, blank=True, help_text="The database's clock, once the row was locked")
    read_due_at = models.DateTimeField(null=True, blank=True, help_text="Read it from Stripe from this moment on")
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = Known()
    rows = models.Manager()  # every row, the empty ones too

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

    @classmethod
    def rank(cls, data: Object) -> int | None:
        """How far along the object is, or None where its status does not tell."""
        return cls.RANKS.get(member(data, "status"), None) if cls.RANKS else 0


def _indexes(name: str) -> list[models.Index]:
    return [
        models.Index("read_due_at", name=f"{name}_read_due", condition=Q(read_due_at__isnull=False)),
        models.Index(models.F("created").desc(), models.F("id").desc(), name=f"{name}_newest"),
    ]


class Customer(Mirrored):
    OBJECT = "customer"

    email = models.CharField(max_length=512, null=True, blank=True, db_index=True, help_text="In small letters")
    name = models.CharField(max_length=512, null=True, blank=True, db_index=True, help_text="In small letters")
    default_payment_method = models.CharField(max_length=255, null=True, blank=True)

    class Meta(Mirrored.Meta):
        indexes = _indexes("customer")

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "email": lower(data, "email"),
            "name": lower(data, "name"),
            "default_payment_method": ident(data, "invoice_settings", "default_payment_method")
            or ident(data, "default_source"),
        }


class Invoice(Mirrored):
    OBJECT = "invoice"
    RANKS = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
    VANISHING = frozenset({"draft"})
    FINAL = ("paid", "void")

    class Status(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        UNCOLLECTIBLE = "uncollectible"
        PAID = "paid"
        VOID = "void"

    # No constraint: Stripe's objects arrive in any order, and an invoice may stand here before its customer does.
    customer = models.ForeignKey(
        Customer, null=True, blank=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="invoices"
    )
    customer_email = models.CharField(
        max_length=512, null=True, blank=True, db_index=True, help_text="In small letters"
    )
    customer_name = models.CharField(max_length=512, null=True, blank=True, db_index=True, help_text="In small letters")
    number = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    status = models.CharField(max_length=32, null=True, blank=True, choices=Status.choices)
    currency = models.CharField(max_length=8, null=True, blank=True)
    collection_method = models.CharField(max_length=32, null=True, blank=True)
    billing_reason = models.CharField(max_length=64, null=True, blank=True)
    subscription = models.CharField(max_length=255, null=True, blank=True, db_index=True)
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

    class Meta(Mirrored.Meta):
        indexes = [
            *_indexes("invoice"),
            models.Index(
                "customer_id", models.F("created").desc(), models.F("id").desc(), name="invoice_customer_newest"
            ),
            models.Index("status", models.F("created").desc(), models.F("id").desc(), name="invoice_status_newest"),
            models.Index("due_date", name="invoice_open_due", condition=Q(status="open")),
        ]
        permissions = [
            ("pay_invoice", "Can pay an invoice"),
            ("attach_out_of_band_payment_invoice", "Can record a payment made outside Stripe"),
            ("attach_payment_invoice", "Can attach a payment to an invoice"),
            ("void_invoice", "Can void an invoice"),
            ("mark_uncollectible_invoice", "Can mark an invoice uncollectible"),
            ("finalize_invoice", "Can finalize an invoice"),
            ("send_invoice", "Can send an invoice"),
        ]

    @property
    def billed_to(self) -> str:
        """The customer's name as written, else the e-mail, else the id; empty where there is none."""
        return text(self.data, "customer_name") or text(self.data, "customer_email") or self.customer_id or ""

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "created": moment(data, "created") or moment(data, "date"),  # `date` before API version 2019-03-14
            "customer_id": ident(data, "customer"),
            "customer_email": lower(data, "customer_email"),
            "customer_name": lower(data, "customer_name"),
            "number": text(data, "number"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "collection_method": text(data, "collection_method", limit=32),
            "billing_reason": text(data, "billing_reason", limit=64),
            "subscription": ident(data, "parent", "subscription_details", "subscription")
            or ident(data, "subscription"),
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
        }


class InvoicePayment(Mirrored):
    OBJECT = "invoice_payment"
    RANKS = {"open": 0, "paid": 1, "canceled": 1}

    invoice = models.ForeignKey(
        Invoice, null=True, blank=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="payments"
    )
    status = models.CharField(max_length=32, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount_requested = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_paid = models.BigIntegerField(null=True, blank=True, help_text="Minor units; null until paid")
    is_default = models.BooleanField(null=True, blank=True)
    payment_type = models.CharField(max_length=64, null=True, blank=True)
    payment_intent = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    payment_record = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    charge = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)

    class Meta(Mirrored.Meta):
        indexes = _indexes("invoicepayment")

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "invoice_id": ident(data, "invoice"),
            "status": text(data, "status", limit=32),
            "currency": text(data, "currency", limit=8),
            "amount_requested": integer(data, "amount_requested"),
            "amount_paid": integer(data, "amount_paid"),
            "is_default": flag(data, "is_default"),
            "payment_type": text(data, "payment", "type", limit=64),
            "payment_intent": ident(data, "payment", "payment_intent"),
            "payment_record": ident(data, "payment", "payment_record"),
            "charge": ident(data, "payment", "charge"),
            "paid_at": moment(data, "status_transitions", "paid_at"),
            "canceled_at": moment(data, "status_transitions", "canceled_at"),
        }


class PaymentIntent(Mirrored):
    OBJECT = "payment_intent"
    # The states before the end come and go with each attempt; only the ends outrank them.
    RANKS = {
        "requires_payment_method": 0,
        "requires_confirmation": 0,
        "requires_action": 0,
        "processing": 0,
        "requires_capture": 0,
        "succeeded": 1,
        "canceled": 1,
    }

    customer = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    status = models.CharField(max_length=64, null=True, blank=True)
    currency = models.CharField(max_length=8, null=True, blank=True)
    amount = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    amount_received = models.BigIntegerField(null=True, blank=True, help_text="Minor units")
    payment_method = models.CharField(max_length=255, null=True, blank=True)
    latest_charge = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    error_code = models.CharField(max_length=255, null=True, blank=True)
    decline_code = models.CharField(max_length=255, null=True, blank=True)
    error_message = models.TextField(null=True, blank=True)

    class Meta(Mirrored.Meta):
        indexes = _indexes("paymentintent")

    @classmethod
    def columns(cls, data: Object) -> dict[str, Any]:
        return super().columns(data) | {
            "customer": ident(data, "customer"),
            "status": text(data, "status", limit=64),
            "currency": text(data, "currency", limit=8),
            "amount": integer(data, "amount"),
            "amount_received": integer(data, "amount_received"),
            "payment_method": ident(data, "payment_method"),
            "latest_charge": ident(data, "latest_charge"),
            "error_code": text(data, "last_payment_error", "code"),
            "decline_code": text(data, "last_payment_error", "decline_code"),
            "error_message": text(data, "last_payment_error", "message", limit=5000),
        }


# In the order in which their rows are locked; the same everywhere, so that two writers never wait for each other.
MIRRORED: dict[str, type[Mirrored]] = {
    model.OBJECT: model for model in (Customer, Invoice, InvoicePayment, PaymentIntent)
}
