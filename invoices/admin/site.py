"""What surrounds every page: the menu, and the mark that says whether the money is real."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

# title, icon, model, in the groups of the menu
MENU = (
    (
        "",
        (
            ("Invoices", "receipt_long", "invoice"),
            ("Customers", "group", "customer"),
            ("Operations", "task_alt", "operation"),
            ("Batches", "checklist", "batch"),
        ),
    ),
    (
        "Stripe's side",
        (
            ("Payments", "payments", "invoicepayment"),
            ("PaymentIntents", "credit_card", "paymentintent"),
            ("Events", "bolt", "event"),
        ),
    ),
    (
        "Health",
        (
            ("Reconciliations", "sync", "reconciliationrun"),
            ("Drift", "difference", "drift"),
            ("Brake", "front_hand", "pause"),
            ("API tokens", "key", "apitoken"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, with what this person may see."""
    groups: list[dict[str, Any]] = []
    for title, entries in MENU:
        items = [
            {"title": name, "icon": icon, "link": reverse(f"admin:invoices_{model}_changelist")}
            for name, icon, model in entries
            if request.user.has_perm(f"invoices.view_{model}")
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    groups[:1] = [{**group, "items": [_home(), *group["items"]]} for group in groups[:1]] or [{"items": [_home()]}]
    if request.user.is_superuser:
        groups.append({"title": "People", "separator": True, "items": _people()})
    return groups


def _home() -> dict[str, Any]:
    return {"title": "Home", "icon": "home", "link": reverse("admin:index")}


def _people() -> list[dict[str, Any]]:
    return [
        {"title": "Users", "icon": "person", "link": reverse("admin:auth_user_changelist")},
        {"title": "Groups", "icon": "groups", "link": reverse("admin:auth_group_changelist")},
    ]


def environment(request: HttpRequest) -> list[str]:
    """Whose money it is: live, Stripe's test mode, or a stand-in on this machine."""
    if not settings.STRIPE_API_BASE.startswith("https://api.stripe.com"):
        return ["Sandbox", "info"]
    return ["Live", "danger"] if "_live_" in settings.STRIPE_SECRET_KEY else ["Test mode", "warning"]
