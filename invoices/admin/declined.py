"""After a decline: what the agent does now, what to tell the customer, and the link that goes with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from invoices import gateway
from invoices.admin import access
from invoices.admin.base import RecordAdmin, page_url
from invoices.admin.formatting import web_address
from invoices.models import Invoice, Operation, PaymentIntent
from invoices.models.reading import member, text
from invoices.operations import ACTIONS, advice, choices
from invoices.operations.outcomes import AUTHENTICATION
from invoices.operations.request import BETWEEN_CHARGES

OWED = ("draft", "open", "uncollectible")
PAY = ACTIONS["pay"]


@dataclass
class Help:
    """What to do, and what to say. `again_at` is when the same payment method may be charged again."""

    advice: advice.Advice
    invoice: Invoice
    again_at: datetime | None
    may_pay: bool

    @property
    def customer(self) -> str:
        """The sentence for the customer, with the invoice's payment page where one can pay there."""
        link = payment_page(self.invoice)
        if not link or self.advice.kind not in {advice.HOSTED, advice.ANOTHER, advice.STOP}:
            return self.advice.customer
        lead = "The link" if self.advice.kind == advice.HOSTED else "You can pay here"
        return f"{self.advice.customer} {lead}: {link}"

    @property
    def offers_card_link(self) -> bool:
        return self.may_pay and self.advice.kind == advice.UPDATE and bool(self.invoice.customer_id)


def help_for(request: HttpRequest, operation: Operation, invoice: Invoice | None) -> Help | None:
    """The help after an operation that was declined, as long as the invoice is to be paid."""
    if operation.state != Operation.State.FAILED or invoice is None or not _owed(invoice):
        return None
    found = advice.advise(operation.code, operation.decline_code, text(operation.error, "code") or "")
    return Help(found, invoice, _again(operation), access.may(request, PAY)) if found else None


def help_after(
    request: HttpRequest, invoice: Invoice, intent: PaymentIntent | None, operations: list[Operation]
) -> Help | None:
    """The help after the last try that we know of, whoever made it."""
    if intent is None or not intent.error_message or not _owed(invoice):
        return None
    said = {intent.error_code, intent.decline_code}
    code = "authentication_required" if said & AUTHENTICATION else "card_declined"
    found = advice.advise(code, intent.decline_code or "", intent.error_code or "")
    tried = (operation for operation in operations if operation.state == Operation.State.FAILED)
    again = next((when for when in map(_again, tried) if when), None)
    return Help(found, invoice, again, access.may(request, PAY)) if found else None


def _owed(invoice: Invoice) -> bool:
    return invoice.status in OWED and not invoice.deleted_at


def _again(operation: Operation) -> datetime | None:
    """When the same payment method may be charged again; None where nothing is to be waited for."""
    if operation.code not in {"card_declined", "authentication_required"} or operation.finished_at is None:
        return None
    again = operation.finished_at + BETWEEN_CHARGES
    return again if again > timezone.now() else None


@dataclass
class Recent:
    """A decline within the hour, before which the same payment method is not charged again."""

    operation: Operation
    again_at: datetime


def recent(invoice: Invoice) -> Recent | None:
    """The last decline of this invoice, while its hour lasts."""
    since = timezone.now() - BETWEEN_CHARGES
    found = Operation.objects.filter(
        invoice=invoice.pk, action=PAY.name, state=Operation.State.FAILED, finished_at__gt=since
    )
    for operation in found.select_related("actor").order_by("-finished_at")[:20]:
        if again := _again(operation):
            return Recent(operation, again)
    return None


def payment_page(invoice: Invoice) -> str:
    """Stripe's page on which the customer pays this invoice."""
    return (
        web_address(member(invoice.data, "hosted_invoice_url")) if invoice.status in {"open", "uncollectible"} else ""
    )


def card_link(admin: RecordAdmin, request: HttpRequest, invoice: Invoice | None, help: Help | None) -> HttpResponse:
    """POST: asks Stripe for a link with which the customer updates the card, and puts it behind the sentence. It lives
    for minutes, so it is made on demand."""
    allowed = admin.has_view_permission(request) and access.may(request, PAY)
    if invoice is None or not invoice.customer_id or not allowed:
        raise PermissionDenied
    link = ""
    try:
        link = web_address(choices.update_card_link(invoice.customer_id))
    except gateway.GatewayError as error:
        note = f"Stripe made no link: {error.message}"
    else:
        note = "" if link else "Stripe made no link."
    if request.headers.get("HX-Request") == "true":
        words = help.customer if help else ""
        context: dict[str, Any] = {"invoice": invoice, "link": link, "note": note, "words": words}
        return TemplateResponse(request, "admin/invoices/parts/card_link.html", context)
    messages.info(request, f"The link to update the card: {link}" if link else note)
    return redirect(page_url(invoice))
