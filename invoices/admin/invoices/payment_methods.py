"""What an open form asks Stripe for: the customer's saved payment methods, and the payment that is to be attached.

The page does not wait for the answers, and works without them.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import gateway, money, recorded
from invoices.admin import access
from invoices.admin.base import RecordAdmin
from invoices.admin.formatting import words
from invoices.admin.invoices import wording
from invoices.admin.payments import wording as payment_wording
from invoices.models import Customer, Invoice
from invoices.operations import ACTIONS, Action, eligibility, payment_lookups
from invoices.operations.payment_method import PaymentMethodFacts

METHOD = "payment_method"  # the parameter
NONE = "-"  # in the place of the choice: nothing is chosen, because everything saved was declined
OTHER = "other"  # the choice `Another one, by its id`; the id is in a field of its own
NO_ID = gettext_noop("Give the id of the payment method, or choose another.")
ID_PATTERN = re.compile(r"\w{6,255}", re.ASCII)
PAY, ATTACH_PAYMENT = ACTIONS["pay"], ACTIONS["attach_payment"]
KEPT_SECONDS = 86_400  # in the cache: what Stripe said of a payment method


def options(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """GET, by the open form of the action that `action` names: the saved payment methods to choose from, or a plain
    field if Stripe does not answer."""
    action = ACTIONS.get(request.GET.get("action", ""), PAY)
    invoice = admin.record(object_id) if admin.has_view_permission(request) else None
    if invoice is None or not access.may(request, action):
        raise PermissionDenied
    context = {"invoice": invoice, "wanted": request.GET.get("payment_method", ""), "methods": None, "note": ""}
    context["required"] = must_choose(action)
    if not invoice.customer_id:
        context["note"] = _("This invoice has no customer, so there is nothing saved to choose from.")
    else:
        try:
            other = request.GET.get("payment_method_other", "")
            context |= _choices(action, invoice, context["wanted"], other, access.may_override(request))
        except gateway.GatewayError:
            context["note"] = _(
                "Stripe does not answer just now, so the saved payment methods cannot be listed. Leave this empty for "
                "the default, or give an id (pm_…)."
            )
            if context["required"]:
                context["note"] = _(
                    "Stripe does not answer just now, so the saved payment methods cannot be listed. Give an id (pm_…)."
                )
    # The page shows again what will happen: another payment method may be chosen now than when it was opened.
    headers = {"HX-Trigger-After-Settle": "payment-methods-shown"}
    return TemplateResponse(request, "admin/invoices/parts/payment_methods.html", context, headers=headers)


def must_choose(action: Action) -> bool:
    """Whether the action takes no default: Stripe then asks for the id of a payment method."""
    return any(parameter.name == METHOD and parameter.required for parameter in action.parameters)


@dataclass
class Choice:
    """A saved payment method. `until`: it was declined, and is not charged again before (None: it can be)."""

    value: str  # of the form's field; empty: the default, where the action takes it
    is_default: bool
    words: str
    until: datetime | None
    is_disabled: bool


def _choices(action: Action, invoice: Invoice, wanted: str, other: str, may_override: bool) -> dict[str, Any]:
    saved = payment_lookups.payment_methods(str(invoice.customer_id))
    cache.set_many({_cache_key(method.id): asdict(method) for method in saved}, KEPT_SECONDS)
    default = eligibility.method_in_mirror(invoice, {}).id
    of_default = default if must_choose(action) else ""  # the value that stands for it
    known = {method.id: in_words(method) for method in saved}
    if wanted and wanted != OTHER and wanted not in known:
        wanted, other = OTHER, wanted
    declines = eligibility.circumstances_of([invoice])
    facts = {method.id: method for method in saved}

    def choice(method: PaymentMethodFacts, *, is_default: bool = False) -> Choice:
        value = of_default if is_default else method.id
        refusal = eligibility.cooldown_refusal(action, invoice, {METHOD: value} if value else {}, declines, method)
        until = refusal.until if refusal else None
        return Choice(value, is_default, in_words(method), until, until is not None and not may_override)

    choices = [choice(method) for method in saved if method.id != default]
    customer = Customer.objects.filter(pk=invoice.customer_id).first()
    has_default = default or not eligibility.lacks_default(invoice, customer)
    if default or (has_default and not must_choose(action)):
        choices.insert(0, choice(facts.get(default, PaymentMethodFacts(default)), is_default=True))
    wanted = of_default if wanted in ("", default) else wanted
    if wanted == "" and not has_default:
        wanted = NONE
    free = [each.value for each in choices if each.until is None]
    asked_for = next((each for each in choices if each.value == wanted), None)
    if asked_for and asked_for.until and not (wanted and may_override):
        # What was declined is not chosen for anybody; a person with the permission can choose it herself.
        wanted = free[0] if free else NONE
    return {
        "default_known": known.get(default, default),
        "methods": choices,
        "has_default": has_default,
        "knows_any": bool(saved or default),
        "wanted": wanted,
        "other": other,
    }


def chosen(method: str, other: str) -> str:
    """The id that was chosen or, for the choice `other`, typed."""
    return (other if method == OTHER else method).strip()


def facts_of(method: PaymentMethodFacts) -> PaymentMethodFacts:
    """The same payment method, with its card if that is in the cache. Stripe is not asked."""
    found = cache.get(_cache_key(method.id)) if ID_PATTERN.fullmatch(method.id) else None
    return PaymentMethodFacts(**found) if found else method


def name_of(method: str) -> str:
    """`Visa •••• 4242, expires 8/2030` if it is in the cache, else the id."""
    return in_words(facts_of(PaymentMethodFacts(method))) or method


def name_of_default(action: Action, invoice: Invoice, params: dict[str, Any]) -> str:
    """`Visa •••• 4242, expires 8/2030`: what is charged where nothing is chosen; empty where that is not known. What a
    subscription's default is, the mirror does not know."""
    takes_default = any(each.name == METHOD and not each.required for each in action.parameters)
    if not takes_default or params.get("source") or not action.charges(params) or invoice.subscription:
        return ""
    return in_words(facts_of(eligibility.method_in_mirror(invoice, {})))


