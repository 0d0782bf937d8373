"""Whose name stands in the journal when a command acts."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError


def person(username: str | None) -> User | None:
    """The active user of this name; None when none is named. Raises CommandError where there is no such user."""
    if not username:
        return None
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user “{username}”.")
    return user
