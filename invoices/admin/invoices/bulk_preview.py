"""What an action on many invoices would do: to which invoices, to which not and why, and the sums.

It makes at most nine queries for each chunk of invoices (four for an action that charges nothing), however many there
are in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from invoices import money
from invoices.admin.invoices import wording
from invoices.models import Code, Invoice
from invoices.operations import Action, Invalid, approval, batch, eligibility

CHUNK_SIZE = 500  # invoices read and examined together
INVOICES_SHOWN = 20  # of those that the action will be done to
INVOICES_SHOWN_PER_REASON = 5  # of those that it will not be done to
COLUMNS = (
    "id number status currency amount_remaining amount_due collection_method subscription created deleted_at due_date "
    "amount_paid customer_id"
).split()


@dataclass
class LeftAlone:
    """Invoices that are left alone for the same reason: how many they are, and the first ones."""

    reason: str
    count: int = 0
    first: list[Invoice] = field(default_factory=list)

    @property
    def not_shown(self) -> int:
        return self.count - len(self.first)


@dataclass
class PreviewRow:
    """An invoice in the table of those that the action will be done to."""

    invoice: Invoice

    @property
    def number(self) -> str:
        return wording.number(self.invoice)

    @property
    def customer(self) -> str:
        return wording.customer(self.invoice)

    @property
    def status(self) -> tuple[str, str]:
        return wording.status(self.invoice)

    @property
    def amount(self) -> str:
        return money.text(self.invoice.amount_remaining, self.invoice.currency)


@dataclass
class BulkPreview:
    """What an action would do to invoices, as the mirror has them now."""

    action: Action
    matched: int = 0  # how many invoices were examined
    exceeds_batch_limit: bool = False  # more invoices match than a batch may hold
    items: list[str] = field(default_factory=list)  # the invoices to act on, each by `to_form_item`
    need: approval.Need | None = None  # why the batch will wait for a second person, as a whole
    _sums: dict[str, list[int]] = field(default_factory=dict)  # currency → [count, amount remaining in minor units]
    _acted_on: list[Invoice] = field(default_factory=list)  # only with the columns that `approval` needs
    _first: list[Invoice] = field(default_factory=list)
    _groups: dict[str, LeftAlone] = field(default_factory=dict)  # by reason

    @property
    def acted_on(self) -> int:
        """How many invoices the action will be done to."""
        return len(self.items)

    @property
    def totals(self) -> list[tuple[str, int, str]]:
        """For each currency: its code, the number of invoices, the sum of what remains to pay."""
        return [
            (currency.upper(), count, money.text(amount, currency))
            for currency, (count, amount) in sorted(self._sums.items())
        ]

    @property
    def groups(self) -> list[LeftAlone]:
        """Those left alone, by reason, the largest group first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)

    @property
    def left_alone(self) -> int:
        return self.matched - self.acted_on

    @property
    def not_shown(self) -> int:
        """How many invoices the action will be done to beyond those in `rows`."""
        return self.acted_on - len(self._first)

    @property
    def rows(self) -> list[PreviewRow]:
        """The newest of those that the action will be done to. Only these are read whole."""
        whole = Invoice.objects.in_bulk([invoice.pk for invoice in self._first])
        return [PreviewRow(whole[invoice.pk]) for invoice in self._first if invoice.pk in whole]

    def add(self, invoices: list[Invoice]) -> None:
        """Adds a chunk of invoices: examines each, with a few queries for all of them."""
        known = eligibility.circumstances_of(invoices, charges=self.action.charges({}))
        for invoice in invoices:
            self.matched += 1
            params = self.action.bulk_params(invoice.amount_remaining)
            if why_not := self._why_not(invoice, params, known):
                group = self._groups.setdefault(why_not, LeftAlone(why_not))
                group.count += 1
                if len(group.first) < INVOICES_SHOWN_PER_REASON:
                    group.first.append(invoice)
                continue
            self.items.append(to_form_item(invoice))
            small = Invoice(
                pk=invoice.pk,
                status=invoice.status,
                amount_remaining=invoice.amount_remaining,
                currency=invoice.currency,
            )
            self._acted_on.append(small)
            sums = self._sums.setdefault(invoice.currency or "?", [0, 0])
            sums[0] += 1
            sums[1] += invoice.amount_remaining or 0
            if len(self._first) < INVOICES_SHOWN:
                self._first.append(invoice)

    def ask_approval(self, actor: Any) -> None:
        """Whether the batch would wait for a second person, if this person asked for it."""
        self.need = approval.need_of_batch(self.action, self._acted_on, {}, actor=actor)

    def _why_not(self, invoice: Invoice, params: dict[str, Any], known: eligibility.Circumstances) -> str:
        """Why the action is not done to this invoice; empty if it is. Reasons without times or names, so that invoices
        with the same reason stand together."""
        # An invoice on which the same waits already is left to that request.
        waits = self.action.approval_amount(invoice, params, None) is not None
        refusal = eligibility.check(self.action, invoice, params, known, would_wait=waits)
        if refusal is None or isinstance(refusal, Invalid) or refusal.code == Code.ACTIONS_PAUSED:
            return ""  # the form asks for the other parameters, and the page says once that the action is paused
        if refusal.code == Code.ATTEMPTED_RECENTLY:
            return "Its card was declined within the last hour; one by one, another payment method can be charged."
        return refusal.message.replace("`", "")


def preview_of(action: Action, found: QuerySet[Invoice], actor: Any) -> BulkPreview:
    """The preview of an action on these invoices: the newest ones, and no more than a batch may hold. `actor` is the
    person who would ask for it."""
    preview = BulkPreview(action)
    columns = [*COLUMNS, "data"] if action.charges({}) else COLUMNS  # a charge needs the invoice's own payment method
    ids = list(found.order_by("-created", "-id").values_list("pk", flat=True)[: batch.MAX_INVOICES + 1])
    preview.exceeds_batch_limit = len(ids) > batch.MAX_INVOICES
    for begin in range(0, min(len(ids), batch.MAX_INVOICES), CHUNK_SIZE):
        chunk = ids[begin : min(begin + CHUNK_SIZE, batch.MAX_INVOICES)]
        preview.add(list(Invoice.objects.filter(pk__in=chunk).order_by("-created", "-id").only(*columns)))
    preview.ask_approval(actor)
    return preview


# --- the invoices in a hidden field of the form ----------------------------------------------------------------------


def to_form_item(invoice: Invoice) -> str:
    """`in_1 open 1000`: the invoice with the status and the remaining amount (minor units) that the page shows. The
    action is performed only if the invoice still has them."""
    remaining = invoice.amount_remaining
    return f"{invoice.pk} {invoice.status} {'' if remaining is None else remaining}"


def from_form_items(items: str) -> Iterator[Invoice]:
    """The invoices of a form that was sent: each once, and no more than one above the limit of a batch, which then
    refuses."""
    once = dict.fromkeys(items.split(";"))
    for item in islice(once, batch.MAX_INVOICES + 1):
        pk, status, remaining = (*item.strip().split(" "), "", "")[:3]
        amount = int(remaining) if remaining.isdecimal() and len(remaining) < 20 else None
        if pk:
            yield Invoice(pk=pk[:255], status=status[:32] or None, amount_remaining=amount)
