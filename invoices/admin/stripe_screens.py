"""Screens of Stripe's Dashboard for what the desk cannot do: refund, credit note, due date, dispute, duplicate."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.translation import gettext as _

from invoices.admin.links import dashboard_url
from invoices.models import Invoice, PaymentIntent


class Screen(NamedTuple):
    """A link to one screen of the Dashboard."""

    label: str
    address: str


def screens(invoice: Invoice, intents: list[PaymentIntent]) -> list[Screen]:
    """Those that apply to the invoice as it is. `intents`: the PaymentIntents of its payments. Stripe has one page for
    each object, on which these things are done; it has no addresses of their forms."""
    if invoice.deleted_at:
        return []
    page = dashboard_url(f"invoices/{invoice.pk}", invoice.livemode)
    found = []
    if invoice.status == "draft":
        found.append(Screen(_("Edit the due date and the lines"), f"{page}/edit"))
    if invoice.status == "open" and invoice.collection_method == "send_invoice":
        found.append(Screen(_("Edit the due date"), page))
    if invoice.status in {"open", "paid", "uncollectible"}:
        found.append(Screen(_("Issue a credit note"), page))
    for intent in intents:
        if intent.status == "succeeded":
            payment = dashboard_url(f"payments/{intent.pk}", intent.livemode)
            found.append(Screen(_("Refund the payment, or answer its dispute"), payment))
    if invoice.status in {"void", "uncollectible"}:
        found.append(Screen(_("Duplicate it, to bill it anew"), page))
    return found
