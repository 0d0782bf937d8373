"""Who may do what, and whom to ask who may; and where a request came from, for the journal."""

import re
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.http import HttpRequest

from invoices.models.reading import address
from invoices.operations import ACTIONS, Spec


def allowed(request: HttpRequest) -> list[Spec]:
    """The actions that this person may take, on some invoice."""
    return [spec for spec in ACTIONS.values() if may(request, spec)]


def may(request: HttpRequest, spec: Spec) -> bool:
    return request.user.has_perm("invoices.view_invoice") and request.user.has_perm(spec.permission)


def may_override(request: HttpRequest) -> bool:
    """Whether this person may charge again within the hour."""
    return request.user.has_perm("invoices.override_operation")


REQUEST_ID = "invoice_desk.admin_request_id"  # in request.META
SANE = re.compile(r"[A-Za-z0-9._:/+=-]{8,128}", re.ASCII)


def origin(request: HttpRequest) -> dict[str, Any]:
    """Where a request came from: its address, and the id by which the logs know it."""
    return {"address": address(request.META.get("REMOTE_ADDR")), "request_id": request_id(request)}


def request_id(request: HttpRequest) -> str:
    """The id that the proxy before us gave, if it is sane, else one of our own; the same for the whole request."""
    if REQUEST_ID not in request.META:
        given = request.headers.get("X-Request-ID", "")
        request.META[REQUEST_ID] = given if SANE.fullmatch(given) else f"req_{secrets.token_hex(12)}"
    return request.META[REQUEST_ID]


def holders(permission: str) -> tuple[list[str], list[str]]:
    """The groups, and a few people, who may do what `permission` (`invoices.void_invoice`) says."""
    _, codename = permission.split(".")
    granted = Permission.objects.filter(content_type__app_label="invoices", codename=codename)
    groups = Group.objects.filter(permissions__in=granted).distinct()
    people = get_user_model().objects.filter(
        Q(groups__in=groups) | Q(user_permissions__in=granted) | Q(is_superuser=True), is_active=True, is_staff=True
    )
    names = [person.get_full_name() or person.get_username() for person in people.distinct().order_by("username")[:5]]
    return [group.name for group in groups.order_by("name")], names
