"""Stripe's events: the list, the page of one, and replaying those that failed or were ignored."""

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext
from django.views.decorators.http import require_POST

from invoices import recorded, sync, wakeups
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.events import wording
from invoices.admin.filters import Choices, EarlierFilter, TabFilter
from invoices.admin.formatting import ago, badge, masked_text, moment
from invoices.admin.formatting import number as figures
from invoices.admin.links import object_link, page_url
from invoices.journal import archives
from invoices.models import Event
from invoices.models.events import UNREADABLE_PREFIX

REPLAY_PERMISSION = "invoices.replay_event"
REPLAYABLE = (Event.State.FAILED, Event.State.IGNORED)  # an ignored one is judged again by the settings of today


class EventStateFilter(TabFilter):
    title, parameter_name = gettext_noop("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("pending", _("Pending")), ("failed", _("Failed")), ("done", _("Done")), ("ignored", _("Ignored"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(RecordAdmin):
    list_display = ("what", "object_", "state_", "created_", "received")
    list_filter = (EventStateFilter, EarlierFilter.on("received_at", gettext_noop("received before")))
    ordering = ("-received_at",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("evt_…, or the id of its object")
    empty_hint = gettext_noop("Search takes whole ids: evt_…, in_…, pi_…")
    page_template = "admin/events/page.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).defer("body")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {"replay": (_replay_ticked, "replay", _("Replay"))} if request.user.has_perm(REPLAY_PERMISSION) else {}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        state = request.GET.get("state", "")
        offered = state if state in REPLAYABLE and request.user.has_perm(REPLAY_PERMISSION) else ""
        return super().changelist_view(request, {**(extra_context or {}), "replay_all": offered})

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("replay/", self.replay_all_view, "replay_all"),
            self.at("<str:object_id>/replay/", self.replay_view, "replay"),
        ]

    @method_decorator(require_POST)
    def replay_all_view(self, request: HttpRequest) -> HttpResponse:
        """Replays every event that failed, and judges the ignored ones again."""
        if not request.user.has_perm(REPLAY_PERMISSION):
            raise PermissionDenied
        _say_how_many(request, _replay())
        return redirect(reverse("admin:invoices_event_changelist"))

    @method_decorator(require_POST)
    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Replays this event."""
        event = self.record(object_id) if request.user.has_perm(REPLAY_PERMISSION) else None
        if event is None:
            raise PermissionDenied
        _say_how_many(request, _replay([event.pk]))
        return redirect(page_url(event))

    def hint_for_missing(self, object_id: str) -> str:
        archive = archives.of_event(object_id)
        if archive is None:
            return self.missing_hint
        return _(
            "This event was processed, and left the database with those of {month}. It is in the archive {file}, which "
            "those who operate the desk keep."
        ).format(month=date_format(archive.month, "YEAR_MONTH_FORMAT"), file=archive.file)

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(object_id=term))

    def page_context(self, request: HttpRequest, record: Event) -> dict[str, Any]:
        failed, readable = record.state == Event.State.FAILED, not record.pk.startswith(UNREADABLE_PREFIX)
        return {
            **super().page_context(request, record),
            "title": wording.title(record.type) if record.type else _("A body that is no event"),
            "event": record,
            "readable": readable,
            "failed": failed,
            "may_replay": record.state in REPLAYABLE and readable and request.user.has_perm(REPLAY_PERMISSION),
            "body_text": "" if self.raw(record) is not None else masked_text(record.body),
        }

    def facts(self, record: Event) -> Facts:
        return [
            (_("Type"), record.type or "–"),
            (_("About"), object_link(record.object_type, record.object_id)),
            (_("State"), badge(record.state)),
            *(
                [(_("Because"), recorded.shown(record.error))]
                if record.error and record.state != Event.State.FAILED
                else []
            ),
            (_("Stripe's stamp"), moment(record.created)),
            (_("Received"), moment(record.received_at)),
            (_("In the mirror"), moment(record.processed_at)),
            (_("Attempts"), record.attempts or ""),
            (_("Came by"), record.get_source_display()),
            (_("Request"), record.request_id or _("Stripe itself")),
            (_("Its idempotency key"), record.idempotency_key or "–"),
            (_("API version"), record.api_version or "–"),
            (_("Id"), record.pk),
        ]

    def raw(self, record: Event) -> Any:
        """The event as an object; None if its body is no JSON object or list."""
        try:
            found = json.loads(record.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, (dict, list)) else None

    @admin.display(description=gettext_lazy("Event"))
    def what(self, event: Event) -> SafeString:
        return format_html(
            '<span class="two"><span class="strong">{}</span><small>{}</small></span>',
            wording.title(event.type) if event.type else _("A body that is no event"),
            event.type,
        )

    @admin.display(description=gettext_lazy("About"))
    def object_(self, event: Event) -> SafeString:
        return object_link(event.object_type, event.object_id)

    @admin.display(description=gettext_lazy("State"))
    def state_(self, event: Event) -> SafeString:
        if event.state != Event.State.FAILED or not event.error:
            return badge(event.state)
        return format_html(
            '<span class="two">{}<small>{}</small></span>',
            badge(event.state),
            Truncator(recorded.shown(event.error)).chars(90),
        )

    @admin.display(description=gettext_lazy("Stripe's stamp"))
    def created_(self, event: Event) -> SafeString:
        return moment(event.created)

    @admin.display(description=gettext_lazy("Received"))
    def received(self, event: Event) -> SafeString:
        return ago(event.received_at)


def _replay_ticked(admin: EventAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
    """Called by the list: replays those of the ticked events that failed, and judges the ignored ones again."""
    if not request.user.has_perm(REPLAY_PERMISSION):
        raise PermissionDenied
    _say_how_many(request, _replay(request.POST.getlist("_selected_action")))
    return None


def _replay(ids: list[str] | None = None) -> int:
    """Puts these events back into the queue, or all that can be (None), and returns how many it did."""
    number = 0 if ids == [] else sync.replay(ids or ())
    if number:
        wakeups.wake("process_events")
    return number


def _say_how_many(request: HttpRequest, number: int) -> None:
    if number:
        words = ngettext("{count} event back in the queue.", "{count} events back in the queue.", number)
        messages.success(request, words.format(count=figures(number)))
    else:
        messages.info(
            request,
            _(
                "There is nothing to replay: none of them failed and can be read, or is welcome by the settings of "
                "today."
            ),
        )
