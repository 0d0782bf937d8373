"""An invoice when an operation on it was requested, and now: what has changed, and whether the action is still
possible."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from invoices import money
from invoices.admin.invoices import wording as invoice_wording
from invoices.models import Invoice, Operation
from invoices.operations import ACTIONS, eligibility


@dataclass
class InvoiceThenAndNow:
    """The invoice when the operation was requested, and as the mirror has it now. `read`: it has just been read from
    Stripe. `note`: why it could not be read."""

    operation: Operation
    invoice: Invoice | None
    read: bool = False
    note: str = ""

    @property
    def rows(self) -> list[tuple[str, str, str, bool]]:
        """Label, value then, value now, whether they differ."""
        before = self.operation.before
        now = {name: getattr(self.invoice, name) for name in invoice_wording.FIELD_LABELS} if self.invoice else {}
        currency = before.get("currency") or (self.invoice.currency if self.invoice else None)
        return [
            (
                _(label),
                invoice_wording.field_value(name, before.get(name), currency),
                invoice_wording.field_value(name, now.get(name), currency),
                before.get(name) != now.get(name),
            )
            for name, label in invoice_wording.FIELD_LABELS.items()
            if before or now
        ]

    @property
    def changes(self) -> list[str]:
        return invoice_wording.changes(self.operation.before, self.invoice) if self.invoice else []

    @property
    def what_will_happen(self) -> list[str]:
        """What will happen if it is approved."""
        if self.invoice is None:
            return []
        return ACTIONS[self.operation.action].consequences(self.invoice, self.operation.params)

    @property
    def amount(self) -> int | None:
        """To what a second person agrees, in minor units: as the invoice is now. Of a payment that is to be attached,
        as it was when the request was last judged."""
        if self.invoice is None:
            return None
        amount = ACTIONS[self.operation.action].approval_amount(self.invoice, self.operation.params, None)
        return self.operation.approval_amount if amount is None else amount

    @property
    def amount_in_words(self) -> str:
        return money.text(self.amount, self.invoice.currency if self.invoice else None)

    @property
    def impossible(self) -> str:
        """Why the action is no longer possible; empty if it is."""
        if self.invoice is None or self.operation.action not in ACTIONS:
            return ""
        payments = list(self.invoice.payments.all())
        action = ACTIONS[self.operation.action]
        refusal = eligibility.invoice_refusal(action, self.invoice, payments, self.operation.params)
        return refusal.message if refusal else ""
