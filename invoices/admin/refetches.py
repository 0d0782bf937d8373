"""Scheduled refetches: what is to be read from Stripe, what fails, and trying again what was given up."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext
from django.views.decorators.http import require_POST

from invoices import recorded, scheduled_refetches, wakeups
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.filters import TabFilter
from invoices.admin.formatting import ago, badge, moment, words
from invoices.admin.formatting import number as figures
from invoices.admin.links import object_link
from invoices.models import MIRRORED, ScheduledRefetch

TRY_PERMISSION = "invoices.replay_event"  # the same people have failed events processed again
STATES = {
    "given_up": Q(given_up_at__isnull=False),
    "failing": Q(failing_since__isnull=False, given_up_at=None),
    "waiting": Q(failing_since=None),
}


class RefetchStateFilter(TabFilter):
    title, parameter_name = gettext_noop("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("given_up", _("Given up")), ("failing", _("Failing")), ("waiting", _("Waiting"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        state = self.value() or ""
        return queryset.filter(STATES[state]) if state in STATES else queryset


@admin.register(ScheduledRefetch)
class ScheduledRefetchAdmin(RecordAdmin):
    list_display = ("object_", "state_", "error_", "attempts_", "asked", "due")
    list_filter = (RefetchStateFilter,)
    ordering = ("-id",)
    search_fields = ("object_id",)
    search_help_text = gettext_lazy("The id of an object: in_…, cus_…, pi_…")
    empty_hint = gettext_noop("Nothing waits to be read from Stripe.")
    missing_hint = gettext_noop("It was read meanwhile: then there is nothing to show any more.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return (
            {"try_again": (_try_ticked, "try_again", _("Try again"))} if request.user.has_perm(TRY_PERMISSION) else {}
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        offers = request.user.has_perm(TRY_PERMISSION) and request.GET.get("state") == "given_up"
        return super().changelist_view(request, {**(extra_context or {}), "try_all": offers})

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("try-again/", self.try_all_view, "try_all")]

    @method_decorator(require_POST)
    def try_all_view(self, request: HttpRequest) -> HttpResponse:
        """Tries everything again that was given up."""
        if not request.user.has_perm(TRY_PERMISSION):
            raise PermissionDenied
        _say_how_many(request, scheduled_refetches.try_again())
        return redirect(reverse("admin:invoices_scheduledrefetch_changelist"))

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(object_type__in=list(MIRRORED), object_id=term)  # in the words of the unique index

    def facts(self, record: ScheduledRefetch) -> Facts:
        return [
            (_("Object"), object_link(record.object_type, record.object_id)),
            (_("State"), _state(record)),
            (_("Asked for"), moment(record.asked_at)),
            (_("Next attempt"), _("none") if record.given_up_at else moment(record.due_at)),
            (_("Failed attempts"), record.attempts or ""),
            (_("Failing since"), moment(record.failing_since)),
            (_("Given up"), moment(record.given_up_at)),
            (_("Last error"), recorded.shown(record.error) or "–"),
        ]

    @admin.display(description=gettext_lazy("Object"))
    def object_(self, record: ScheduledRefetch) -> SafeString:
        return format_html(
            '<span class="two"><span class="strong">{}</span><small>{}</small></span>',
            record.object_id,
            words(record.object_type),
        )

    @admin.display(description=gettext_lazy("Attempts"))
    def attempts_(self, record: ScheduledRefetch) -> int:
        return record.attempts

    @admin.display(description=gettext_lazy("State"))
    def state_(self, record: ScheduledRefetch) -> SafeString:
        return _state(record)

    @admin.display(description=gettext_lazy("Last error"))
    def error_(self, record: ScheduledRefetch) -> str:
        return Truncator(record.error).chars(120)

    @admin.display(description=gettext_lazy("Asked for"))
    def asked(self, record: ScheduledRefetch) -> SafeString:
        return ago(record.asked_at)

    @admin.display(description=gettext_lazy("Next attempt"))
    def due(self, record: ScheduledRefetch) -> SafeString | str:
        return "none" if record.given_up_at else moment(record.due_at)


def _state(record: ScheduledRefetch) -> SafeString:
    if record.given_up_at:
        return badge(gettext_noop("given up"), "red")
    return badge(gettext_noop("failing"), "amber") if record.failing_since else badge(gettext_noop("waiting"))


def _try_ticked(admin: ScheduledRefetchAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
    """Called by the list: tries those of the ticked ones again that were given up."""
    if not request.user.has_perm(TRY_PERMISSION):
        raise PermissionDenied
    ids = list(queryset.values_list("object_id", flat=True))  # the ticked ones
    _say_how_many(request, scheduled_refetches.try_again(ids) if ids else 0)  # without ids it would take every one
    return None


def _say_how_many(request: HttpRequest, number: int) -> None:
    if number:
        wakeups.wake("perform_refetches")
        messages.success(
            request,
            ngettext(
                "{count} object will be read from Stripe again.",
                "{count} objects will be read from Stripe again.",
                number,
            ).format(count=figures(number)),
        )
    else:
        messages.info(request, _("None of them was given up, so there is nothing to try again."))
