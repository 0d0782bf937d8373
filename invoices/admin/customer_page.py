"""What the page of a customer shows: what they owe, their cards as Stripe has them now, and what belongs to them.

A customer may have thousands of invoices: each part reads a bounded number of rows, and says where there are more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from invoices import gateway, money, thresholds
from invoices.admin import access
from invoices.admin.formatting import distance, number
from invoices.admin.invoices import wording
from invoices.admin.payments import wording as payment_wording
from invoices.keyset import newest_of_few
from invoices.models import Charge, Customer, Invoice, InvoicePayment, Note, Operation
from invoices.models.batch_items import sums_of
from invoices.models.reading import is_id
from invoices.operations import ACTIONS, payment_lookups
from invoices.operations.bulk_preview import BULK_ACTIONS
from invoices.operations.payment_method import PaymentMethodFacts
from invoices.search.time_limit import TakesTooLong, time_limit

PAY = ACTIONS["pay"]
MAX_OPEN = 2_000  # open invoices that are summed; of more, the newest
OPEN_SHOWN = 50  # of them, those that are due the longest
SHOWN = 25  # invoices, payments and operations, the newest of each
NOTES_SHOWN = 10
NOTED_INVOICES = 500  # the newest, whose notes and payments outside Stripe are shown
MAX_COUNTED = 1_000  # of more rows a link says `1,000+`


class OpenInvoice(NamedTuple):
    """What is read of each open invoice."""

    pk: str
    currency: str | None
    remaining: int | None  # minor units
    due: datetime | None


@dataclass
class Owed:
    """What the customer owes in one currency."""

    currency: str
    amount: int  # minor units
    count: int
    overdue: int  # minor units
    overdue_count: int
    oldest: datetime | None  # when the oldest overdue invoice was due

    @property
    def text(self) -> str:
        return money.text(self.amount, self.currency)

    @property
    def overdue_text(self) -> str:
        return money.text(self.overdue, self.currency)

    @property
    def age(self) -> str:
        """For how long the oldest is overdue: `12 days`."""
        return distance((timezone.now() - self.oldest).total_seconds()) if self.oldest else ""


class Shown(NamedTuple):
    """The newest rows, and how many there are: `312`, or `1,000+`."""

    rows: list[Any]
    total: str


class CustomerPage:
    """What one person may see of one customer."""

    def __init__(self, customer: Customer, request: HttpRequest) -> None:
        self.customer, self.request = customer, request

    def _may(self, permission: str) -> bool:
        return self.request.user.has_perm(f"invoices.{permission}")

    @cached_property
    def sees_invoices(self) -> bool:
        return self._may("view_invoice")

    # --- what they owe ----------------------------------------------------------------------------------------------

    @cached_property
    def _open(self) -> list[OpenInvoice] | None:
        """The newest open invoices, one more than are summed. None where there are too many invoices to find them in
        time."""
        if not self.sees_invoices:
            return []
        rows = Invoice.objects.filter(customer_id=self.customer.pk, status="open").order_by("-created", "-pk")
        values = rows.values_list("pk", "currency", "amount_remaining", "due_date")
        try:
            with time_limit(thresholds.FIND_LOOK_UP):
                return [OpenInvoice(*row) for row in values[: MAX_OPEN + 1]]
        except TakesTooLong:
            return None

    @property
    def is_not_summed(self) -> bool:
        return self._open is None

    @property
    def is_more(self) -> bool:
        """Whether there are more open invoices than are summed."""
        return len(self._open or ()) > MAX_OPEN

    @cached_property
    def owed(self) -> list[Owed]:
        """By currency, in their alphabetical order."""
        found = (self._open or [])[:MAX_OPEN]
        return [
            _owed(currency, [row for row in found if row.currency == currency])
            for currency in sorted({row.currency for row in found if row.currency})
        ]

    @cached_property
    def open_invoices(self) -> list[tuple[Invoice, str, tuple[str, str]]]:
        """Those that are due the longest: the row, its number and its status. Without a due date they come last."""
        found = sorted((self._open or [])[:MAX_OPEN], key=lambda row: (row.due is None, row.due, row.pk))[:OPEN_SHOWN]
        rows = Invoice.objects.defer("data").in_bulk([row.pk for row in found])
        return _named(rows[row.pk] for row in found if row.pk in rows)

    @property
    def open_not_shown(self) -> int:
        return max(len(self._open or ()) - OPEN_SHOWN, 0)

    @property
    def may_pay(self) -> bool:
        """Whether this person may charge what she ticks. Stripe deleted the cards together with the customer."""
        return PAY.name in BULK_ACTIONS and access.may(self.request, PAY) and self.customer.deleted_at is None

    # --- what belongs to them ---------------------------------------------------------------------------------------

    @cached_property
    def invoices(self) -> Shown | None:
        if not self.sees_invoices:
            return None
        of_customer = Invoice.objects.filter(customer_id=self.customer.pk).defer("data")
        return Shown(_named(of_customer.order_by("-created", "-pk")[:SHOWN]), _counted(of_customer))

    @cached_property
    def _newest_ids(self) -> list[str]:
        """The ids of the newest invoices, by which is found what names no customer itself."""
        of_customer = Invoice.objects.filter(customer_id=self.customer.pk)
        return list(of_customer.order_by("-created", "-pk").values_list("pk", flat=True)[:NOTED_INVOICES])

    @cached_property
    def charges(self) -> Shown | None:
        """Every attempt to take money through Stripe."""
        if not self._may("view_charge"):
            return None
        of_customer = Charge.objects.filter(customer=self.customer.pk)
        rows = [
            (charge, payment_wording.charged_to(charge.data), _failure(charge))
            for charge in of_customer.order_by("-created", "-pk")[:SHOWN]
        ]
        return Shown(rows, _counted(of_customer))

    @cached_property
    def paid_outside(self) -> list[tuple[InvoicePayment, str]]:
        """Payments of the newest invoices that came outside Stripe, each with the invoice's number."""
        if not (self.sees_invoices and self._may("view_invoicepayment")):
            return []
        found = InvoicePayment.objects.filter(invoice_id__in=self._newest_ids, payment_type="payment_record")
        rows = sorted(found.defer("data")[:MAX_COUNTED], key=lambda row: row.created or timezone.now(), reverse=True)
        shown = rows[:SHOWN]
        numbers = dict(Invoice.objects.filter(pk__in=[row.invoice_id for row in shown]).values_list("pk", "number"))
        return [(row, numbers.get(row.invoice_id or "") or row.invoice_id or "") for row in shown]

    @cached_property
    def operations(self) -> Shown | None:
        if not self._may("view_operation"):
            return None
        of_customer = Operation.objects.filter(customer=self.customer.pk)
        newest = of_customer.select_related("actor", "token").order_by("-created_at", "-pk")[:SHOWN]
        numbers = dict(
            Invoice.objects.filter(pk__in=[operation.invoice for operation in newest]).values_list("pk", "number")
        )
        rows = [(operation, numbers.get(operation.invoice) or operation.invoice) for operation in newest]
        return Shown(rows, _counted(of_customer))

    @cached_property
    def notes(self) -> list[tuple[Note, str]] | None:
        """The newest notes on the newest invoices, each with the invoice's number."""
        if not (self.sees_invoices and self._may("view_note")):
            return None
        found = Note.objects.filter(invoice__in=self._newest_ids).select_related("author").prefetch_related("versions")
        newest = list(newest_of_few(found, "created_at")[:NOTES_SHOWN])
        numbers = dict(Invoice.objects.filter(pk__in=[note.invoice for note in newest]).values_list("pk", "number"))
        return [(note, numbers.get(note.invoice) or note.invoice) for note in newest]


