"""Objects for tests: Stripe's, made here and stored through the mirror or made at the sandbox; and users."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import factory
from django.contrib.auth.models import Group, User

from invoices import clock, mirror
from invoices.models import MIRRORED
from invoices.snapshot import Snapshot
from tests.sandbox_process import SandboxProcess

_count = itertools.count(1)


if TYPE_CHECKING:

    class DictFactory(dict[str, Any]):
        """What a type checker sees: calling a factory gives the dictionary that it makes."""

else:
    from factory import DictFactory


class Object(DictFactory):
    class Meta:
        abstract = True

    created = factory.LazyFunction(lambda: int(time.time()) - 60)
    livemode = False
    metadata = factory.LazyFunction(dict)


class CustomerObject(Object):
    object = "customer"
    id = factory.Sequence(lambda n: f"cus_{n:08d}")
    email = factory.Sequence(lambda n: f"customer{n}@example.com")
    name = factory.Sequence(lambda n: f"Customer {n}")
    invoice_settings = factory.LazyFunction(lambda: {"default_payment_method": None})


class InvoiceObject(Object):
    object = "invoice"
    id = factory.Sequence(lambda n: f"in_{n:08d}")
    number = factory.Sequence(lambda n: f"TEST-{n:04d}")
    status = "open"
    customer = factory.Sequence(lambda n: f"cus_{n:08d}")
    customer_email = factory.Sequence(lambda n: f"customer{n}@example.com")
    customer_name = factory.Sequence(lambda n: f"Customer {n}")
    currency = "usd"
    collection_method = "charge_automatically"
    total = 1000
    amount_due = 1000
    amount_paid = 0
    amount_remaining = 1000
    attempt_count = 0
    attempted = False
    lines = factory.LazyAttribute(
        lambda o: {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{o.id}/lines"}
    )
    status_transitions = factory.LazyFunction(
        lambda: {"finalized_at": None, "paid_at": None, "voided_at": None, "marked_uncollectible_at": None}
    )


class InvoicePaymentObject(Object):
    object = "invoice_payment"
    id = factory.Sequence(lambda n: f"inpay_{n:08d}")
    invoice = "in_00000001"
    status = "open"
    currency = "usd"
    amount_requested = 1000
    amount_paid = None
    is_default = True
    payment = factory.LazyFunction(lambda: {"type": "payment_intent", "payment_intent": f"pi_{next(_count):08d}"})


class PaymentIntentObject(Object):
    object = "payment_intent"
    id = factory.Sequence(lambda n: f"pi_{n:08d}")
    status = "requires_payment_method"
    amount = 1000
    amount_received = 0
    currency = "usd"


class ChargeObject(Object):
    object = "charge"
    id = factory.Sequence(lambda n: f"ch_{n:08d}")
    payment_intent = "pi_00000001"
    customer = "cus_00000001"
    status = "succeeded"
    currency = "usd"
    amount = 1000
    amount_captured = 1000
    amount_refunded = 0
    failure_code = None
    failure_message = None
    receipt_url = "https://pay.stripe.com/receipts/payment/1"
    payment_method_details = factory.LazyFunction(
        lambda: {"type": "card", "card": {"brand": "visa", "last4": "4242", "funding": "credit"}}
    )


class CreditNoteObject(Object):
    object = "credit_note"
    id = factory.Sequence(lambda n: f"cn_{n:08d}")
    number = factory.Sequence(lambda n: f"TEST-{n:04d}-CN-01")
    invoice = "in_00000001"
    customer = "cus_00000001"
    status = "issued"
    type = "pre_payment"
    currency = "usd"
    amount = 400
    lines = factory.LazyAttribute(
        lambda o: {"object": "list", "data": [], "has_more": False, "url": f"/v1/credit_notes/{o.id}/lines"}
    )


class RefundObject(Object):
    object = "refund"
    id = factory.Sequence(lambda n: f"re_{n:08d}")
    charge = "ch_00000001"
    payment_intent = "pi_00000001"
    customer = "cus_00000001"
    status = "succeeded"
    currency = "usd"
    amount = 400


def stored(data: dict[str, Any], **changes: Any) -> Any:
    """Stores an object as if a read of this moment had brought it. The row."""
    data = {**data, **changes}
    now = datetime.now(UTC).replace(microsecond=0)
    snapshot = Snapshot(
        data["object"], data["id"], data, now - timedelta(seconds=3), now + timedelta(seconds=3), begun_at=clock.now()
    )
    mirror.store([snapshot])
    return MIRRORED[data["object"]].objects.get(pk=data["id"])


def user_in_group(username: str, group: str | None) -> User:
    """A staff user, in one of the groups that come with the tables."""
    user = User.objects.create_user(username, f"{username}@example.com", "a long enough password", is_staff=True)
    if group:
        user.groups.add(Group.objects.get(name=group))
    return User.objects.get(pk=user.pk)


# --- real ones, at the sandbox ----------------------------------------------------------------------------------------


def customer_at(sandbox: SandboxProcess, card: str | None = "pm_card_visa", **given: Any) -> Any:
    """A customer at Stripe, with a default card unless `card` is None."""
    stripe = sandbox.client()
    customer = stripe.v1.customers.create({"email": "customer@example.com", "name": "Example Customer", **given})
    if card:
        method = stripe.v1.payment_methods.attach(card, {"customer": customer.id})
        customer = stripe.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    return customer


def invoice_at(
    sandbox: SandboxProcess,
    amount: int = 1000,
    currency: str = "usd",
    card: str | None = "pm_card_visa",
    customer: str | None = None,
    finalize: bool = True,
    lines: int = 1,
    **given: Any,
) -> Any:
    """An invoice at Stripe, open unless `finalize` is False; `amount` in minor units, over so many lines."""
    stripe = sandbox.client()
    customer = customer or customer_at(sandbox, card).id
    invoice = stripe.v1.invoices.create({"customer": customer, "currency": currency, **given})
    for line in range(lines):
        share = amount // lines + (amount % lines if line == 0 else 0)
        stripe.v1.invoice_items.create(
            {
                "customer": customer,
                "invoice": invoice.id,
                "amount": share,
                "currency": currency,
                "description": f"Line {line + 1}",
            }
        )
    return stripe.v1.invoices.finalize_invoice(invoice.id) if finalize else stripe.v1.invoices.retrieve(invoice.id)
