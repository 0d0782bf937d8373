"""Reading one invoice from Stripe: the button "Refresh from Stripe", and the details that an open page lacks."""

import re

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from invoices import gateway, refetch, scheduled_refetches
from invoices.admin.base import RecordAdmin
from invoices.admin.invoices.page import InvoicePage
from invoices.admin.links import url_of
from invoices.models import InvoicePayment

INVOICE_ID = re.compile(r"in_\w{1,250}", re.ASCII)
MAX_READS = 10  # of objects around an invoice in one request, because the reader waits for it


def refresh(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """POST: reads the invoice from Stripe now, even if we do not have it yet."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    if not INVOICE_ID.fullmatch(object_id):
        messages.warning(request, _("“{id}” is not an invoice's id.").format(id=object_id))
        return redirect(reverse("admin:invoices_invoice_changelist"))
    try:
        read(object_id)
    except gateway.GatewayError as error:
        scheduled_refetches.schedule([("invoice", object_id)], wanted=True)
        messages.warning(
            request,
            _("Stripe could not be read ({error}). What you see is what we last knew; we go on trying.").format(
                error=error
            ),
        )
    else:
        if admin.record(object_id) is None:
            messages.warning(request, _("Stripe has no invoice {id}.").format(id=object_id))
        else:
            messages.success(request, _("Read from Stripe just now."))
    return redirect(url_of("invoice", object_id))


def read(pk: str) -> None:
    """Reads the invoice with its payments, and the PaymentIntents, which hold the reasons of declines. Raises
    GatewayError."""
    refetch.refetch("invoice", pk)
    payments = InvoicePayment.objects.filter(invoice_id=pk, payment_intent__isnull=False)
    for intent in payments.values_list("payment_intent", flat=True)[:MAX_READS]:
        refetch.refetch("payment_intent", str(intent))


def complete(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """POST, by the open page: reads the customer and the PaymentIntents that the mirror lacks. The response replaces
    only the payments: reloading the whole page could move a button while somebody is about to press it."""
    invoice = admin.record(object_id) if admin.has_view_permission(request) else None
    if invoice is None:
        raise PermissionDenied
    note = ""
    missing = InvoicePage(invoice, request).missing[:MAX_READS]
    try:
        for kind, pk in missing:
            refetch.refetch(kind, pk)
    except gateway.GatewayError:
        scheduled_refetches.schedule(missing, wanted=True)
        note = _("Stripe does not answer just now; details of the payments may be missing.")
    page = InvoicePage(invoice, request)
    if page.missing and not note:
        note = _("Stripe has no details of some of these payments.")
    context = {"page": page, "invoice": invoice, "note": note, "part": True}
    return TemplateResponse(request, "admin/invoices/parts/payments.html", context)
