"""Filters of the list of invoices by who has them and by what was promised."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import assignments, clock, colleagues, promises
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.models import Assignment, Promise
from invoices.models.work import assigned, broken_promises, promised

MINE, NOBODYS = "mine", "nobody"
PEOPLE_OFFERED = 100


def assigned_to(rows: QuerySet, **person: Any) -> QuerySet:
    """Of these invoices those that this person has."""
    return rows.filter(pk__in=Assignment.objects.filter(ended_at=None, **person).values("invoice"))


def promised_today(rows: QuerySet, now: datetime) -> QuerySet:
    """Of these invoices those that were promised for today, in the reader's time zone."""
    standing = Promise.objects.filter(state=Promise.State.OPEN, ends_at__gt=now)
    return rows.filter(pk__in=standing.filter(day=timezone.localdate(now)).values("invoice"))


def broken(rows: QuerySet, now: datetime) -> QuerySet:
    """Of these invoices those that are to be paid yet although a promise was broken, and no other one stands."""
    return rows.filter(~promised(now), status="open", pk__in=broken_promises(now).values("invoice"))


class AssignedFilter(ChoiceFilter):
    """Mine, nobody's, or a colleague's: `@` and the name. For who may see assignments."""

    title, parameter_name = gettext_noop("who has it"), "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        if not request.user.has_perm(assignments.VIEW):
            return []
        people = colleagues.everyone()[:PEOPLE_OFFERED]
        names = [(f"@{each.username}", each.get_full_name() or each.username) for each in people]
        return [(MINE, _("Mine")), (NOBODYS, _("Nobody's")), *names]

    def has_output(self) -> bool:
        return bool(self.lookup_choices) or self.is_active

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        if value == NOBODYS:
            return queryset.filter(~assigned())
        if value == MINE:
            return assigned_to(queryset, person=request.user.pk)
        return assigned_to(queryset, person__username=value[1:])


class PromiseFilter(ChoiceFilter):
    """Promised and not yet due, due today, broken and still to be paid, or nothing promised now.

    For who may see promises."""

    title, parameter_name = gettext_noop("promise to pay"), "promise"
    STANDS, TODAY, BROKEN, NONE = "promised", "today", "broken", "none"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        if not request.user.has_perm(promises.VIEW):
            return []
        return [
            (self.STANDS, _("Promised")),
            (self.TODAY, _("Promised for today")),
            (self.BROKEN, _("Broken, still open")),
            (self.NONE, _("Nothing is promised")),
        ]

    def has_output(self) -> bool:
        return bool(self.lookup_choices) or self.is_active

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = clock.now()
        match self.value():
            case self.BROKEN:
                return broken(queryset, now)
            case self.TODAY:
                return promised_today(queryset, now)
            case self.STANDS:
                standing = Promise.objects.filter(state=Promise.State.OPEN, ends_at__gt=now)
                return queryset.filter(pk__in=standing.values("invoice"))
            case self.NONE:
                return queryset.filter(~promised(now))
        return queryset
