"""Everything that an invoice's page shows, read from the mirror and the journal in a dozen bounded queries."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import cached_property

from invoices import money
from invoices.admin import access, declined, wording
from invoices.admin.formatting import web_address
from invoices.models import Action, Customer, Event, Invoice, InvoicePayment, Operation, Pause, PaymentIntent
from invoices.models.reading import integer, member, moment, printable, text
from invoices.operations import Invalid, Refusal, Spec, brake

MOST = 100  # payments, operations, events on the page
TRIED = (
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.succeeded",
)
DASHBOARD = "https://dashboard.stripe.com"


@dataclass
class Attempt:
    """One try to charge, and what the bank said."""

    when: datetime | None
    tone: str
    words: str


@dataclass
class Payment:
    """One payment of the invoice in words, with the tries behind it."""

    row: InvoicePayment
    intent: PaymentIntent | None
    made_by: Operation | None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def state(self) -> tuple[str, str]:
        if self.row.status == "open" and self.processing:
            return "processing", "violet"
        if self.row.status == "open" and self.attached:
            return "attached, not credited yet", "violet"
        if self.row.status != "open" or self.intent is None:
            return self.row.status or "unreadable", ""
        if self.intent.status == "requires_payment_method":
            return ("declined", "red") if self.intent.error_message else ("not tried", "grey")
        return wording.INTENT.get(self.intent.status or "", self.intent.status or "open"), "violet"

    @property
    def processing(self) -> bool:
        """Whether a bank has it in its hands, for days perhaps."""
        return self.row.status == "open" and self.intent is not None and self.intent.status == "processing"

    @property
    def attached(self) -> bool:
        """Whether somebody put it to the invoice; Stripe's own try comes with every invoice."""
        return self.row.is_default is False

    @property
    def by(self) -> str:
        """How the money came."""
        if self.row.payment_type == "payment_record":
            if self.made_by is None:
                return "Outside Stripe"
            params = self.made_by.params
            said = [params.get("method"), params.get("reference"), params.get("note")]
            return f"Outside Stripe: {', '.join(part for part in said if part)}"
        return "Charged through Stripe" if self.row.status == "paid" else "Through Stripe"

    @property
    def amount(self) -> str:
        value = self.row.amount_requested if self.row.amount_paid is None else self.row.amount_paid
        return money.text(value, self.row.currency)

    @property
    def when(self) -> datetime | None:
        return self.row.paid_at or self.row.canceled_at or self.row.created

    @property
    def ids(self) -> list[str]:
        found = (self.row.payment_intent, self.row.charge, self.row.payment_record)
        latest = self.intent.latest_charge if self.intent else None
        return [part for part in (*found, latest if latest != self.row.charge else None) if part]


@dataclass
class Choice:
    """An action that this person may take, and why not just now, if so."""

    spec: Spec
    refusal: Refusal | None


