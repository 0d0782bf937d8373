"""Five steps to see everything, with real invoices of the demo's data and commands that run as they are printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.contrib.admin.utils import quote
from django.db.models import QuerySet

from invoices.models import Customer, Invoice, InvoicePayment, PaymentIntent


@dataclass
class Stage:
    """Where the tour takes place."""

    url: str
    sandbox_url: str
    stripe_key: str
    env_file: Path
    python: str

    def page(self, invoice: Invoice | None) -> str:
        list = self.list_of("invoice")
        return f"{list}{quote(invoice.pk)}/change/" if invoice else list

    def list_of(self, model: str) -> str:
        return f"{self.url}/admin/invoices/{model}/"

    def sandbox(self, method: str, path: str) -> str:
        return f"curl -sS -u {self.stripe_key}: -X {method} {self.sandbox_url}{path}"

    def manage(self, command: str) -> str:
        return f"(. {self.env_file} && {self.python} manage.py {command})"


def tour(stage: Stage) -> Iterator[str]:
    payable, declined, changed, missed = choose()
    yield "1. Pay one. Sign in as agent, open this invoice, press Pay, read what will happen, and confirm:"
    yield f"     {_named(payable)}{stage.page(payable)}"
    yield "2. See a decline. The card of this customer is refused; Pay says why, and what helps:"
    yield f"     {_named(declined)}{stage.page(declined)}"
    yield "3. Change one at the sandbox, as if in Stripe's dashboard, and watch it arrive within seconds:"
    yield f"     {stage.page(changed)}"
    yield f"     {stage.sandbox('POST', f'/v1/invoices/{_id(changed)}/void')}"
    yield "4. Lose the webhooks, change one, and let reconcile find and heal it (it exits 3); then let them come again:"
    yield f"     {stage.page(missed)}"
    yield f"     {_faults(stage, 'POST')} -H 'Content-Type: application/json' -d '{{\"drop\": 1}}'"
    yield f"     {stage.sandbox('POST', f'/v1/invoices/{_id(missed)}/mark_uncollectible')}"
    yield f"     {stage.manage('reconcile')}"
    yield f"     {_faults(stage, 'DELETE')}"
    yield "5. See who did what. Every action with its person, reason and outcome, and what reconcile found:"
    yield f"     {stage.list_of('operation')}"
    yield f"     {stage.list_of('drift')}"


def choose() -> tuple[Invoice | None, Invoice | None, Invoice | None, Invoice | None]:
    """Four different open invoices: a card that works, one that does not, and two to be changed at Stripe."""
    refused = PaymentIntent.objects.exclude(decline_code=None).exclude(decline_code="")
    refused_invoices = InvoicePayment.objects.filter(payment_intent__in=refused.values("pk")).values("invoice_id")
    with_card = Customer.objects.exclude(default_payment_method=None)
    unpaid = Invoice.objects.filter(status="open", amount_remaining__gt=0, deleted_at=None).order_by("-created", "pk")
    charged = unpaid.filter(collection_method="charge_automatically", customer__in=with_card.values("pk"))
    worked = PaymentIntent.objects.filter(status="succeeded").values("customer")
    good = charged.filter(attempted=False, amount_paid=0, customer__in=worked).exclude(
        customer__in=PaymentIntent.objects.exclude(error_code=None).values("customer")
    )
    taken: list[str] = []
    payable = _take(good, taken) or _take(charged.exclude(pk__in=refused_invoices), taken)
    declined = _take(charged.filter(pk__in=refused_invoices), taken)
    others = unpaid.filter(amount_paid=0, attempted=False)
    return payable, declined, _take(others, taken), _take(others, taken)


def _take(rows: QuerySet[Invoice], taken: list[str]) -> Invoice | None:
    found = rows.exclude(pk__in=taken).first()
    if found:
        taken.append(found.pk)
    return found


def _named(invoice: Invoice | None) -> str:
    return f"{invoice.number} of {invoice.customer_email}  " if invoice else ""


def _id(invoice: Invoice | None) -> str:
    return invoice.pk if invoice else "in_..."


def _faults(stage: Stage, method: str) -> str:
    return f"curl -sS -X {method} {stage.sandbox_url}/_sandbox/faults"
