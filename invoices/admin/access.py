"""Which actions a person may take, and whom to ask for the others."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.http import HttpRequest

from invoices.models import Operation
from invoices.operations import ACTIONS, Action, eligibility

MAX_PEOPLE_NAMED = 5  # when a page says whom to ask


def allowed(request: HttpRequest) -> list[Action]:
    """The actions that this person has the permission for, whatever the invoice."""
    return [action for action in ACTIONS.values() if may(request, action)]


def may(request: HttpRequest, action: Action) -> bool:
    return request.user.has_perm("invoices.view_invoice") and request.user.has_perm(action.permission)


def may_see(request: HttpRequest, operation: Operation | None) -> bool:
    """Whether this person may know of an operation on a page that is not the journal's: of any, or of her own."""
    if operation is None:
        return False
    return request.user.has_perm("invoices.view_operation") or operation.actor_id == request.user.pk


def may_override(request: HttpRequest) -> bool:
    """Whether this person may charge a payment method again within the decline cooldown."""
    return eligibility.may_override(request.user)


def holders(permission: str) -> tuple[list[str], list[str]]:
    """The names of the groups, and of a few people, that have a permission such as `invoices.void_invoice`."""
    _, codename = permission.split(".")
    granted = Permission.objects.filter(content_type__app_label="invoices", codename=codename)
    groups = Group.objects.filter(permissions__in=granted).distinct()
    people = get_user_model().objects.filter(
        Q(groups__in=groups) | Q(user_permissions__in=granted) | Q(is_superuser=True), is_active=True, is_staff=True
    )
    names = [
        person.get_full_name() or person.get_username()
        for person in people.distinct().order_by("username")[:MAX_PEOPLE_NAMED]
    ]
    return [group.name for group in groups.order_by("name")], names
