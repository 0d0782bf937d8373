"""The filters of the list of operations by people: who asked for it, and who decided about it."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from invoices.admin.filters import ChoiceFilter, Choices

MAX_PEOPLE = 500  # offered; of more, whoever the address names is offered too
PEOPLE = "people_of_filters"  # of a request: read once for both filters


class PersonFilter(ChoiceFilter):
    """A person, by the user name. `role` is the column of the operation in which the person stands."""

    role = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        given = request.GET.get(self.parameter_name, "").strip()
        found = people(request)
        if given and given not in dict(found) and "\x00" not in given:
            found = [*found, *_choices(User.objects.filter(username=given))]
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        # The person first: the index for what a person did, newest first, does not serve a join.
        return queryset.filter(**{f"{self.role}__in": list(User.objects.filter(username=self.value()))})


class AskedByFilter(PersonFilter):
    title, parameter_name, role = "asked by", "asked_by", "actor"


class DecidedByFilter(PersonFilter):
    """Who approved or declined it, or decided what came of it."""

    title, parameter_name, role = "approved or decided by", "decided_by", "approver"


def people(request: HttpRequest) -> Choices:
    """The people and services with an account, by name. Read once for a request."""
    found: Choices | None = getattr(request, PEOPLE, None)
    if found is None:
        found = _choices(User.objects.order_by("username")[:MAX_PEOPLE])
        setattr(request, PEOPLE, found)
    return found


def _choices(users: QuerySet[User]) -> Choices:
    named = users.only("username", "first_name", "last_name")
    return [(user.username, " · ".join(filter(None, [user.get_full_name(), user.username]))) for user in named]
