"""Filters of the list of invoices by who has them and by what was promised."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from invoices import assignments, clock, colleagues, promises
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.models import Assignment, Promise
from invoices.models.work import assigned, broken_promises, promised

MINE, NOBODYS = "mine", "nobody"
PEOPLE_OFFERED = 100


class AssignedFilter(ChoiceFilter):
    """Mine, nobody's, or a colleague's: `@` and the name. For who may see assignments."""

    title, parameter_name = "who has it", "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        if not request.user.has_perm(assignments.VIEW):
            return []
        people = colleagues.everyone()[:PEOPLE_OFFERED]
        names = [(f"@{each.username}", each.get_full_name() or each.username) for each in people]
        return [(MINE, "Mine"), (NOBODYS, "Nobody's"), *names]

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        if value == NOBODYS:
            return queryset.filter(~assigned())
        current = Assignment.objects.filter(ended_at=None)
        own = current.filter(person=request.user.pk) if value == MINE else current.filter(person__username=value[1:])
        return queryset.filter(pk__in=own.values("invoice"))


class PromiseFilter(ChoiceFilter):
    """Promised and not yet due, due today, or broken and still to be paid. For who may see promises."""

    title, parameter_name = "promise to pay", "promise"
    STANDS, TODAY, BROKEN = "promised", "today", "broken"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        if not request.user.has_perm(promises.VIEW):
            return []
        return [(self.STANDS, "Promised"), (self.TODAY, "Promised for today"), (self.BROKEN, "Broken, still open")]

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value, now = self.value(), clock.now()
        if not value:
            return queryset
        if value == self.BROKEN:
            return queryset.filter(~promised(now), status="open", pk__in=broken_promises(now).values("invoice"))
        standing = Promise.objects.filter(state=Promise.State.OPEN, ends_at__gt=now)
        if value == self.TODAY:
            standing = standing.filter(day=timezone.localdate(now))
        return queryset.filter(pk__in=standing.values("invoice"))
