"""Before an action on many invoices: which it will be done to, which not and why, and how much it is. Five queries for
every five hundred, and memory for what is shown."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from django.db.models import QuerySet
from django.utils import timezone

from invoices import money
from invoices.admin import wording
from invoices.models import Invoice, InvoicePayment, Operation, PaymentIntent
from invoices.operations import Invalid, Spec, approval, batch
from invoices.operations.request import BETWEEN_CHARGES

AT_ONCE = 500
SHOWN = 20  # of those that will be done
FEW = 5  # of each group that will not
COLUMNS = (
    "id number status currency amount_remaining amount_due collection_method subscription created deleted_at due_date "
    "amount_paid customer_id"
).split()


@dataclass
class Group:
    """Invoices that are left alone for the same reason: how many, and the first few."""

    reason: str
    number: int = 0
    first: list[Invoice] = field(default_factory=list)

    @property
    def more(self) -> int:
        return self.number - len(self.first)


@dataclass
class Row:
    """One of the invoices, for reading."""

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
class DryRun:
    """What an action would do to these invoices, as they stand in this moment."""

    spec: Spec
    matched: int = 0
    beyond: bool = False  # more match than are taken at once
    items: list[str] = field(default_factory=list)  # what goes back with the form
    waiting: int = 0
    _sums: dict[str, list[int]] = field(default_factory=dict)
    _first: list[Invoice] = field(default_factory=list)
    _groups: dict[str, Group] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """How many it will be done to."""
        return len(self.items)

    @property
    def totals(self) -> list[tuple[str, int, str]]:
        """Per currency: on how many, and how much remains of them."""
        return [
            (currency.upper(), number, money.text(amount, currency))
            for currency, (number, amount) in sorted(self._sums.items())
        ]

    @property
    def groups(self) -> list[Group]:
        return sorted(self._groups.values(), key=lambda group: -group.number)

    @property
    def left_alone(self) -> int:
        return self.matched - self.number

    @property
    def more(self) -> int:
        return self.number - len(self._first)

    @property
    def rows(self) -> list[Row]:
        """The first of those that it will be done to, with their customers."""
        whole = Invoice.objects.in_bulk([invoice.pk for invoice in self._first])
        return [Row(whole[invoice.pk]) for invoice in self._first if invoice.pk in whole]

    def take(self, invoices: list[Invoice]) -> None:
        """Judges these, a few queries for all of them."""
        judge = _Judge(self.spec, invoices)
        for invoice in invoices:
            self.matched += 1
            if why_not := judge.why_not(invoice):
                group = self._groups.setdefault(why_not, Group(why_not))
                group.number += 1
                if len(group.first) < FEW:
                    group.first.append(invoice)
                continue
            self.items.append(written(invoice))
            self.waiting += _waits(self.spec, invoice)
            sums = self._sums.setdefault(invoice.currency or "?", [0, 0])
            sums[0] += 1
            sums[1] += invoice.amount_remaining or 0
            if len(self._first) < SHOWN:
                self._first.append(invoice)


def of(spec: Spec, found: QuerySet[Invoice]) -> DryRun:
    """Newest first, and no more than a batch may hold."""
    run = DryRun(spec)
    ids = list(found.order_by("-created", "-id").values_list("pk", flat=True)[: batch.MOST + 1])
    run.beyond = len(ids) > batch.MOST
    for begin in range(0, min(len(ids), batch.MOST), AT_ONCE):
        chunk = ids[begin : min(begin + AT_ONCE, batch.MOST)]
        run.take(list(Invoice.objects.filter(pk__in=chunk).order_by("-created", "-id").only(*COLUMNS)))
    return run


class _Judge:
    """Knows of some invoices what forbids an action on them."""

    def __init__(self, spec: Spec, invoices: list[Invoice]) -> None:
        self.spec = spec
        ids = [invoice.pk for invoice in invoices]
        self.payments: dict[str, list[InvoicePayment]] = defaultdict(list)
        paying: dict[str, str] = {}
        for payment in InvoicePayment.objects.filter(invoice_id__in=ids).only(
            "id", "invoice_id", "status", "is_default", "payment_intent"
        ):
            self.payments[str(payment.invoice_id)].append(payment)
            if payment.status == "open" and payment.payment_intent:
                paying[payment.payment_intent] = str(payment.invoice_id)
        here = Operation.objects.filter(invoice__in=ids)
        self.busy = _invoices(here.filter(state__in=Operation.UNFINISHED))
        self.asked = _invoices(here.filter(state=Operation.State.AWAITING_APPROVAL, action=spec.name))
        self.declined: set[str] = set()
        self.processing: set[str] = set()
        if spec.charges({}):
            since = timezone.now() - BETWEEN_CHARGES
            codes = ("card_declined", "authentication_required")
            failed = here.filter(action=spec.name, state=Operation.State.FAILED, code__in=codes)
            self.declined = _invoices(failed.filter(finished_at__gt=since))
            under_way = PaymentIntent.objects.filter(pk__in=list(paying), status="processing")
            self.processing = {paying[pk] for pk in under_way.values_list("pk", flat=True)}

    def why_not(self, invoice: Invoice) -> str:
        refusal = self.spec.refusal(invoice, self.payments[invoice.pk], {})
        if refusal is not None and not isinstance(refusal, Invalid):
            return refusal.message.replace("`", "")
        if invoice.pk in self.busy:
            return "Another operation on it has not finished yet."
        if invoice.pk in self.asked:
            return "The same request already waits for a second person."
        if invoice.pk in self.processing:
            return "A payment of it is still being processed by the bank."
        if invoice.pk in self.declined:
            return "It was declined within the last hour; one by one, another payment method can be charged."
        return ""


def _invoices(operations: QuerySet[Operation]) -> set[str]:
    return set(operations.values_list("invoice", flat=True))


def _waits(spec: Spec, invoice: Invoice) -> bool:
    """Whether a second person decides. In bulk a payment is always over the whole."""
    whole = {"amount": invoice.amount_remaining} if any(p.kind == "money" for p in spec.parameters) else {}
    return approval.needed(spec, invoice, whole)


# --- what goes with the form, and comes back ------------------------------------------------------------------------


def written(invoice: Invoice) -> str:
    """The invoice as it was shown: it is acted on only while it is still so."""
    remaining = invoice.amount_remaining
    return f"{invoice.pk} {invoice.status} {'' if remaining is None else remaining}"


def read(items: str) -> Iterator[Invoice]:
    """The invoices of a form that was sent."""
    once = dict.fromkeys(items.split(";"))
    for item in islice(once, batch.MOST + 1):
        pk, status, remaining = (*item.strip().split(" "), "", "")[:3]
        amount = int(remaining) if remaining.lstrip("-").isdecimal() and len(remaining) < 20 else None
        if pk:
            yield Invoice(pk=pk[:255], status=status[:32] or None, amount_remaining=amount)
