"""After a decline: what to do, when to charge again, and the link with which the customer updates the card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from invoices import gateway, recorded
from invoices.admin import access
from invoices.admin.base import RecordAdmin
from invoices.admin.formatting import web_address
from invoices.admin.links import page_url
from invoices.models import Invoice, Operation, PaymentIntent
from invoices.models.reading import text
from invoices.operations import ACTIONS, advice, eligibility, outcomes, payment_lookups

if TYPE_CHECKING:
    from invoices.admin.invoices.page_words import PageWords

PAY = ACTIONS["pay"]


@dataclass
class Help:
    """What to do. `again_at`: when the same payment method may be charged again (None:
    now)."""

    advice: advice.Advice
    invoice: Invoice
    again_at: datetime | None
    may_pay: bool

    @property
    def offers_card_link(self) -> bool:
        """Whether the page offers to make a link with which the customer updates the card."""
        return self.may_pay and self.advice.kind == advice.UPDATE and bool(self.invoice.customer_id)


def help_for(request: HttpRequest, operation: Operation, invoice: Invoice | None) -> Help | None:
    """The help after an operation that was declined, while the invoice is unpaid."""
    if operation.state != Operation.State.FAILED or invoice is None or not _owed(invoice):
        return None
    found = advice.advise(operation.code, operation.decline_code, text(operation.error, "code") or "")
    return Help(found, invoice, eligibility.charge_again_at(operation), access.may(request, PAY)) if found else None


def help_after(
    request: HttpRequest, invoice: Invoice, intent: PaymentIntent | None, operations: list[Operation]
) -> Help | None:
    """The help after the last failed charge of `intent`, whether we asked for it or Stripe tried by itself."""
    if intent is None or not intent.error_message or not _owed(invoice):
        return None
    code = outcomes.decline_code_of(intent.error_code, intent.decline_code)
    found = advice.advise(code, intent.decline_code or "", intent.error_code or "")
    tried = (operation for operation in operations if operation.state == Operation.State.FAILED)
    again = next((when for when in map(eligibility.charge_again_at, tried) if when), None)
    return Help(found, invoice, again, access.may(request, PAY)) if found else None


def _owed(invoice: Invoice) -> bool:
    return invoice.status in Invoice.UNPAID and not invoice.deleted_at


def card_link(
    admin: RecordAdmin, request: HttpRequest, invoice: Invoice | None, words: PageWords | None
) -> HttpResponse:
    """POST: asks Stripe for a link with which the customer updates the card, and adds it to the text for the customer.
    The link is made on demand because it expires within minutes."""
    allowed = admin.has_view_permission(request) and access.may(request, PAY)
    if invoice is None or not invoice.customer_id or not allowed:
        raise PermissionDenied
    link = ""
    try:
        link = web_address(payment_lookups.update_card_link(invoice.customer_id))
    except gateway.GatewayError as error:
        note = _("Stripe made no link: {reason}").format(reason=recorded.shown(error.message))
    else:
        note = "" if link else _("Stripe made no link.")
    if request.headers.get("HX-Request") == "true":
        context: dict[str, Any] = {"invoice": invoice, "link": link, "note": note}
        if words is not None:
            context |= {"words": words.text_with(link), "language": words.language}
        return TemplateResponse(request, "admin/invoices/parts/card_link.html", context)
    messages.info(request, _("The link to update the card: {link}").format(link=link) if link else note)
    return redirect(page_url(invoice))
