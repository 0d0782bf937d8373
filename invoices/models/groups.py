"""The three groups and what each may do; made after every migrate, so that a fresh database has them."""

from typing import Any

from django.apps import apps as installed

VIEW = [
    f"view_{model}"
    for model in (
        "invoice",
        "customer",
        "invoicepayment",
        "paymentintent",
        "operation",
        "event",
        "batch",
        "pause",
        "reconciliationrun",
        "drift",
    )
]
AGENT = [
    "pay_invoice",
    "attach_out_of_band_payment_invoice",
    "attach_payment_invoice",
    "void_invoice",
    "mark_uncollectible_invoice",
    "finalize_invoice",
    "send_invoice",
]
MANAGER = [
    "approve_operation",
    "override_operation",
    "brake_actions",
    "replay_event",
    "run_reconciliation",
    "add_apitoken",
    "view_apitoken",
    "delete_apitoken",
]
GROUPS = {"Support agent": VIEW + AGENT, "Billing manager": VIEW + AGENT + MANAGER, "Auditor": VIEW}


def create_groups(using: str = "default", **kwargs: Any) -> None:
    """Idempotent; a migration cannot do it, since on a fresh database the permissions come only after it."""
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    create_permissions(installed.get_app_config("invoices"), verbosity=0, using=using)
    permissions = Permission.objects.using(using).filter(content_type__app_label="invoices")
    for name, codenames in GROUPS.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(permissions.filter(codename__in=codenames))
