"""An invoice's situation: one name for it, judged once, for the words on its page and for the customer's text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from invoices.admin.invoices import wording
from invoices.models import Invoice, Operation, PaymentIntent, Promise
from invoices.operations import outcomes
from invoices.operations.advice import DEFAULT, HOSTED, Advice, advise

PAYING = frozenset(
    {"pay", "charge_part", "attach_payment", "attach_out_of_band_payment"}
)  # they charge or record money


class Name(StrEnum):
    DELETED = "deleted"
    CONTRADICTED = "contradicted"  # Stripe says otherwise than our journal
    UNKNOWN = "unknown"  # an operation has not ended, or its outcome is unknown
    WAITING = "waiting"  # Stripe has a newer state, which is being read
    RETURNED = "returned"  # the bank took a transfer back that is still recorded as its payment
    PAID = "paid"
    CREDITED = "credited"  # closed by credit notes alone: nothing was paid
    VOID = "void"
    AWAITING = "awaiting_approval"  # a request waits for a second person
    DRAFT = "draft"
    PROCESSING = "processing"  # a bank debit takes days
    UNCOLLECTIBLE = "uncollectible"
    CONFIRM = "requires_action"  # the customer must confirm the payment (3-D Secure)
    DECLINED = "declined"
    OVERDUE = "overdue"
    OPEN = "open"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Situation:
    """What is known of an invoice. Amounts are in minor units of its currency.

    `returned`: the bank took a transfer back that is still recorded. `unfinished`: the newest operation that has
    not ended, or that waits for approval. `processing`: what a bank is still processing. `intent`: the
    PaymentIntent of the newest payment that is still open. `card`: what it was charged to, such as `Visa ••••
    4242`. `reason`: why it was declined, in words. `advice`: what helps after the last decline; the journal may
    know of it before the mirror does. `credited`: the sum of its credit notes.
    `paused`: why nothing can be charged now. `lacks_default`: nothing is known that a charge would take by itself.
    `promise`: the customer's last one, while it stands (`is_promised`) or when it was broken.
    """

    invoice: Invoice
    contradicted: bool = False
    unfinished: Operation | None = None
    waits: bool = False
    returned: bool = False
    processing: int | None = None
    intent: PaymentIntent | None = None
    card: str = ""
    reason: str = ""
    advice: Advice | None = None
    credited: int = 0
    paused: str = ""
    lacks_default: bool = False
    promise: Promise | None = None
    is_promised: bool = False

    @property
    def name(self) -> Name:
        """The first that holds."""
        invoice = self.invoice
        if invoice.deleted_at:
            return Name.DELETED
        if self.contradicted:
            return Name.CONTRADICTED
        if self.unfinished is not None and self.unfinished.state in Operation.UNFINISHED:
            return Name.UNKNOWN
        if self.waits:
            return Name.WAITING
        if self.returned:
            return Name.RETURNED
        match invoice.status:
            case "paid":
                return Name.CREDITED if self.credited and not invoice.amount_paid else Name.PAID
            case "void":
                return Name.VOID
            case "draft" | "open" | "uncollectible":
                return self._of_unpaid(invoice.status)
        return Name.UNREADABLE

    def _of_unpaid(self, status: str) -> Name:
        if self.unfinished is not None and self.unfinished.state == Operation.State.AWAITING_APPROVAL:
            return Name.AWAITING
        if status == "draft":
            return Name.DRAFT
        if self.processing is not None:
            return Name.PROCESSING
        if status == "uncollectible":
            return Name.UNCOLLECTIBLE
        if (self.intent is not None and self.intent.status == "requires_action") or self.kind_of_help == HOSTED:
            return Name.CONFIRM
        if self.help is not None:
            return Name.DECLINED
        return Name.OVERDUE if wording.overdue(self.invoice) else Name.OPEN

    @property
    def is_paying(self) -> bool:
        """Whether a payment may be running: an operation that charges or records one was begun, and its outcome is
        not known. What waits for approval was not sent."""
        operation = self.unfinished
        return operation is not None and operation.state in Operation.UNFINISHED and operation.action in PAYING

    @property
    def help(self) -> Advice | None:
        """What helps after the last decline, while it is the last that happened; None without one."""
        if self.advice is not None or self.intent is None or not self.intent.error_message:
            return self.advice
        error, declined = self.intent.error_code or "", self.intent.decline_code or ""
        return advise(outcomes.decline_code_of(error, declined), declined, error) or DEFAULT

    @property
    def kind_of_help(self) -> str:
        return self.help.kind if self.help else ""
