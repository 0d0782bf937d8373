"""The filters of the list of operations by people: who asked for it, and who decided about it.

Those are offered who did so, and nobody else: an account is not everybody's to know of.
"""

from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from invoices.admin.filters import ChoiceFilter, Choices
from invoices.models import Operation

MAX_PEOPLE = 500  # offered in both filters; of more, whoever the address names is offered too
PEOPLE = "people_of_filters"  # of a request: read once for both filters


class PersonFilter(ChoiceFilter):
    """A person, by the user name. `role` is the column of the operation in which the person stands."""

    role = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        given = request.GET.get(self.parameter_name, "").strip()
        found = people(request)[self.role]
        if given and given not in dict(found) and "\x00" not in given:
            person = User.objects.filter(username=given).first()
            if person and Operation.objects.filter(**{self.role: person}).exists():
                return [*found, _choice(person.username, person.first_name, person.last_name)]
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        # The person first: the index for what a person did, newest first, does not serve a join.
        return queryset.filter(**{f"{self.role}__in": list(User.objects.filter(username=self.value()))})


class AskedByFilter(PersonFilter):
    title, parameter_name, role = gettext_lazy("asked by"), "asked_by", "actor"


class DecidedByFilter(PersonFilter):
    """Who approved or declined it, or decided what came of it."""

    title, parameter_name, role = gettext_lazy("approved or decided by"), "decided_by", "approver"


_PEOPLE = """
WITH RECURSIVE actors(id) AS (
    SELECT min(actor_id) FROM invoices_operation
    UNION ALL
    SELECT (SELECT min(actor_id) FROM invoices_operation WHERE actor_id > actors.id)
    FROM actors WHERE actors.id IS NOT NULL
), approvers(id) AS (
    SELECT min(approver_id) FROM invoices_operation
    UNION ALL
    SELECT (SELECT min(approver_id) FROM invoices_operation WHERE approver_id > approvers.id)
    FROM approvers WHERE approvers.id IS NOT NULL
)
SELECT role, username, first_name, last_name
FROM (SELECT 'actor' AS role, id FROM actors UNION ALL SELECT 'approver', id FROM approvers) AS did
JOIN auth_user ON auth_user.id = did.id
ORDER BY username LIMIT %s"""


def people(request: HttpRequest) -> dict[str, Choices]:
    """The people and services that operations name, in each role, by name. Read once for a request, by one entry of an
    index for each person."""
    found: dict[str, Choices] | None = getattr(request, PEOPLE, None)
    if found is None:
        found = {"actor": [], "approver": []}
        with connection.cursor() as cursor:
            cursor.execute(_PEOPLE, [MAX_PEOPLE])
            for role, *name in cursor.fetchall():
                found[role].append(_choice(*name))
        setattr(request, PEOPLE, found)
    return found


def _choice(username: str, first_name: str, last_name: str) -> tuple[str, str]:
    return username, " · ".join(filter(None, [f"{first_name} {last_name}".strip(), username]))
