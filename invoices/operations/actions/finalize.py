"""Finalize: a draft takes a number and waits to be paid. `POST /v1/invoices/:id/finalize`."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.models import Invoice
from invoices.operations.action import Action, Params, invoice_call
from invoices.operations.effects import invoice_shows
from invoices.operations.parameters import Parameter


class Finalize(Action):
    name = "finalize"
    label = gettext_noop("Finalize")
    may = gettext_noop("finalize an invoice")
    position = 50
    statuses = frozenset({"draft"})
    calls = invoice_call(
        "finalize",
        invoice_shows(lambda call, invoice: invoice.get("status") != "draft", events=("invoice.finalized",)),
    )
    undo = gettext_noop("It cannot be undone; a finalized invoice can be voided.")
    done_word = gettext_noop("finalized")
    reasons = (gettext_noop("It is complete and was checked"), gettext_noop("The customer asked for it now"))
    parameters = (
        Parameter(
            "auto_advance", "flag", gettext_noop("Let Stripe collect it"), gettext_noop("Empty: as the invoice says.")
        ),
    )

    def consequences(self, invoice: Invoice, params: Params) -> list[str]:
        said = [_("The draft takes a number, can no longer be edited, and waits to be paid.")]
        if not invoice.amount_due:
            said.append(_("Since nothing is due, it becomes paid at once."))
        if params.get("auto_advance", (invoice.data or {}).get("auto_advance")):
            said.append(_("Stripe goes on by itself: it charges the customer or e-mails the invoice, as it is set up."))
        return said
