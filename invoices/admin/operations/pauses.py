"""Pauses: a manager stops one action, or every action, from being sent to Stripe. The reason is shown on every page."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoices import second_factor
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, moment
from invoices.models import Pause
from invoices.operations import ACTIONS, Refusal, pauses

MAX_PAUSES_SHOWN = 5  # above every page


class PauseForm(forms.Form):
    action = forms.ChoiceField(
        label="What is paused",
        required=False,
        choices=[("", "Every action"), *((action.name, action.label) for action in ACTIONS.values())],
        help_text="Nothing new of it is sent to Stripe. Reading, and settling what was sent, go on.",
    )
    reason = forms.CharField(
        label="Reason",
        help_text="Everyone who wants to act reads it.",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}),
        error_messages={"required": "Please say why: everyone who wants to act will read it."},
    )


@admin.register(Pause)
class PauseAdmin(RecordAdmin):
    list_display = ("what", "state_", "reason", "who", "since")
    list_select_related = ("paused_by",)
    ordering = ("-paused_at",)
    empty_hint = "Nothing was ever paused."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("invoices.pause_actions")

    @second_factor.fresh()
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET shows the form, POST pauses."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PauseForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                pauses.begin(form.cleaned_data["action"], form.cleaned_data["reason"], request.user)  # type: ignore[arg-type]
            except Refusal as refusal:
                form.add_error(None, refusal.message)
            else:
                messages.success(request, "Paused: nothing new of it is sent to Stripe.")
                return redirect(_list_url())
        return self.show(
            request, "admin/operations/pause_form.html", {"title": "Pause", "form": form, "back": _list_url()}
        )

    def extra_urls(self) -> list[Any]:
        return [self.at("<int:object_id>/resume/", self.resume_view, "resume")]

    @second_factor.fresh(lambda self, **kwargs: _list_url())
    def resume_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        pause = self.record(str(object_id))
        if pause is not None and pauses.end(pause.action, request.user):  # type: ignore[arg-type]
            messages.success(request, "Resumed.")
        return redirect(_list_url())

    def page_context(self, request: HttpRequest, record: Pause) -> dict[str, Any]:
        may = record.resumed_at is None and self.has_add_permission(request)
        resume = reverse("admin:invoices_pause_resume", args=[record.pk]) if may else ""
        title = f"{pauses.what(record)} paused: {record.reason}"
        return {**super().page_context(request, record), "title": title, "resume": resume}

    def facts(self, record: Pause) -> Facts:
        return [
            ("What", pauses.what(record)),
            ("Why", record.reason),
            ("By", record.paused_by or "the command line"),
            ("Since", moment(record.paused_at)),
            ("Resumed", moment(record.resumed_at, "not yet")),
            *([("Resumed by", record.resumed_by or "the command line")] if record.resumed_at else []),
        ]

    @admin.display(description="What")
    def what(self, pause: Pause) -> SafeString:
        return format_html('<span class="strong">{}</span>', pauses.what(pause))

    @admin.display(description="State")
    def state_(self, pause: Pause) -> SafeString:
        return badge("resumed", "grey") if pause.resumed_at else badge("paused", "amber")

    @admin.display(description="Who")
    def who(self, pause: Pause) -> str:
        return str(pause.paused_by or "the command line")

    @admin.display(description="Since")
    def since(self, pause: Pause) -> SafeString:
        return ago(pause.paused_at)


def _list_url() -> str:
    return reverse("admin:invoices_pause_changelist")


def for_every_page(request: HttpRequest) -> dict[str, Any]:
    """The pauses in force, shown by unfold/helpers/messages.html."""
    if not request.user.is_authenticated or not second_factor.admits(request):
        return {"pauses": []}  # the page on which a person proves her second factor says nothing of the desk
    return {"pauses": list(pauses.standing()[:MAX_PAUSES_SHOWN])}
