"""Addresses of our own pages, and of Stripe's dashboard."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoices.models.reading import is_id

DASHBOARD = "https://dashboard.stripe.com"

# Stripe's `object` → the name of our model. Objects of other types have no page here.
MODELS_WITH_A_PAGE = {
    "invoice": "invoice",
    "customer": "customer",
    "invoice_payment": "invoicepayment",
    "payment_intent": "paymentintent",
    "charge": "charge",
    "credit_note": "creditnote",
    "refund": "refund",
}


def page_url(record: Model) -> str:
    return url_of(record._meta.model_name or "", record.pk)


def url_of(model: str, pk: Any) -> str:
    """The address of a record's page. It contains Stripe's id unchanged, so that people can paste one into it (Django's
    own address would write `in_1` as `in_5F1`).

    A row of an older version may have a key that no address can name, such as `in/1`: then it is the list's search."""
    if isinstance(pk, str) and not is_id(pk):
        return f"{reverse(f'admin:invoices_{model}_changelist')}?{urlencode({'q': pk})}"
    return reverse(f"admin:invoices_{model}_page", args=[pk])


def object_link(object_type: str, object_id: str) -> SafeString:
    """The id of one of Stripe's objects, linked to its page here if it has one."""
    if object_type in MODELS_WITH_A_PAGE and object_id:
        return format_html('<a href="{}">{}</a>', url_of(MODELS_WITH_A_PAGE[object_type], object_id), object_id)
    return format_html("{}", object_id or "–")


def dashboard_url(path: str, livemode: bool | None) -> str:
    """The address of an object in Stripe's dashboard, in the account and mode that it belongs to. `path`:
    `invoices/in_1`."""
    account = f"{settings.STRIPE_ACCOUNT}/" if settings.STRIPE_ACCOUNT else ""
    return f"{DASHBOARD}/{account}{'' if livemode else 'test/'}{path}"
