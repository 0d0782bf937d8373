"""What the theme shows around every page: the menu, and the label `Live`, `Test mode` or `Sandbox`."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import reports, second_factor, typed
from invoices.admin import find
from invoices.admin.operations import pauses

BANK_AND_MONTH = gettext_noop("Bank and month")
# The groups of the menu. Of each entry: title, icon, model.
MENU = (
    (
        "",
        (
            (gettext_noop("Invoices"), "receipt_long", "invoice"),
            (gettext_noop("Customers"), "group", "customer"),
            (gettext_noop("Operations"), "task_alt", "operation"),
            (gettext_noop("Batches"), "checklist", "batch"),
            (gettext_noop("Mentions"), "alternate_email", "mention"),
            (gettext_noop("Notes"), "edit_note", "note"),
            (gettext_noop("Promises"), "handshake", "promise"),
            (gettext_noop("My exports"), "download", "export"),
        ),
    ),
    (
        gettext_noop("Stripe's side"),
        (
            (gettext_noop("Payments"), "payments", "invoicepayment"),
            (gettext_noop("PaymentIntents"), "credit_card", "paymentintent"),
            (gettext_noop("Charges"), "point_of_sale", "charge"),
            (gettext_noop("Credit notes"), "request_quote", "creditnote"),
            (gettext_noop("Refunds"), "currency_exchange", "refund"),
            (gettext_noop("Events"), "bolt", "event"),
        ),
    ),
    (
        BANK_AND_MONTH,
        (
            (gettext_noop("Bank transactions"), "account_balance", "banktransaction"),
            (gettext_noop("Bank statements"), "table_view", "bankstatement"),
            (gettext_noop("Month’s end"), "calendar_month", "monthclose"),
        ),
    ),
    (
        gettext_noop("Health"),
        (
            (gettext_noop("Reconciliations"), "sync", "reconciliationrun"),
            (gettext_noop("Drift"), "difference", "drift"),
            (gettext_noop("Refetches"), "cached", "scheduledrefetch"),
            (gettext_noop("E-mails"), "mail", "email"),
            (gettext_noop("Pauses"), "front_hand", "pause"),
            (gettext_noop("API tokens"), "key", "apitoken"),
            (gettext_noop("Webhook endpoints"), "webhook", "webhookendpoint"),
            (gettext_noop("Sign-ins"), "passkey", "signinrecord"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, with the lists that this person may see."""
    groups: list[dict[str, Any]] = []
    for title, entries in MENU:
        items = [
            {"title": _(name), "icon": icon, "link": reverse(f"admin:invoices_{model}_changelist")}
            for name, icon, model in entries
            if request.user.has_perm(f"invoices.view_{model}")
        ]
        items += _beside(request, title)
        if items:
            groups.append({"title": _(title) if title else "", "separator": bool(groups), "items": items})
    groups[:1] = [{**group, "items": [_home(), *group["items"]]} for group in groups[:1]] or [{"items": [_home()]}]
    people = _people() if request.user.is_superuser else []
    if request.user.has_perm(second_factor.RESET_PERMISSION):
        people.append({"title": _("Second factors"), "icon": "lock", "link": reverse("admin:auth_user_second_factors")})
    if people:
        groups.append({"title": _("People"), "separator": True, "items": people})
    return groups


def _beside(request: HttpRequest, title: str) -> list[dict[str, Any]]:
    """The pages of a group of the menu that are no lists."""
    if title != BANK_AND_MONTH or not request.user.has_perm(reports.PERMISSION):
        return []
    return [{"title": _("Reports"), "icon": "bar_chart", "link": reverse("desk_reports")}]


def _home() -> dict[str, Any]:
    return {"title": _("Home"), "icon": "home", "link": reverse("admin:index")}


def _people() -> list[dict[str, Any]]:
    return [
        {"title": _("Users"), "icon": "person", "link": reverse("admin:auth_user_changelist")},
        {"title": _("Groups"), "icon": "groups", "link": reverse("admin:auth_group_changelist")},
    ]


def for_every_page(request: HttpRequest) -> dict[str, Any]:
    """What the theme gives to every page (settings.UNFOLD): the pauses in force, whether there is a search in the
    header, what was typed before the person was asked for her second factor or signed out, which desk.js puts back, and
    no colours. Its colours would be a `<style>` in the page, which our Content-Security-Policy forbids: they are in
    static/invoices/theme.css."""
    admitted = request.user.is_authenticated and second_factor.admits(request)
    return {
        **pauses.for_every_page(request),
        "may_find": admitted and find.may(request),
        "typed_text": typed.take(request) if admitted else {},
        "colors": {},
    }


def environment(request: HttpRequest) -> list[str]:
    """Text and colour of the label: Stripe in live mode, Stripe in test mode, or another host that stands in for
    Stripe."""
    if not settings.STRIPE_API_BASE.startswith("https://api.stripe.com"):
        return [_("Sandbox"), "info"]
    return [_("Live"), "danger"] if "_live_" in settings.STRIPE_SECRET_KEY else [_("Test mode"), "warning"]
