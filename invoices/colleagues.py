"""Who can be mentioned in a note, or be given an invoice: active people of the staff who may see what it is about."""

from __future__ import annotations

import unicodedata

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

MAY_READ = ("invoices.view_invoice", "invoices.view_note")


def everyone() -> QuerySet[User]:
    """All of them, by name. Service users are not among them: they cannot sign in."""
    people = User.objects.filter(is_active=True, is_staff=True).order_by("username")
    for permission in MAY_READ:
        people = people.filter(pk__in=User.objects.with_perm(permission, include_superusers=True).values("pk"))
    return people


def beginning_with(typed: str, most: int) -> list[User]:
    """Those whose name, first name or last name begins so; the first ones."""
    typed = typed.replace("\0", "")[:150]
    begins = (
        Q(username__istartswith=typed) | Q(first_name__istartswith=typed) | Q(last_name__istartswith=typed)
        if typed
        else Q()
    )
    return list(everyone().filter(begins)[:most])


def called(name: str) -> User | None:
    """The colleague with this name, whatever its case; None if nobody or more than one is called so.

    A name that is written exactly so comes first."""
    name = unicodedata.normalize("NFKC", name.strip().removeprefix("@").strip())
    if not name or len(name) > 150 or "\0" in name:
        return None
    found = list(everyone().filter(username__iexact=name)[:10])
    exact = [person for person in found if person.username == name]
    return exact[0] if exact else found[0] if len(found) == 1 else None
