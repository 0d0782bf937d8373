"""Who acts when a command acts: the user whose permissions count, and who ran it. Both stand in the journal."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from invoices.operations.requesters import is_service_user
from invoices.request_origin import shell_user

__all__ = ["active_user", "only_superuser", "shell_user"]


def active_user(username: str | None) -> User | None:
    """The active person of this name; None when no name is given. Raises CommandError when there is no such person."""
    if not username:
        return None
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user “{username}”.")
    if is_service_user(user):
        raise CommandError(f"“{username}” is a service user: it acts through API tokens alone. Name a person.")
    return user


def only_superuser() -> User:
    """The one active superuser. Raises CommandError when there is none, or more than one."""
    users = list(User.objects.filter(is_superuser=True, is_active=True)[:2])
    if len(users) != 1:
        raise CommandError("Say whose permissions to use: --as USER.")
    return users[0]
