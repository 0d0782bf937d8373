"""The tour that the demo prints: six steps, with invoices of its data and commands that run as printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.contrib.admin.utils import quote
from django.db.models import QuerySet

from invoices.models import Customer, Invoice, InvoicePayment, PaymentIntent


@dataclass
class Addresses:
    """What the commands and links of the tour need."""

    url: str
    sandbox_url: str
    stripe_key: str
    env_file: Path
    python: str
    statement: Path | None = None  # a bank's file to upload

    def invoice_page(self, invoice: Invoice | None) -> str:
        """The invoice's page, or the list if there is no such invoice."""
        list_url = self.list_page("invoice")
        return f"{list_url}{quote(invoice.pk)}/change/" if invoice else list_url

    def list_page(self, model: str) -> str:
        return f"{self.url}/admin/invoices/{model}/"

    def stripe_command(self, method: str, path: str) -> str:
        return f"curl -sS -u {self.stripe_key}: -X {method} {self.sandbox_url}{path}"

    def faults_command(self, method: str) -> str:
        return f"curl -sS -X {method} {self.sandbox_url}/_sandbox/faults"

    def manage_command(self, command: str) -> str:
        return f"(. {self.env_file} && {self.python} manage.py {command})"


def tour(addresses: Addresses) -> Iterator[str]:
    """The lines to print."""
    payable, declined, changed, missed = choose_invoices()
    yield "1. Pay one. Sign in as agent, open this invoice, press Pay, read what will happen, and confirm:"
    yield f"     {_heading(payable)}{addresses.invoice_page(payable)}"
    yield "2. See a decline. The card of this customer is refused; Pay says why, and what helps:"
    yield f"     {_heading(declined)}{addresses.invoice_page(declined)}"
    yield "3. Change one at the sandbox, as if in Stripe's dashboard, and watch it arrive within seconds:"
    yield f"     {addresses.invoice_page(changed)}"
    yield f"     {addresses.stripe_command('POST', f'/v1/invoices/{_id(changed)}/void')}"
    yield "4. Lose the webhooks, change one, and let reconcile find and heal it (it exits 3); then let them come again:"
    yield f"     {addresses.invoice_page(missed)}"
    yield f"     {addresses.faults_command('POST')} -H 'Content-Type: application/json' -d '{{\"drop\": 1}}'"
    yield f"     {addresses.stripe_command('POST', f'/v1/invoices/{_id(missed)}/mark_uncollectible')}"
    yield f"     {addresses.manage_command('reconcile')}"
    yield f"     {addresses.faults_command('DELETE')}"
    if addresses.statement:
        yield "5. Record what the bank received. Sign in as finance, upload this file, and confirm what is proposed:"
        yield f"     {addresses.statement}"
        yield f"     {addresses.list_page('bankstatement')}upload/"
    yield "6. See who did what. Every action with its person, reason and outcome, and what reconcile found:"
    yield f"     {addresses.list_page('operation')}"
    yield f"     {addresses.list_page('drift')}"


def choose_invoices() -> tuple[Invoice | None, Invoice | None, Invoice | None, Invoice | None]:
    """Four different open invoices: one whose card works, one whose card is declined, two to be changed at Stripe."""
    declined_intents = PaymentIntent.objects.exclude(decline_code=None).exclude(decline_code="")
    declined_payments = InvoicePayment.objects.filter(payment_intent__in=declined_intents.values("pk"))
    declined_invoices = declined_payments.values("invoice_id")
    with_card = Customer.objects.exclude(default_payment_method=None)
    unpaid = Invoice.objects.filter(status="open", amount_remaining__gt=0, deleted_at=None).order_by("-created", "pk")
    charged_by_card = unpaid.filter(collection_method="charge_automatically", customer__in=with_card.values("pk"))
    customers_who_paid = PaymentIntent.objects.filter(status="succeeded").values("customer")
    customers_with_errors = PaymentIntent.objects.exclude(error_code=None).values("customer")
    likely_payable = charged_by_card.filter(attempted=False, amount_paid=0, customer__in=customers_who_paid)
    likely_payable = likely_payable.exclude(customer__in=customers_with_errors)
    taken: list[str] = []
    payable = _take(likely_payable, taken) or _take(charged_by_card.exclude(pk__in=declined_invoices), taken)
    declined = _take(charged_by_card.filter(pk__in=declined_invoices), taken)
    others = unpaid.filter(amount_paid=0, attempted=False)
    return payable, declined, _take(others, taken), _take(others, taken)


def _take(invoices: QuerySet[Invoice], taken: list[str]) -> Invoice | None:
    """The first one that no other step has taken; its id joins those taken."""
    invoice = invoices.exclude(pk__in=taken).first()
    if invoice:
        taken.append(invoice.pk)
    return invoice


def _heading(invoice: Invoice | None) -> str:
    return f"{invoice.number} of {invoice.customer_email}  " if invoice else ""


def _id(invoice: Invoice | None) -> str:
    return invoice.pk if invoice else "in_..."
