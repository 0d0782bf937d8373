"""Whether a second person must agree: by the amount, and by what it adds up to.

One person is enough for an amount up to the currency's threshold, as long as it does not pay more than remains, as long
as what was done to the same invoice without a second person stays below the threshold together with it, and as long as
the person stays within the allowance of 24 hours. The page, the bulk preview and the request ask this of the mirror, so
that people hear it early. The gate asks it again of what Stripe has, immediately before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from invoices import clock, money
from invoices.models import Invoice, Operation
from invoices.operations.action import Action, Params
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.requesters import decision_refusal, is_service_user

ALLOWANCE_PERIOD = timedelta(hours=24)

State = Operation.State
# What took effect at Stripe, or may yet do so.
COUNTED = (State.READY, State.RUNNING, State.UNKNOWN, State.PROCESSING, State.SUCCEEDED)


@dataclass(frozen=True)
class Need:
    """A second person must agree."""

    amount: int  # minor units: what she agrees to
    why: str  # a sentence


def threshold(currency: str | None) -> int:
    """The amount (minor units) above which a second person decides: APPROVAL_THRESHOLDS, in major units there."""
    return _of_currency(settings.APPROVAL_THRESHOLDS, currency)


def allowance(currency: str | None) -> int:
    """What a person may do in ALLOWANCE_PERIOD without a second one (minor units): APPROVAL_DAILY_ALLOWANCES."""
    return _of_currency(settings.APPROVAL_DAILY_ALLOWANCES, currency)


def _of_currency(amounts: Mapping[str, Decimal], currency: str | None) -> int:
    code = (currency or "usd").lower()
    return int(Decimal(str(amounts.get(code, amounts["default"]))).scaleb(money.exponent(code)))


def need(
    action: Action,
    invoice: Invoice,
    params: Params,
    *,
    actor: Any,
    payment: AttachablePayment | None = None,
    operation: Operation | None = None,
) -> Need | None:
    """Why this waits for a second person; None where one is enough.

    `payment` is what Stripe says of the payment that is to be attached: what `Action.look_up` found. `operation` is the
    one that asks: it does not count beside itself.
    """
    amount = action.approval_amount(invoice, params, payment)
    if amount is None:
        return None
    currency = invoice.currency
    if amount > (invoice.amount_remaining or 0):
        remains = money.text(invoice.amount_remaining or 0, currency)
        return Need(amount, _("It is more than remains to pay ({amount}).").format(amount=remains))
    most = threshold(currency)
    if amount > most:
        return Need(amount, _("More than {amount}.").format(amount=money.text(most, currency)))
    before = total(_unapproved(operation).filter(invoice=invoice.pk))
    if before + amount > most:
        return Need(
            amount,
            _("{amount} was done to this invoice without a second person; with it, this is more than {most}.").format(
                amount=money.text(before, currency), most=money.text(most, currency)
            ),
        )
    return _need_by_allowance(actor, currency, amount, operation) or _need_of_another_word(operation, amount)


def _need_of_another_word(operation: Operation | None, amount: int) -> Need | None:
    """A second person had to agree to it, for example to a batch as a whole, and her word no longer counts."""
    approver = operation.approver if operation else None
    if operation is None or approver is None or _may_still_decide(operation, approver):
        return None
    return Need(amount, _("{person} agreed to it, and may no longer decide on it.").format(person=approver))


def need_of_batch(action: Action, asked: Iterable[tuple[Invoice, Params]], *, actor: Any) -> Need | None:
    """The same for a batch, which is one request over its sum in each currency. `asked`: each invoice with the
    parameters for it; an invoice may come more than once. The answer names the largest sum that needs it."""
    sums: dict[str, int] = {}
    ids: dict[str, dict[str, None]] = {}
    for invoice, params in asked:
        amount = action.approval_amount(invoice, params, None)
        if amount is not None:
            currency = invoice.currency or ""
            sums[currency] = sums.get(currency, 0) + amount
            ids.setdefault(currency, {})[invoice.pk] = None
    for currency, amount in sorted(sums.items(), key=lambda item: -item[1]):
        most = threshold(currency)
        before = sum(total(_unapproved().filter(invoice__in=chunk)) for chunk in _chunks(list(ids[currency])))
        if before + amount > most:
            why = _("Together they are {amount}, more than {most}.")
            return Need(amount, why.format(amount=money.text(amount, currency), most=money.text(most, currency)))
        if found := _need_by_allowance(actor, currency, amount, None):
            return found
    return None


def _chunks(ids: list[str], size: int = 500) -> Iterable[list[str]]:
    return (ids[begin : begin + size] for begin in range(0, len(ids), size))


def _need_by_allowance(actor: Any, currency: str | None, amount: int, operation: Operation | None) -> Need | None:
    """What this person did in the last 24 hours without a second one adds up. A service user is not a person: what its
    program may do is bounded by the thresholds, and by the permissions of its token."""
    if is_service_user(actor):
        return None
    since = clock.now() - ALLOWANCE_PERIOD
    before = total(_unapproved(operation).filter(actor=actor, currency=currency or "", created_at__gt=since))
    most = allowance(currency)
    if before + amount <= most:
        return None
    why = _("{person} did {amount} within 24 hours without a second person; with it, this is more than {most}.")
    before_and_most = {"amount": money.text(before, currency), "most": money.text(most, currency)}
    return Need(amount, why.format(person=actor, **before_and_most))


def _unapproved(except_for: Operation | None = None) -> QuerySet[Operation]:
    """What was done, or may yet be done, with one person's word alone."""
    found = Operation.objects.filter(approver=None, approval_amount__isnull=False, state__in=COUNTED)
    return found.exclude(pk=except_for.pk) if except_for else found


def total(operations: QuerySet[Operation]) -> int:
    """The sum of their amounts, in minor units. They must be of one currency."""
    return operations.aggregate(sum=Sum("approval_amount"))["sum"] or 0


def covers(operation: Operation, amount: int) -> bool:
    """Whether a second person has agreed to this amount (minor units), and still may."""
    approver, agreed = operation.approver, operation.approval_amount
    if approver is None or agreed is None or amount > agreed:
        return False
    return _may_still_decide(operation, approver)


def _may_still_decide(operation: Operation, approver: Any) -> bool:
    return decision_refusal(operation, approver, operation.decision_token) is None


def waits_because(need: Need) -> str:
    """What the journal says of a request that waits."""
    return " ".join([_("It waits for a second person."), need.why])


def waiting(invoice: str) -> QuerySet[Operation]:
    """The requests on this invoice that wait for a decision."""
    return Operation.objects.filter(invoice=invoice, state=Operation.State.AWAITING_APPROVAL)