def _owed(currency: str, rows: list[OpenInvoice]) -> Owed:
    now = timezone.now()
    overdue = [row for row in rows if row.due is not None and row.due < now]
    return Owed(
        currency,
        sum(row.remaining or 0 for row in rows),
        len(rows),
        sum(row.remaining or 0 for row in overdue),
        len(overdue),
        min((row.due for row in overdue if row.due), default=None),
    )


def _named(rows: Iterable[Invoice]) -> list[tuple[Invoice, str, tuple[str, str]]]:
    return [(invoice, wording.number(invoice), wording.status(invoice)) for invoice in rows]


def _counted(rows: QuerySet[Any]) -> str:
    found = rows.order_by().values("pk")[: MAX_COUNTED + 1].count()
    return f"{number(MAX_COUNTED)}+" if found > MAX_COUNTED else number(found)


def _failure(charge: Charge) -> str:
    return payment_wording.charge_failure(charge.data) if charge.status == "failed" else ""


# --- what the open page asks for --------------------------------------------------------------------------------------


@dataclass
class Card:
    """A saved payment method as Stripe has it now."""

    method: PaymentMethodFacts
    is_default: bool
    is_expired: bool


def cards(request: HttpRequest, customer: Customer | None) -> HttpResponse:
    """GET, by the open page: the saved payment methods, or the sentence that Stripe does not answer."""
    if customer is None or not request.user.has_perm("invoices.view_customer"):
        raise PermissionDenied
    context: dict[str, Any] = {"customer": customer, "cards": [], "problem": ""}
    try:
        saved = payment_lookups.payment_methods(customer.pk)
    except gateway.Missing:
        context["problem"] = _("Stripe does not have this customer any more, and so no saved cards.")
    except gateway.GatewayError:
        context["problem"] = _(
            "Stripe does not answer just now, so the saved cards cannot be shown. Load the page again."
        )
    else:
        default = customer.default_payment_method
        context["cards"] = [Card(method, method.id == default, _is_expired(method)) for method in saved]
    return TemplateResponse(request, "admin/customers/cards.html", context)


def _is_expired(method: PaymentMethodFacts) -> bool:
    """A card is good until the end of its month."""
    month, _, year = method.expires.partition("/")
    today = timezone.localdate()
    return bool(method.expires) and (int(year), int(month)) < (today.year, today.month)


def chosen(request: HttpRequest, customer: Customer | None) -> HttpResponse:
    """GET, by the open page: how many of the open invoices are ticked, and their sum in each currency."""
    if customer is None or not request.user.has_perm("invoices.view_invoice"):
        raise PermissionDenied
    ids = [pk for pk in request.GET.getlist("_selected_action")[:MAX_OPEN] if is_id(pk)]
    ticked = Invoice.objects.filter(customer_id=customer.pk, status="open", pk__in=ids)
    found = list(ticked.only("currency", "amount_remaining"))
    amounts = [money.text(amount, currency) for currency, amount in sums_of(found).items() if currency]
    return TemplateResponse(request, "admin/customers/chosen.html", {"count": len(found), "amounts": amounts})
