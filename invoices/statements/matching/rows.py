"""What the mirror and the journal know of the invoices that credits may pay: a few questions for many credits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, Q

from invoices import clock
from invoices.models import BankDecision, BankMatch, Customer, Invoice, InvoicePayment, Operation, PaymentIntent
from invoices.models.invoice_numbers import NumberKey, number_key
from invoices.thresholds import REPEATED_RECORD

LAST = datetime.max.replace(tzinfo=UTC)
PAYABLE = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)
MOST_OF_AMOUNT = 20  # open invoices of one amount that are looked at; of a common amount there are more
MOST_OF_CUSTOMER = 40  # open invoices of one customer that are looked at
MOST_OF_NAME = 5  # customers whose name begins alike
VALUES_PER_STATEMENT = 10_000
PARTS_PER_STATEMENT = 100  # SQLite takes 500
RECORDING = "attach_out_of_band_payment"  # the action
State = Operation.State
NOT_OVER = (*Operation.UNFINISHED, Operation.State.PROCESSING, Operation.State.AWAITING_APPROVAL)
FIELDS = (
    "id",
    "number",
    "currency",
    "amount_remaining",
    "status",
    "customer_id",
    "customer_name",
    "customer_email",
    "created",
    "finalized_at",
    "due_date",
    "subscription",
    "collection_method",
)


class Row(NamedTuple):
    """An invoice, as the mirror has it. `remaining` is minor units."""

    id: str
    number: str
    currency: str
    remaining: int
    status: str
    customer: str
    name: str
    email: str
    created: datetime | None
    finalized: datetime | None
    due: datetime | None
    subscription: str
    method: str

    @property
    def age(self) -> tuple[datetime, str]:
        """The oldest first: by the day on which it is due, else by when it was made."""
        return (self.due or self.created or LAST, self.id)

    @property
    def since(self) -> datetime | None:
        """From when on somebody could know it: a draft is made long before it is sent."""
        return max((moment for moment in (self.created, self.finalized) if moment), default=None)

    @property
    def takes_parts(self) -> bool:
        """Stripe takes no part payments of a subscription that is charged automatically."""
        return not (self.subscription and self.method == "charge_automatically")


class Hindrances(NamedTuple):
    """What else is going on with some invoices."""

    under_way: frozenset[str]  # an operation, or a charge on which a bank decides
    claimed: dict[str, int]  # invoice → minor units that confirmed matches will pay
    recorded: frozenset[tuple[str, int]]  # invoice and amount of payments outside Stripe
    by_hand: Mapping[str, Sequence[ByHand]]  # of each customer


class ByHand(NamedTuple):
    """A payment that somebody recorded, and that no credit of a bank stands for yet: it may be the one of a credit."""

    invoice: str
    number: str
    currency: str
    amount: int  # minor units
    received_on: date


def with_keys(keys: Iterable[str], *, unpaid: bool = False) -> dict[str, list[Row]]:
    """The invoices whose number has one of these keys (`number_key`), of any status or only those that can be paid."""
    found = defaultdict(list)
    for some in _portions(keys):
        rows = Invoice.objects.annotate(key=NumberKey("number")).filter(Q(key__among=some), deleted_at=None)
        if unpaid:
            rows = rows.filter(status__in=PAYABLE)
        for values in rows.values_list(*FIELDS):
            row = _row(values)
            found[number_key(row.number)].append(row)
    return found


def with_amounts(amounts: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[Row]]:
    """Of each currency and amount (minor units): the unpaid invoices of which that remains, at most MOST_OF_AMOUNT + 1
    of each status."""
    ids = _limited(
        Invoice, "currency = %s AND amount_remaining = %s", "ORDER BY id", MOST_OF_AMOUNT + 1, set(amounts), PAYABLE
    )
    return _grouped(ids, lambda row: (row.currency, row.remaining))


def of_customers(customers: Iterable[str]) -> dict[str, list[Row]]:
    """Of each customer the newest unpaid invoices, at most MOST_OF_CUSTOMER + 1 of each status."""
    wanted = {(customer,) for customer in customers}
    order = "ORDER BY created DESC, id DESC"
    ids = _limited(Invoice, "customer_id = %s", order, MOST_OF_CUSTOMER + 1, wanted, PAYABLE)
    return _grouped(ids, lambda row: row.customer)


def named(beginnings: Iterable[str]) -> list[tuple[str, str]]:
    """Customers whose names begin so (in small letters): their ids and names, at most MOST_OF_NAME of each."""
    wanted: set[tuple[str, ...]]
    if connection.vendor == "postgresql":
        condition, wanted = "name LIKE %s", {(_escaped(each) + "%",) for each in beginnings}
    else:  # which uses an index for LIKE in some settings only
        condition, wanted = "name >= %s AND name < %s", {(each, each + "\U0010ffff") for each in beginnings}
    ids = _limited(Customer, condition, "", MOST_OF_NAME, wanted)
    return [
        (id, name or "")
        for some in _portions(ids)
        for id, name in Customer.objects.filter(pk__among=some, deleted_at=None).values_list("id", "name")
    ]


def hindrances(invoices: Iterable[str], customers: Iterable[str]) -> Hindrances:
    under_way: set[str] = set()
    claimed: dict[str, int] = defaultdict(int)
    recorded: set[tuple[str, int]] = set()
    for some in _portions(invoices):
        under_way.update(
            Operation.objects.filter(invoice__among=some, state__in=NOT_OVER).values_list("invoice", flat=True)
        )
        confirmed = BankMatch.objects.filter(invoice__among=some, state=BankMatch.State.CONFIRMED)
        for invoice, amount in confirmed.values_list("invoice", "amount"):
            claimed[invoice] += amount
        paying: dict[str, str] = {}
        payments = InvoicePayment.objects.filter(invoice_id__among=some, deleted_at=None)
        payments = payments.filter(Q(status="paid", payment_type="payment_record") | Q(status="open"))
        for id, status, paid, intent in payments.values_list("invoice_id", "status", "amount_paid", "payment_intent"):
            if status == "paid":
                recorded.add((id or "", paid or 0))
            elif intent:
                paying[intent] = id or ""
        at_bank = PaymentIntent.objects.filter(pk__among=list(paying), status="processing") if paying else ()
        under_way.update(paying[intent.pk] for intent in at_bank)
    return Hindrances(frozenset(under_way), dict(claimed), frozenset(recorded), _by_hand(customers))


def _by_hand(customers: Iterable[str]) -> dict[str, list[ByHand]]:
    found = defaultdict(list)
    recorded = Operation.objects.filter(action=RECORDING, created_at__gt=clock.now() - REPEATED_RECORD)
    recorded = recorded.exclude(state__in=(State.FAILED, State.REFUSED, State.CANCELLED, State.EXPIRED))
    for some in _portions(each for each in customers if each):
        made = recorded.filter(customer__among=some)
        made = made.exclude(Exists(BankMatch.objects.filter(pk=OuterRef("pk"))))
        made = made.exclude(Exists(BankDecision.objects.filter(operation=OuterRef("pk"))))
        rows = list(made.values_list("customer", "invoice", "currency", "params"))
        numbers = dict(Invoice.objects.filter(pk__among=[row[1] for row in rows]).values_list("pk", "number"))
        for customer, invoice, currency, params in rows:
            with suppress(KeyError, TypeError, ValueError):  # an operation of an older version
                day = date.fromisoformat(params["received_on"])
                number = numbers.get(invoice) or invoice
                found[customer].append(ByHand(invoice, number, currency, int(params["amount"]), day))
    return dict(found)


# --- statements of many parts -----------------------------------------------------------------------------------------


def _limited(
    model: Any, condition: str, order: str, most: int, wanted: set[tuple[Any, ...]], statuses: Sequence[str] = ()
) -> list[str]:
    """The ids of at most so many rows for each tuple of values: one part of a UNION for each, and a hundred in one
    statement. The status stands in the text, so that the indexes with that condition are used."""
    table = model._meta.db_table
    parts = [
        f"SELECT id FROM (SELECT id FROM {table} WHERE {condition} {status} {order} LIMIT {most}) AS few"  # noqa: S608
        for status in [f"AND status = '{each}'" for each in statuses] or [""]
    ]
    ids: list[str] = []
    for part in parts:
        for some in _portions(sorted(wanted), PARTS_PER_STATEMENT):
            with connection.cursor() as cursor:
                cursor.execute(" UNION ALL ".join([part] * len(some)), [value for values in some for value in values])
                ids += [id for (id,) in cursor.fetchall()]
    return ids


def _grouped(ids: Iterable[str], group: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    found = defaultdict(list)
    for some in _portions(ids):
        for values in Invoice.objects.filter(pk__among=some, deleted_at=None).values_list(*FIELDS):
            row = _row(values)
            found[group(row)].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row.age)
    return found


def _row(values: Sequence[Any]) -> Row:
    id, number, currency, remaining, status, customer, name, email, *moments, subscription, method = values
    texts = (customer or "", name or "", email or "", *moments, subscription or "", method or "")
    return Row(id, number or "", currency or "", remaining or 0, status or "", *texts)


def _portions(values: Iterable[Any], size: int = VALUES_PER_STATEMENT) -> Iterator[list[Any]]:
    every = list(dict.fromkeys(values))
    for begin in range(0, len(every), size):
        yield every[begin : begin + size]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
