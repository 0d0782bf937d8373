"""What an action on many invoices would do: to which invoices, to which not and why, and the sums.

The admin's preview, the API's, and the making of a batch by token ask here. It makes at most nine queries for each
chunk of invoices (four for an action that charges nothing), however many there are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from invoices import money
from invoices.models import Code, Invoice
from invoices.models.batch_items import sums_of
from invoices.operations import approval, batch, eligibility
from invoices.operations.action import Action, Params
from invoices.operations.actions import ACTIONS
from invoices.operations.refusals import Invalid, Refusal

BULK_ACTIONS = [name for name, action in ACTIONS.items() if action.bulk_parameters is not None]
CHUNK_SIZE = 500  # invoices read and examined together
INVOICES_SHOWN = 20  # of those that the action will be done to
INVOICES_SHOWN_PER_REASON = 5  # of those that it will not be done to
COLUMNS = (
    "id number status currency amount_remaining amount_due collection_method subscription created deleted_at due_date "
    "amount_paid customer_id"
).split()


@dataclass
class LeftAlone:
    """Invoices that are left alone for the same reason: their ids, and the first ones."""

    code: str
    reason: str
    ids: list[str] = field(default_factory=list)
    first: list[Invoice] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def not_shown(self) -> int:
        return self.count - len(self.first)


@dataclass
class BulkPreview:
    """What an action would do to invoices, as the mirror has them now."""

    action: Action
    params: Params = field(default_factory=dict)  # that hold for all of the invoices, as far as they are known
    matched: int = 0  # how many invoices were examined
    exceeds_batch_limit: bool = False  # more invoices match than a batch may hold
    # The invoices to act on, only with the status, the amount and the currency that were seen.
    invoices: list[Invoice] = field(default_factory=list)
    first: list[Invoice] = field(default_factory=list)  # of these, with what was examined
    need: approval.Need | None = None  # why the batch will wait for a second person, as a whole
    _groups: dict[tuple[str, str], LeftAlone] = field(default_factory=dict)  # by code and reason

    @property
    def acted_on(self) -> int:
        """How many invoices the action will be done to."""
        return len(self.invoices)

    @property
    def sums(self) -> dict[str, int]:
        """What remains to pay on the invoices to act on: currency → minor units."""
        return sums_of(self.invoices)

    @property
    def totals(self) -> list[tuple[str, int, str]]:
        """For each currency: its code, the number of invoices, the sum of what remains to pay."""
        counts: dict[str, int] = {}
        for invoice in self.invoices:
            counts[invoice.currency or ""] = counts.get(invoice.currency or "", 0) + 1
        return [
            (currency.upper() or "?", counts[currency], money.text(amount, currency))
            for currency, amount in self.sums.items()
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
        """How many invoices the action will be done to beyond the `first`."""
        return self.acted_on - len(self.first)

    def add(self, ids: Sequence[str]) -> None:
        """Adds a chunk of invoices in this order: examines each, with a few queries for all of them."""
        charges = self.action.charges(self.params)
        columns = [*COLUMNS, "data"] if charges else COLUMNS  # a charge needs the invoice's own payment method
        found = {invoice.pk: invoice for invoice in Invoice.objects.filter(pk__in=ids).only(*columns)}
        known = eligibility.circumstances_of(list(found.values()), charges=charges)
        for id in ids:
            self.matched += 1
            invoice = found.get(id)
            if invoice is None:
                self._leave(id, Refusal(Code.RESOURCE_MISSING, _("There is no such invoice.")))
            elif refusal := self._why_not(invoice, known):
                self._leave(id, refusal, invoice)
            else:
                self._take(invoice)

    def ask_approval(self, actor: Any) -> None:
        """Whether the batch would wait for a second person, if this person asked for it."""
        asked = ((each, {**self.params, **self.action.bulk_params(each.amount_remaining)}) for each in self.invoices)
        self.need = approval.need_of_batch(self.action, asked, actor=actor)

    def _take(self, invoice: Invoice) -> None:
        small = Invoice(
            pk=invoice.pk,
            status=invoice.status,
            amount_remaining=invoice.amount_remaining,
            currency=invoice.currency,
        )
        self.invoices.append(small)
        if len(self.first) < INVOICES_SHOWN:
            self.first.append(invoice)

    def _leave(self, id: str, refusal: Refusal, invoice: Invoice | None = None) -> None:
        reason = _without_times(refusal)
        group = self._groups.setdefault((refusal.code, reason), LeftAlone(refusal.code, reason))
        group.ids.append(id)
        if invoice is not None and len(group.first) < INVOICES_SHOWN_PER_REASON:
            group.first.append(invoice)

    def _why_not(self, invoice: Invoice, known: eligibility.Circumstances) -> Refusal | None:
        of_invoice = self.action.bulk_params(invoice.amount_remaining)
        params = {**self.params, **of_invoice}
        # An invoice on which the same waits already is left to that request.
        waits = self.action.approval_amount(invoice, params, None) is not None
        refusal = eligibility.check(self.action, invoice, params, known, would_wait=waits)
        if refusal is None or refusal.code == Code.ACTIONS_PAUSED:
            return None  # a pause is told of once
        if isinstance(refusal, Invalid) and refusal.param not in of_invoice:
            return None  # what holds for all of them is judged by itself
        return refusal


def _without_times(refusal: Refusal) -> str:
    """The reason without times or names, so that invoices with the same reason stand together."""
    if refusal.code == Code.ATTEMPTED_RECENTLY:
        return _("Its card was declined within the last hour; one by one, another payment method can be charged.")
    return refusal.message.replace("`", "")


def preview_of(action: Action, found: QuerySet[Invoice], actor: Any) -> BulkPreview:
    """The preview of an action on these invoices: the newest ones, and no more than a batch may hold. `actor` is the
    person who would ask for it."""
    ids = list(found.order_by("-created", "-id").values_list("pk", flat=True)[: batch.MAX_INVOICES + 1])
    preview = preview_of_ids(action, ids)
    preview.ask_approval(actor)
    return preview


def preview_of_ids(action: Action, ids: Sequence[str], params: Params | None = None) -> BulkPreview:
    """The same of the invoices with these ids, in this order; who asks is not looked at yet. `params` are the action's,
    checked."""
    preview = BulkPreview(action, params or {})
    preview.exceeds_batch_limit = len(ids) > batch.MAX_INVOICES
    for begin in range(0, min(len(ids), batch.MAX_INVOICES), CHUNK_SIZE):
        preview.add(ids[begin : min(begin + CHUNK_SIZE, batch.MAX_INVOICES)])
    return preview
