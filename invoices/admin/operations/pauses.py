"""Pauses: a manager stops one action, or every action, from being sent to Stripe. The reason is shown on every page."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import clock, recorded, second_factor
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, moment
from invoices.admin.invoices.forms import ReasonForm
from invoices.models import Pause
from invoices.operations import ACTIONS, Refusal, pauses
from invoices.thresholds import PAUSE_AT_MOST

MAX_PAUSES_SHOWN = 5  # above every page


REASONS = (
    gettext_noop("Stripe or a bank has an outage"),
    gettext_noop("Something goes wrong with money, and is being looked at"),
    gettext_noop("The books are being closed"),
    gettext_noop("An audit"),
)
BY_HAND, AT_A_TIME = "", "at"
DURATIONS = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1), "7d": PAUSE_AT_MOST}


class PauseForm(ReasonForm):
    """What is paused, until when, and why."""

    reasons = REASONS
    why = gettext_noop("Please say why: everyone who wants to act will read it.")

    action = forms.ChoiceField(
        label=gettext_lazy("What is paused"),
        required=False,
        choices=[
            ("", gettext_lazy("Every action")),
            *((each.name, gettext_lazy(each.label)) for each in ACTIONS.values()),
        ],
        help_text=gettext_lazy(
            "Nothing new of it is sent to Stripe. Reading, and settling what was sent, go on. With Pay, charges of a "
            "part are paused, too."
        ),
    )
    until = forms.ChoiceField(
        label=gettext_lazy("Until when"),
        required=False,
        choices=[
            (BY_HAND, gettext_lazy("Until somebody resumes it")),
            ("1h", gettext_lazy("For one hour")),
            ("4h", gettext_lazy("For four hours")),
            ("1d", gettext_lazy("For a day")),
            ("7d", gettext_lazy("For seven days")),
            (AT_A_TIME, gettext_lazy("Until the time below")),
        ],
    )
    ends_at = forms.DateTimeField(
        label=gettext_lazy("Time"),
        required=False,
        help_text=gettext_lazy("In your time zone, at most seven days from now. Then the pause ends by itself."),
        widget=forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
        error_messages={"invalid": gettext_lazy("Give a day and a time, such as 2027-03-01 14:00.")},
    )
    field_order = ("action", "until", "ends_at")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("action", "until"):  # the first choice is one as good as the others
            self.fields[name].has_default = True  # type: ignore[attr-defined]
        self.fields["reason"].help_text = _("Everyone who wants to act reads it, with your name.")
        self.fields["reason"].widget.attrs["placeholder"] = ""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        until, at = cleaned.get("until", BY_HAND), cleaned.get("ends_at")
        if until in DURATIONS and at is not None:
            self.add_error("ends_at", _("Give a time, or choose for how long: not both."))
        elif until == AT_A_TIME and at is None and "ends_at" not in self.errors:
            self.add_error("ends_at", _("Give the time at which the pause ends."))
        elif until in DURATIONS:
            cleaned["ends_at"] = clock.now() + DURATIONS[until]
        return cleaned

    def settings(self) -> list[forms.BoundField]:
        """The fields before the reason."""
        return [self[name] for name in self.field_order]


@admin.register(Pause)
class PauseAdmin(RecordAdmin):
    list_display = ("what", "state_", "why", "who", "since", "until")
    list_select_related = ("paused_by",)
    ordering = ("-paused_at",)
    empty_hint = gettext_noop("Nothing was ever paused.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("invoices.pause_actions")

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """With the button that ends a pause, for who may."""
        return [*super().get_list_display(request), *(["resume_"] if self.has_add_permission(request) else [])]

    @second_factor.fresh()
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET shows the form, POST pauses."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PauseForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                given = form.cleaned_data
                pauses.begin(given["action"], given["reason"], request.user, given.get("ends_at"))  # type: ignore[arg-type]
            except Refusal as refusal:
                form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
            else:
                messages.success(request, _("Paused: nothing new of it is sent to Stripe."))
                return redirect(_list_url())
        return self.show(
            request, "admin/operations/pause_form.html", {"title": _("Pause"), "form": form, "back": _list_url()}
        )

    def extra_urls(self) -> list[Any]:
        return [self.at("<int:object_id>/resume/", self.resume_view, "resume")]

    @second_factor.fresh(lambda self, **kwargs: _list_url())
    def resume_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        pause = self.record(str(object_id))
        if pause is not None and pauses.end(pause.action, request.user):  # type: ignore[arg-type]
            messages.success(request, _("Resumed."))
        return redirect(_list_url())

    def page_context(self, request: HttpRequest, record: Pause) -> dict[str, Any]:
        resume = _resume_url(record) if _stands(record) and self.has_add_permission(request) else ""
        title = _("{action} paused: {reason}").format(action=pauses.what(record), reason=recorded.shown(record.reason))
        return {**super().page_context(request, record), "title": title, "resume": resume}

    def facts(self, record: Pause) -> Facts:
        return [
            (_("What"), pauses.what(record)),
            (_("Why"), recorded.shown(record.reason)),
            (_("By"), recorded.shown(pauses.by_whom(record))),
            (_("Since"), moment(record.paused_at)),
            (_("Until"), moment(record.ends_at, _("somebody resumes it"))),
            *_end(record),
        ]

    @admin.display(description=gettext_lazy("What"))
    def what(self, pause: Pause) -> SafeString:
        return format_html('<span class="strong">{}</span>', pauses.what(pause))

    @admin.display(description=gettext_lazy("State"))
    def state_(self, pause: Pause) -> SafeString:
        if _stands(pause):
            return badge(gettext_noop("paused"), "amber")
        return badge(gettext_noop("ended") if pauses.ended_by_itself(pause) else gettext_noop("resumed"), "grey")

    @admin.display(description=gettext_lazy("Who"))
    def who(self, pause: Pause) -> str:
        return recorded.shown(pauses.by_whom(pause))

    @admin.display(description=gettext_lazy("Reason"))
    def why(self, pause: Pause) -> str:
        return recorded.shown(pause.reason)

    @admin.display(description=gettext_lazy("Since"))
    def since(self, pause: Pause) -> SafeString:
        return ago(pause.paused_at)

    @admin.display(description=gettext_lazy("Until"))
    def until(self, pause: Pause) -> SafeString:
        ended = pause.resumed_at or pause.ends_at
        return moment(ended, _("somebody resumes it"))

    @admin.display(description=gettext_lazy("Resume"))
    def resume_(self, pause: Pause) -> SafeString:
        """A button of the form around the list, which has the token that every POST needs."""
        if not _stands(pause):
            return SafeString("")
        label = _("Resume: {action}").format(action=pauses.what(pause))
        return format_html(
            '<button class="button small" formaction="{}" aria-label="{}">{}</button>',
            _resume_url(pause),
            label,
            _("Resume"),
        )


def _stands(pause: Pause) -> bool:
    return pause.resumed_at is None and not pauses.ended_by_itself(pause)


def _end(pause: Pause) -> Facts:
    """How it ended, if it has."""
    if _stands(pause):
        return []
    if pauses.ended_by_itself(pause):
        return [(_("Ended"), _("by itself"))]
    return [
        (_("Resumed"), moment(pause.resumed_at)),
        (_("Resumed by"), str(pause.resumed_by or _("the command line"))),
    ]


def _resume_url(pause: Pause) -> str:
    return reverse("admin:invoices_pause_resume", args=[pause.pk])


def _list_url() -> str:
    return reverse("admin:invoices_pause_changelist")


def for_every_page(request: HttpRequest) -> dict[str, Any]:
    """The pauses in force, shown by unfold/helpers/messages.html."""
    if not request.user.is_authenticated or not second_factor.admits(request):
        return {"pauses": []}  # the page on which a person proves her second factor says nothing of the desk
    return {"pauses": list(pauses.standing()[:MAX_PAUSES_SHOWN])}
