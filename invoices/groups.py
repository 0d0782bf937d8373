"""The permissions of the actions, and the groups with what each may do; made after every migrate.

No group has `invoices.add_service_token`: at first only superusers make tokens for service users. Whoever holds it
counts as the one who asks for everything that a service user asks for (`invoices/operations/requesters.py`), so a
billing manager who is given it can no longer approve what the services ask for.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.models import Group, Permission, User

from invoices import sign_ins
from invoices.operations import ACTIONS
from invoices.operations.requesters import SERVICE_GROUP

# All of the mirror and the journal. Nothing is changed with these. API tokens are for managers (MANAGE), and the
# journal of people, which has the addresses of colleagues, is for managers and auditors.
VIEW = [
    f"view_{model}"
    for model in (
        "invoice",
        "customer",
        "invoicepayment",
        "paymentintent",
        "charge",
        "creditnote",
        "refund",
        "operation",
        "event",
        "batch",
        "note",
        "mention",
        "promise",
        "assignment",
        "pause",
        "reconciliationrun",
        "drift",
        "scheduledrefetch",
        "export",  # one's own files; each needs the permissions of what it shows too
    )
]
# What has people's addresses and, at one place, everything about a customer. Looking at the latter is recorded.
OVERSEE = ["view_email", "view_signinrecord", "view_disclosure", "disclose_customer", "view_webhookendpoint"]
SEE_REPORTS = ["view_reports"]  # each needs the permissions of what it shows too
# Bank statements have accounts and names of people who are no customers, so support agents do not see them.
SEE_STATEMENTS = ["view_bankstatement", "view_banktransaction", "view_monthclose"]
MATCH_STATEMENTS = ["add_bankstatement", "match_banktransaction", "close_month", "explain_drift"]
ACT = [action.codename for action in ACTIONS.values()]
WRITE = [
    *("add_note", "change_note"),  # each note is edited by its author alone
    *("add_promise", "change_promise", "add_assignment", "change_assignment"),
]
MANAGE = [
    "approve_operation",
    "override_operation",
    "pause_actions",
    "share_savedview",
    "replay_event",
    "run_reconciliation",
    "add_apitoken",
    "view_apitoken",
    "delete_apitoken",
    "reset_second_factor",
    "add_webhookendpoint",
    "change_webhookendpoint",
    "delete_webhookendpoint",
]
GROUPS = {
    "Support agent": VIEW + ACT + WRITE,
    "Billing manager": VIEW + OVERSEE + ACT + WRITE + MANAGE + SEE_REPORTS + SEE_STATEMENTS + MATCH_STATEMENTS,
    # Records payments, up to the thresholds alone. It charges no card: `pay` has both under one permission.
    "Finance": VIEW
    + WRITE
    + SEE_REPORTS
    + SEE_STATEMENTS
    + MATCH_STATEMENTS
    + ["attach_out_of_band_payment_invoice", "run_reconciliation"],
    "Auditor": VIEW + OVERSEE + SEE_REPORTS + SEE_STATEMENTS,
    SERVICE_GROUP: VIEW + ACT + WRITE,
}


def create_groups(using: str = "default", apps: Any = None, **kwargs: Any) -> None:
    """Makes the actions' permissions and the groups. Can run any number of times.

    A group is filled when it is made. Later only permissions that are new are given to it, so that it keeps what an
    administrator gave or took. New is what was never given before (GivenPermission). A migration cannot give the
    permissions: on a fresh database Django makes them only after all migrations have run.
    """
    if apps is not None and "givenpermission" not in apps.all_models["invoices"]:
        return  # migrated back to an older version, whose own code gives the permissions
    from django.contrib.auth.management import create_permissions
    from django.contrib.contenttypes.models import ContentType

    from invoices.models import GivenPermission, Invoice

    permissions = Permission.objects.using(using).filter(content_type__app_label="invoices")
    given = set(GivenPermission.objects.using(using).values_list("codename", flat=True))
    create_permissions(installed.get_app_config("invoices"), verbosity=0, using=using)
    of_invoices = ContentType.objects.db_manager(using).get_for_model(Invoice)
    for action in ACTIONS.values():
        Permission.objects.using(using).get_or_create(
            content_type=of_invoices, codename=action.codename, defaults={"name": f"Can {action.may}"}
        )
    for name, codenames in GROUPS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=name)
        wanted = codenames if is_new else set(codenames) - given
        with sign_ins.not_recorded():
            group.permissions.add(*permissions.filter(codename__in=wanted))
    new = set(permissions.values_list("codename", flat=True)) - given
    GivenPermission.objects.using(using).bulk_create([GivenPermission(codename=codename) for codename in new])


def let_in(action: str, instance: Any, reverse: bool, pk_set: set[int], **kwargs: Any) -> None:
    """Gives staff status, without which nobody can sign in, to whoever is put into a group of people of the desk's own.
    For the signal that a user's groups changed: in the admin, by single sign-on or by a command.

    It is taken from nobody: a person without a group may sign in, and sees nothing.
    """
    if action != "post_add":
        return
    groups = Group.objects.filter(pk=instance.pk) if reverse else Group.objects.filter(pk__in=pk_set)
    if groups.filter(name__in=GROUPS.keys() - {SERVICE_GROUP}).exists():
        users = User.objects.filter(pk__in=pk_set) if reverse else [instance]
        for user in users:
            if not user.is_staff:
                user.is_staff = True
                user.save(update_fields=["is_staff"])
