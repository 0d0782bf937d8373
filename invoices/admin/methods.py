"""What an open form asks Stripe for: the customer's saved payment methods, and the payment that is to be attached. The
page itself never waits for it, and works without."""

import re
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from invoices import gateway, money
from invoices.admin import access, wording
from invoices.admin.base import RecordAdmin
from invoices.models import Customer, Invoice
from invoices.operations import ACTIONS, choices

OTHER = "other"  # the choice that stands for an id in a field of its own
AN_ID = re.compile(r"\w{6,255}", re.ASCII)
PAY = ACTIONS["pay"]
A_DAY = 86_400


def methods(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """GET, by the open form: the saved payment methods to choose from; a plain field where Stripe does not answer."""
    invoice = admin.record(object_id) if admin.has_view_permission(request) else None
    if invoice is None or not access.may(request, PAY):
        raise PermissionDenied
    context = {"invoice": invoice, "wanted": request.GET.get("payment_method", ""), "methods": None, "note": ""}
    if not invoice.customer_id:
        context["note"] = "This invoice has no customer, so there is nothing saved to choose from."
    else:
        try:
            context |= _choices(invoice, context["wanted"], request.GET.get("payment_method_other", ""))
        except gateway.GatewayError:
            context["note"] = (
                "Stripe does not answer just now, so the saved payment methods cannot be listed. Leave this empty for "
                "the default, or give an id (pm_…)."
            )
    return TemplateResponse(request, "admin/invoices/parts/methods.html", context)


def _choices(invoice: Invoice, wanted: str, other: str) -> dict[str, Any]:
    saved = choices.payment_methods(str(invoice.customer_id))
    cache.set_many({_key(method.id): method.words for method in saved}, A_DAY)
    default = default_of(invoice)
    known = {method.id: method.words for method in saved}
    if wanted and wanted != OTHER and wanted not in known:
        wanted, other = OTHER, wanted
    return {
        "methods": [(method.id, method.words) for method in saved if method.id != default],
        "default": known.get(default, default),
        "wanted": "" if wanted == default else wanted,
        "other": other,
    }


def default_of(invoice: Invoice) -> str:
    """What Stripe charges when nothing is chosen, as far as we know: the invoice's own, else the customer's."""
    data = invoice.data or {}
    own = data.get("default_payment_method") or data.get("default_source")
    if isinstance(own, str) and own:
        return own
    customer = Customer.objects.filter(pk=invoice.customer_id).first() if invoice.customer_id else None
    return (customer.default_payment_method if customer else "") or ""


def chosen(method: str, other: str) -> str:
    """The id that was chosen, or typed."""
    return (other if method == OTHER else method).strip()


def words_of(method: str) -> str:
    """`Visa •••• 4242, expires 8/2030` where Stripe has said so lately, else the id."""
    return str(cache.get(_key(method), method)) if AN_ID.fullmatch(method) else method


def _key(method: str) -> str:
    return f"payment_method:{method}"


# --- a payment to attach --------------------------------------------------------------------------------------------


@dataclass
class Attachable:
    """The payment as Stripe has it, beside what remains of the invoice."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)  # tone, sentence


def attachable(invoice: Invoice, params: dict[str, Any]) -> Attachable | None:
    """A look at the payment that the form names; None while it names none."""
    given = [params.get(name, "") for name in ("payment_intent", "payment_record")]
    ids = [pk for pk in given if pk]
    if len(ids) != 1 or not AN_ID.fullmatch(ids[0]):
        return None
    try:
        found = choices.attachable(params)
    except (gateway.Missing, gateway.RefusedByStripe) as error:
        return Attachable(remarks=[("red", error.message)])
    except gateway.GatewayError:
        return Attachable(remarks=[("grey", "Stripe does not answer just now. It is looked at when you confirm.")])
    return Attachable(
        [
            ("Amount", money.text(found["amount"], found["currency"])),
            ("Status", wording.INTENT.get(found["status"] or "", found["status"] or "–").capitalize()),
            ("Customer", _whose(invoice, found["customer"])),
        ],
        list(_remarks(invoice, found)),
    )


def _whose(invoice: Invoice, customer: str | None) -> str:
    if not customer:
        return "Not said"
    return wording.customer(invoice) if customer == invoice.customer_id else customer


def _remarks(invoice: Invoice, found: dict[str, Any]) -> Any:
    amount, remaining, currency = found["amount"], invoice.amount_remaining, found["currency"]
    if currency and currency != invoice.currency:
        yield "red", f"The invoice is in {str(invoice.currency).upper()}: this will be refused."
    elif amount is not None and remaining is not None and amount > remaining:
        more, left = money.text(amount - remaining, currency), money.text(remaining, currency)
        yield "amber", f"{more} more than the {left} that remains: Stripe credits it to the customer's balance."
    elif amount is not None and remaining is not None and amount < remaining:
        yield "grey", f"{money.text(remaining - amount, currency)} is then still to pay."
    if found["customer"] and found["customer"] != invoice.customer_id:
        yield "red", "It is a payment of another customer: this will be refused."
    if found["status"] == "canceled":
        yield "red", "It was withdrawn, and will never succeed."
    elif found["status"] != "succeeded":
        yield "violet", "It has not succeeded yet: attached now, credited when it has."
