"""Everything that an operation's page shows: who and why, what was sent to Stripe, what came of it, what to do now."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from invoices import recorded
from invoices.admin.bank import evidence
from invoices.admin.base import Facts
from invoices.admin.formatting import moment, number, pretty
from invoices.admin.invoices import declined, waiting
from invoices.admin.invoices import wording as invoice_wording
from invoices.admin.invoices.page import InvoicePage
from invoices.admin.invoices.wording import FIELD_LABELS, field_value
from invoices.admin.links import dashboard_url
from invoices.admin.operations import contradictions, decisions, wording
from invoices.models import BankMatch, Invoice, InvoicePayment, Operation, RecordedCall
from invoices.operations import label_of
from invoices.statements.recording import ACTION as RECORDING

MAX_PAYMENTS_READ = 100  # of the invoice


def context(request: HttpRequest, record: Operation) -> dict[str, Any]:
    """What the page's template is given."""
    invoice = Invoice.objects.filter(pk=record.invoice).first()
    wording.note_credit(record, InvoicePayment.objects.filter(invoice_id=record.invoice)[:MAX_PAYMENTS_READ])
    contradicted = bool(contradictions.contradictions_of(record.invoice))
    return {
        "title": f"{_(label_of(record.action))} · {invoice_wording.number(invoice) if invoice else record.invoice}",
        "operation": record,
        "invoice": invoice,
        "facts": [*_facts(record), *_bank(request, record)],
        "was_it_wrong": record.action == RECORDING and record.state == Operation.State.SUCCEEDED,
        "from_statement": BankMatch.objects.filter(pk=record.pk).exists(),
        "calls": [_call(call, invoice) for call in record.calls],
        "before_and_after": _before_and_after(record, invoice),
        "contradicted": contradicted,
        "help": None if contradicted else declined.help_for(request, record, invoice),
        "raw": record.error,
        **decisions.context(request, record, invoice),
        **contradictions.context(request, record),
        "waiting": waiting.for_newer_state(invoice, [record]) if invoice else None,
        "words": InvoicePage(invoice, request).words if invoice else None,
    }


def _facts(record: Operation) -> Facts:
    facts: Facts = [
        (_("Who"), wording.requested_by(record)),
        (_("Asked through"), wording.asked_through(record)),
        (_("Why"), recorded.shown(record.reason) or "–"),
        (_("Ticket"), record.ticket),
        (_("Asked"), moment(record.created_at)),
        (_("Ended"), moment(record.finished_at) if record.finished_at else ""),
        *wording.parameters(record),
        (_("From address"), record.address or ""),
        (_("Request"), record.request_id),
        (_("Approved or rejected by"), str(record.approver or "")),
        (_("Their reason"), recorded.shown(record.decision_reason)),
        (_("Decided with the API token"), str(record.decision_token or "")),
        (_("Decided from address"), record.decision_address or ""),
        (_("Decision's request"), record.decision_request_id),
        (_("Looked at again"), _times(record.settle_attempts)),
        (_("Operation"), str(record.pk)),
    ]
    return [(label, value) for label, value in facts if value]


def _bank(request: HttpRequest, record: Operation) -> Facts:
    found = evidence.of_operation(request, record)
    return [(_("Bank transaction"), found)] if found else []


def _times(count: int) -> str:
    return ngettext("{number} time", "{number} times", count).format(number=number(count)) if count else ""


def _call_words() -> dict[str, str]:
    """The calls to Stripe by their names. `void` is here what is done, elsewhere what an invoice is."""
    return {
        "attach_payment": pgettext("call to Stripe", "attach payment"),
        "cancel_payment_intent": pgettext("call to Stripe", "cancel payment intent"),
        "cancel_payment_intent_2": pgettext("call to Stripe", "cancel payment intent"),
        "confirm_payment_intent": pgettext("call to Stripe", "confirm payment intent"),
        "create_payment_intent": pgettext("call to Stripe", "create payment intent"),
        "finalize": pgettext("call to Stripe", "finalize"),
        "mark_uncollectible": pgettext("call to Stripe", "mark uncollectible"),
        "pay": pgettext("call to Stripe", "pay"),
        "report_payment": pgettext("call to Stripe", "report payment"),
        "send": pgettext("call to Stripe", "send"),
        "void": pgettext("call to Stripe", "void"),
    }


def _call(call: RecordedCall, invoice: Invoice | None) -> dict[str, Any]:
    """One call to Stripe, ready to be shown."""
    livemode = invoice.livemode if invoice else False
    return {
        "name": _call_words().get(call.name) or call.name.replace("_", " "),
        "key": call.key,
        "sendings": call.sendings,
        "status": call.status,
        "request_id": call.request_id,
        "sent": moment(call.sent_at),
        "answered": moment(call.answered_at) if call.answered_at else "",
        "params_text": pretty(call.params),
        "result_text": pretty({k: v for k, v in asdict(call.result).items() if v}) if call.result else "",
        "log": dashboard_url(f"logs/{call.request_id}", livemode) if call.request_id else "",
    }


def _before_and_after(record: Operation, invoice: Invoice | None) -> list[tuple[str, str, str]]:
    """Label, value before and value after of the invoice's status and amounts. Empty if nothing was sent, or before the
    operation is final."""
    if record.state not in Operation.FINAL or not record.calls:
        return []
    currency = record.before.get("currency") or (invoice.currency if invoice else None)
    return [
        (
            _(label),
            field_value(key, record.before.get(key), currency),
            field_value(key, record.after.get(key), currency) if record.after else _("not read"),
        )
        for key, label in FIELD_LABELS.items()
    ]
