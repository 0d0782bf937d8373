"""Everything that an invoice's page shows, read from the mirror and the journal in some twenty queries of limited size.
Stripe is not asked."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from invoices import money, scheduled_refetches
from invoices.admin import access
from invoices.admin.formatting import web_address
from invoices.admin.invoices import declined, page_lines, waiting, wording
from invoices.admin.invoices.offers import Offers
from invoices.admin.invoices.page_payments import (
    ATTEMPT_EVENTS,
    Attempt,
    Payment,
    attempt_from_error,
    attempt_from_event,
    with_charges,
)
from invoices.admin.invoices.page_words import PageWords
from invoices.admin.invoices.timeline import Timeline
from invoices.admin.invoices.under_way import UnderWay, money_under_way_of
from invoices.admin.links import dashboard_url
from invoices.admin.operations import wording as operation_wording
from invoices.admin.operations.contradictions import contradictions_of
from invoices.admin.stripe_screens import Screen, screens
from invoices.models import (
    BankTransaction,
    Charge,
    Contradiction,
    CreditNote,
    Customer,
    Event,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    Refund,
)
from invoices.models.reading import member, printable
from invoices.operations import ACTIONS, eligibility
from invoices.statements import returned

MAX_ROWS = 100  # of payments, operations, attempts and events; newer ones first


class InvoicePage:
    """An invoice with everything around it. Each part is read once, when the template first uses it."""

    def __init__(self, invoice: Invoice, request: HttpRequest) -> None:
        self.invoice, self.request = invoice, request
        self.data: Any = printable(invoice.data or {})

    # --- amounts, status, sentences -----------------------------------------------------------------------------

    @property
    def number(self) -> str:
        return wording.number(self.invoice)

    @property
    def status(self) -> tuple[str, str]:
        return wording.status(self.invoice)

    @property
    def paid_share(self) -> int:
        """Percent of the amount due that is paid: 0 to 100."""
        due, paid = self.invoice.amount_due, self.invoice.amount_paid
        return max(0, min(100, round(100 * paid / due))) if due and paid else 0

    @property
    def has_remaining(self) -> bool:
        """Whether something can be left to pay. Not of a draft, and no more of a void or deleted one."""
        return self.invoice.status not in {"draft", "void"} and not self.invoice.deleted_at

    @cached_property
    def words(self) -> PageWords:
        """The state in words, and the text for the customer."""
        return PageWords(self)

    @cached_property
    def waiting(self) -> waiting.Waiting | None:
        """For the state after the last operation, where what is shown is older."""
        return waiting.for_newer_state(self.invoice, self.operations)

    @cached_property
    def under_way(self) -> UnderWay | None:
        """The money that banks are still processing; None if there is none."""
        return money_under_way_of(self.operations, self.payments)

    @cached_property
    def help(self) -> declined.Help | None:
        """What to do after the last decline, while the invoice is still to be paid. None while Stripe contradicts the
        journal."""
        if self.contradictions:
            return None
        if found := declined.help_after(self.request, self.invoice, self._declined_intent, self.operations):
            return found
        last_pay = next((operation for operation in self.operations if _is_charge(operation)), None)
        return declined.help_for(self.request, last_pay, self.invoice) if last_pay else None

    @cached_property
    def _declined_intent(self) -> PaymentIntent | None:
        """Of the newest payment that is still open and whose last charge was declined; None if there is none."""
        intents = (payment.intent for payment in self.payments if payment.row.status == "open")
        return next((intent for intent in intents if intent and intent.error_message), None)

    @property
    def overdue(self) -> bool:
        return wording.overdue(self.invoice)

    # --- what can be done -----------------------------------------------------------------------------------------

    @cached_property
    def offers(self) -> Offers:
        return Offers(self.invoice, self.request, lacks_default=self.lacks_default)

    @cached_property
    def lacks_default(self) -> bool:
        """Whether nothing is known that a charge would take by itself."""
        return eligibility.lacks_default(self.invoice, self.customer)

    # --- operations, payments, events -----------------------------------------------------------------------------

    @cached_property
    def operations(self) -> list[Operation]:
        found = Operation.objects.filter(invoice=self.invoice.pk).select_related("actor", "approver")
        return list(found.order_by("-created_at")[:MAX_ROWS])

    @cached_property
    def contradictions(self) -> list[Contradiction]:
        """What Stripe says otherwise than our operations, while nobody has resolved it."""
        may = self.request.user.has_perm("invoices.view_operation")
        return contradictions_of(self.invoice.pk) if may else []

    @cached_property
    def returned(self) -> list[tuple[BankTransaction, str, bool]]:
        """The debits that took a recorded transfer back, what was recorded of it here, and whether the reader may see
        the debit. Whoever reads the page: it must not look paid."""
        may = self.request.user.has_perm("invoices.view_banktransaction")
        return [
            (debit, money.text(amount, debit.currency), may) for debit, amount in returned.of_invoice(self.invoice.pk)
        ]

    @property
    def unfinished(self) -> Operation | None:
        """The newest operation that has not ended, or that waits for approval."""
        going_on = (*Operation.UNFINISHED, Operation.State.AWAITING_APPROVAL)
        return next((operation for operation in self.operations if operation.state in going_on), None)

    @cached_property
    def _rows(self) -> list[InvoicePayment]:
        return list(InvoicePayment.objects.filter(invoice_id=self.invoice.pk).order_by("-created", "-id")[:MAX_ROWS])

    @cached_property
    def _intents(self) -> dict[str, PaymentIntent]:
        ids = [row.payment_intent for row in self._rows if row.payment_intent]
        return {intent.pk: intent for intent in PaymentIntent.objects.filter(pk__in=ids)}

    @cached_property
    def payments(self) -> list[Payment]:
        seen = [operation for operation in self.operations if access.may_see(self.request, operation)]
        made = {call.result.id: operation for operation in seen for call in operation.calls if call.result}
        attempts = self._attempts()
        for operation in self.operations:
            operation_wording.note_credit(operation, self._rows)
        return [
            Payment(
                row,
                self._intents.get(row.payment_intent or ""),
                made.get(row.payment_record) if row.payment_record else None,
                attempts.get(row.payment_intent or "", []),
            )
            for row in self._rows
        ]

    @cached_property
    def credit_notes(self) -> list[CreditNote]:
        if not self.request.user.has_perm("invoices.view_creditnote"):
            return []
        found = CreditNote.objects.filter(invoice_id=self.invoice.pk).order_by("-created", "-id").defer("data")
        return list(found[:MAX_ROWS])

    @cached_property
    def refunds(self) -> list[Refund]:
        """Of the PaymentIntents that paid it."""
        intents = [row.payment_intent for row in self._rows if row.payment_intent]
        if not intents or not self.request.user.has_perm("invoices.view_refund"):
            return []
        found = Refund.objects.filter(payment_intent__in=intents).order_by("-created", "-id").defer("data")
        return list(found[:MAX_ROWS])

    def _attempts(self) -> dict[str, list[Attempt]]:
        """The attempts to charge each PaymentIntent, newest first. Failures come from the charges that the mirror
        holds, the others from events; where neither reached us, the PaymentIntent still holds its last failure."""
        found: dict[str, list[Attempt]] = {}
        events = Event.objects.filter(object_id__in=list(self._intents), type__in=ATTEMPT_EVENTS).order_by(
            "-created", "-id"
        )
        for event in events[:MAX_ROWS]:
            found.setdefault(event.object_id, []).append(attempt_from_event(event))
        failed: dict[str, list[Charge]] = {}
        for charge in self._failed_charges():
            failed.setdefault(charge.payment_intent or "", []).append(charge)
        for pk, charges in failed.items():
            found[pk] = with_charges(found.get(pk, []), charges)
        for pk, intent in self._intents.items():
            error = member(intent.data, "last_payment_error")
            if error and not any(attempt.tone == "red" for attempt in found.get(pk, [])):
                found.setdefault(pk, []).append(attempt_from_error(error))
        return found

    def _failed_charges(self) -> list[Charge]:
        if not self._intents or not self.request.user.has_perm("invoices.view_charge"):
            return []
        found = Charge.objects.filter(payment_intent__in=list(self._intents), status="failed")
        return list(found.order_by("-created", "-id")[:MAX_ROWS])

    @property
    def tries(self) -> int:
        """How often somebody tried to charge it: by the attempts that are shown, or by Stripe's own count where that is
        higher. Stripe counts the first one, and then only those that it makes by itself."""
        known = sum(len(payment.attempts) for payment in self.payments)
        return max(known, self.invoice.attempt_count or 0)

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Kind and id of the objects that the page would show and that the mirror does not have yet."""
        intents = {row.payment_intent for row in self._rows if row.payment_intent} - set(self._intents)
        customer = self.invoice.customer_id
        missing = [("customer", customer)] if customer and self.customer is None else []
        return missing + [("payment_intent", pk) for pk in sorted(intents)]

    @cached_property
    def customer(self) -> Any:
        return Customer.objects.filter(pk=self.invoice.customer_id).first() if self.invoice.customer_id else None

    @cached_property
    def timeline(self) -> Timeline:
        return Timeline(self)

    # --- lines and totals -------------------------------------------------------------------------------------------

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        return page_lines.lines(self.data)

    @property
    def more_lines(self) -> str:
        return page_lines.more_lines(self.data)

    @property
    def totals(self) -> list[tuple[str, str, bool]]:
        return page_lines.totals(self.invoice, self.data)

    # --- links and freshness --------------------------------------------------------------------------------------

    @property
    def links(self) -> list[tuple[str, str, str]]:
        """Label, icon and address of the invoice's pages at Stripe."""
        found = (
            (_("Stripe's payment page"), "open_in_new", web_address(self.data.get("hosted_invoice_url"))),
            (_("PDF"), "picture_as_pdf", web_address(self.data.get("invoice_pdf"))),
            (
                _("In Stripe's dashboard"),
                "dashboard",
                dashboard_url(f"invoices/{self.invoice.pk}", self.invoice.livemode),
            ),
        )
        return [link for link in found if link[2]]

    @property
    def screens(self) -> list[Screen]:
        """Where Stripe's Dashboard does what the desk does not."""
        return screens(self.invoice, list(self._intents.values()))

    @cached_property
    def reading(self) -> bool:
        """Whether a newer state is about to be read from Stripe. Somebody waits for it now."""
        return scheduled_refetches.look("invoice", self.invoice.pk)


def _is_charge(operation: Operation) -> bool:
    action = ACTIONS.get(operation.action)
    return action is not None and action.charges(operation.params)