class InvoicePage:
    """An invoice with everything around it; each part is read once, when the template asks for it."""

    def __init__(self, invoice: Invoice, request: HttpRequest) -> None:
        self.invoice, self.request = invoice, request
        self.data: Any = printable(invoice.data or {})

    # --- its money and its words --------------------------------------------------------------------------------

    @property
    def number(self) -> str:
        return wording.number(self.invoice)

    @property
    def status(self) -> tuple[str, str]:
        return wording.status(self.invoice)

    @property
    def paid_share(self) -> int:
        """Percent paid of what was due."""
        due, paid = self.invoice.amount_due, self.invoice.amount_paid
        return max(0, min(100, round(100 * paid / due))) if due and paid else 0

    @property
    def sentence(self) -> str:
        checking = any(operation.state in Operation.UNFINISHED for operation in self.operations)
        return wording.for_customer(self.invoice, self.failure, self.processing, checking=checking)

    @property
    def processing(self) -> str:
        """The amount that is on its way, if any."""
        found = [payment for payment in self.payments if payment.processing]
        asked = sum(payment.row.amount_requested or 0 for payment in found)
        return money.text(asked, found[0].row.currency) if found else ""

    @cached_property
    def help(self) -> declined.Help | None:
        """What to do after the last decline, as long as something is to be paid."""
        tried = (payment.intent for payment in self.payments if payment.row.status == "open")
        intent = next((intent for intent in tried if intent and intent.error_message), None)
        if found := declined.help_after(self.request, self.invoice, intent, self.operations):
            return found
        paid = next((operation for operation in self.operations if operation.action == Action.PAY), None)
        return declined.help_for(self.request, paid, self.invoice) if paid else None

    @property
    def failure(self) -> str:
        """Why the charge that is still open did not go through, as the customer may hear it."""
        tried = (payment.intent for payment in self.payments if payment.row.status == "open")
        return next((intent.error_message for intent in tried if intent and intent.error_message), "")

    @property
    def overdue(self) -> bool:
        return wording.overdue(self.invoice)

    # --- what can be done -----------------------------------------------------------------------------------------

    @cached_property
    def choices(self) -> list[Choice]:
        payments = [payment.row for payment in self.payments]
        paused, busy = list(brake.standing()), self._busy()
        return [
            Choice(
                spec,
                _held(spec, paused)
                or _still_possible(spec.refusal(self.invoice, payments, {}))
                or busy
                or self._on_its_way(spec),
            )
            for spec in access.allowed(self.request)
        ]

    def _busy(self) -> Refusal | None:
        """An operation that has not ended keeps the invoice to itself."""
        if not any(operation.state in Operation.UNFINISHED for operation in self.operations):
            return None
        return Refusal("operation_in_progress", "An operation on this invoice has not ended; see what it comes to.")

    def _on_its_way(self, spec: Spec) -> Refusal | None:
        """A bank debit that is still processing: a second charge would take the money twice."""
        if spec.action != Action.PAY or not self.processing:
            return None
        return Refusal("operation_in_progress", f"{self.processing} is on its way; the bank is still processing it.")

    @property
    def possible(self) -> list[Spec]:
        return sorted((choice.spec for choice in self.choices if choice.refusal is None), key=lambda spec: spec.danger)

    @property
    def impossible(self) -> list[tuple[str, list[Spec]]]:
        """Why not, and what not, reason by reason."""
        reasons: dict[str, list[Spec]] = {}
        for choice in self.choices:
            if choice.refusal is not None:
                reasons.setdefault(choice.refusal.message, []).append(choice.spec)
        return list(reasons.items())

    # --- what hangs on it -------------------------------------------------------------------------------------------

    @cached_property
    def operations(self) -> list[Operation]:
        found = Operation.objects.filter(invoice=self.invoice.pk).select_related("actor", "approver")
        return list(found.order_by("-created_at")[:MOST])

    @property
    def unfinished(self) -> Operation | None:
        going_on = (*Operation.UNFINISHED, Operation.State.AWAITING_APPROVAL)
        return next((operation for operation in self.operations if operation.state in going_on), None)

    @cached_property
    def _rows(self) -> list[InvoicePayment]:
        return list(InvoicePayment.objects.filter(invoice_id=self.invoice.pk).order_by("-created", "-id")[:MOST])

    @cached_property
    def _intents(self) -> dict[str, PaymentIntent]:
        ids = [row.payment_intent for row in self._rows if row.payment_intent]
        return {intent.pk: intent for intent in PaymentIntent.objects.filter(pk__in=ids)}

    @cached_property
    def payments(self) -> list[Payment]:
        made = {
            member(call, "result", "id"): operation for operation in self.operations for call in operation.calls or []
        }
        attempts = self._attempts()
        for operation in self.operations:
            _note_credit(operation, self._rows)
        return [
            Payment(
                row,
                self._intents.get(row.payment_intent or ""),
                made.get(row.payment_record) if row.payment_record else None,
                attempts.get(row.payment_intent or "", []),
            )
            for row in self._rows
        ]

    def _attempts(self) -> dict[str, list[Attempt]]:
        """By PaymentIntent, the tries that Stripe told us of, newest first; the last failure at least."""
        found: dict[str, list[Attempt]] = {}
        told = Event.objects.filter(object_id__in=list(self._intents), type__in=TRIED).order_by("-created", "-id")
        for event in told[:MOST]:
            found.setdefault(event.object_id, []).append(_attempt(event))
        for pk, intent in self._intents.items():
            error = member(intent.data, "last_payment_error")
            if error and not any(attempt.tone == "red" for attempt in found.get(pk, [])):
                found.setdefault(pk, []).append(Attempt(None, "red", wording.decline(error)))
        return found

    @property
    def missing(self) -> list[tuple[str, str]]:
        """What the page would like to show and the mirror does not hold yet."""
        intents = {row.payment_intent for row in self._rows if row.payment_intent} - set(self._intents)
        customer = self.invoice.customer_id
        lacks = [("customer", customer)] if customer and self.customer is None else []
        return lacks + [("payment_intent", pk) for pk in sorted(intents)]

    @cached_property
    def customer(self) -> Any:
        return Customer.objects.filter(pk=self.invoice.customer_id).first() if self.invoice.customer_id else None

    @cached_property
    def timeline(self) -> list[Event]:
        ids = [self.invoice.pk, *(row.pk for row in self._rows), *(r.payment_intent for r in self._rows)]
        events = Event.objects.filter(object_id__in=[pk for pk in ids if pk]).defer("body")
        return list(events.order_by("-created", "-received_at")[:MOST])

    # --- lines and totals -------------------------------------------------------------------------------------------

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        found = member(self.data, "lines", "data")
        return [_line(line) for line in found if isinstance(line, dict)] if isinstance(found, list) else []

    @property
    def more_lines(self) -> str:
        """Says so where Stripe has lines that we do not hold."""
        total = integer(self.data, "lines", "total_count")
        if total is not None and total > len(self.lines):
            return f"{total - len(self.lines)} more lines are at Stripe."
        return "More lines are at Stripe." if member(self.data, "lines", "has_more") is True else ""

    @property
    def totals(self) -> list[tuple[str, str]]:
        """The sums below the lines that say something."""
        shown = [("Subtotal", integer(self.data, "subtotal"))]
        discounts = member(self.data, "total_discount_amounts")
        taxes = member(self.data, "total_taxes") or member(self.data, "total_tax_amounts")
        shown += [("Discounts", -_sum(discounts)), ("Tax", _sum(taxes))]
        balance = integer(self.data, "starting_balance")
        shown += [("Total", self.invoice.total), ("From the customer's balance", balance)]
        return [
            (label, money.text(value, self.invoice.currency))
            for label, value in shown
            if value or (label == "Total" and value is not None)
        ]

    # --- where else to look -----------------------------------------------------------------------------------------

    @property
    def links(self) -> list[tuple[str, str, str]]:
        found = (
            ("Stripe's payment page", "open_in_new", web_address(self.data.get("hosted_invoice_url"))),
            ("PDF", "picture_as_pdf", web_address(self.data.get("invoice_pdf"))),
            ("In Stripe's dashboard", "dashboard", dashboard(f"invoices/{self.invoice.pk}", self.invoice.livemode)),
        )
        return [link for link in found if link[2]]

    @property
    def reading(self) -> bool:
        """Whether something newer is on its way from Stripe."""
        return self.invoice.read_due_at is not None


