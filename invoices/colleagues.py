"""Who can be mentioned in a note, or be given an invoice: active people of the staff who may see what it is about."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

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
    return each_called([name]).get(name)


def each_called(names: Iterable[str]) -> dict[str, User]:
    """Of many names those that a colleague has, each with whom `called` finds; by one query."""
    clean = {name: unicodedata.normalize("NFKC", name.strip().removeprefix("@").strip()) for name in names}
    asked = {name for name in clean.values() if name and len(name) <= 150 and "\0" not in name}
    if not asked:
        return {}
    small = [Lower(Value(name)) for name in sorted(asked)]
    people: dict[str, list[User]] = defaultdict(list)
    for person in everyone().alias(small=Lower("username")).filter(small__in=small):
        people[person.username.lower()].append(person)
    found = {}
    for given, name in clean.items():
        so_called = people.get(name.lower(), []) if name in asked else []
        exact = [person for person in so_called if person.username == name]
        if exact or len(so_called) == 1:
            found[given] = (exact or so_called)[0]
    return found