def in_words(method: PaymentMethodFacts) -> str:
    """`Visa •••• 4242, expires 8/2030`, in the reader's language."""
    if not method.expires:
        return method.name
    return _("{card}, expires {month}").format(card=method.name, month=method.expires)


def _cache_key(method: str) -> str:
    return f"saved_payment_method:{method}"


# --- a payment to attach --------------------------------------------------------------------------------------------


@dataclass
class Attachable:
    """The payment that is to be attached, as Stripe has it, with remarks (colour, sentence) on whether it fits the
    invoice."""

    payment: payment_lookups.AttachablePayment | None = None  # None: it could not be looked at
    facts: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


def attachable(invoice: Invoice, params: dict[str, Any]) -> Attachable | None:
    """Reads the payment that the form names from Stripe. None while the form names none, or two."""
    given = [params.get(name, "") for name in ("payment_intent", "payment_record")]
    ids = [pk for pk in given if pk]
    if len(ids) != 1 or not ID_PATTERN.fullmatch(ids[0]):
        return None
    try:
        found = payment_lookups.attachable(params)
    except (gateway.Missing, gateway.RefusedByStripe) as error:
        return Attachable(remarks=[("red", recorded.shown(error.message))])
    except gateway.GatewayError:
        return Attachable(remarks=[("grey", _("Stripe does not answer just now. It is looked at when you confirm."))])
    return Attachable(
        found,
        [
            (_("Amount"), money.text(found.amount, found.currency)),
            (
                _("Status"),
                words(payment_wording.PAYMENT_INTENT_STATUS.get(found.status or "", found.status or "–")).capitalize(),
            ),
            (_("Customer"), _customer_of(invoice, found.customer)),
        ],
        list(_remarks(invoice, params, found)),
    )


def _customer_of(invoice: Invoice, customer: str | None) -> str:
    if not customer:
        return _("Not said")
    return wording.customer(invoice) if customer == invoice.customer_id else customer


def _remarks(
    invoice: Invoice, params: dict[str, Any], found: payment_lookups.AttachablePayment
) -> Iterator[tuple[str, str]]:
    amount, remaining, currency = found.amount, invoice.amount_remaining, found.currency
    if refusal := ATTACH_PAYMENT.payment_refusal(invoice, params, found):
        yield "red", recorded.shown(refusal.message)
    elif amount is not None and remaining is not None and amount > remaining:
        more, left = money.text(amount - remaining, currency), money.text(remaining, currency)
        said = _("{more} more than the {left} that remains: Stripe credits it to the customer's balance.")
        yield "amber", said.format(more=more, left=left)
    elif amount is not None and remaining is not None and amount < remaining:
        yield "grey", _("{amount} is then still to pay.").format(amount=money.text(remaining - amount, currency))
    if found.status == "canceled":
        yield "red", _("It was withdrawn, and will never succeed.")
    elif found.status != "succeeded":
        yield "violet", _("It has not succeeded yet: attached now, credited when it has.")