def note_credit(operation: Operation) -> None:
    """Looks whether the payment that an operation attached counts by now."""
    if operation.action == Action.ATTACH_PAYMENT:
        _note_credit(operation, list(InvoicePayment.objects.filter(invoice_id=operation.invoice)[:MOST]))


def _note_credit(operation: Operation, rows: list[InvoicePayment]) -> None:
    if operation.action != Action.ATTACH_PAYMENT:
        return
    of = operation.params.get("payment_intent") or operation.params.get("payment_record")
    found = [row for row in rows if of and of in {row.payment_intent, row.payment_record}]
    if found:
        operation.credited = any(row.status == "paid" for row in found)  # type: ignore[attr-defined]


def dashboard(path: str, livemode: bool | None) -> str:
    """Stripe's own page of an object, in the right account and mode."""
    account = f"{settings.STRIPE_ACCOUNT}/" if settings.STRIPE_ACCOUNT else ""
    return f"{DASHBOARD}/{account}{'' if livemode else 'test/'}{path}"


def _held(spec: Spec, paused: list[Pause]) -> Refusal | None:
    """The brake, where it is on for this action."""
    pause = next((pause for pause in paused if pause.action in {"", spec.name}), None)
    return Refusal("actions_paused", f"Paused: {pause.reason}") if pause else None


def _still_possible(refusal: Refusal | None) -> Refusal | None:
    """A parameter that is missing is asked for on the next page; it forbids nothing."""
    return None if isinstance(refusal, Invalid) else refusal


def _attempt(event: Event) -> Attempt:
    if event.type != "payment_intent.payment_failed":
        tone = "green" if event.type.endswith("succeeded") else "violet"
        return Attempt(event.created, tone, wording.event(event.type))
    try:
        error = member(json.loads(event.body), "data", "object", "last_payment_error")
    except ValueError:
        error = None
    return Attempt(event.created, "red", wording.decline(error))


def _line(line: dict[str, Any]) -> dict[str, Any]:
    currency = text(line, "currency")
    start, end = moment(line, "period", "start"), moment(line, "period", "end")
    return {
        "description": text(line, "description", limit=1000) or "No description",
        "period": (start, end) if start and end and start != end else None,
        "quantity": member(line, "quantity"),
        "amount": money.text(integer(line, "amount"), currency),
        "id": text(line, "id"),
    }


def _sum(parts: Any) -> int:
    return sum(integer(part, "amount") or 0 for part in parts) if isinstance(parts, list) else 0
