"""Endpoints of the company's services: made with a secret that is shown once, changed, switched off and on; what was
sent to each, and sending it again."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from invoices import clock, recorded, second_factor
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import badge, moment
from invoices.admin.links import page_url
from invoices.fanout import endpoints
from invoices.fanout.desk_events import TYPES
from invoices.fanout.endpoints import Actor, EndpointInvalid
from invoices.models import Delivery, WebhookEndpoint
from invoices.thresholds import SECRET_OVERLAP

MAX_DELIVERIES_SHOWN = 50  # of an endpoint, the newest
MAX_ATTEMPTS_SHOWN = 100  # of a delivery
MAX_RECORDS_SHOWN = 100
STATES = Delivery.State.values


class EndpointForm(forms.Form):
    url = forms.CharField(
        label="URL",
        max_length=2000,
        help_text=gettext_lazy(
            "https://…, a public address; others only if WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS names their network."
        ),
    )
    enabled_events = forms.CharField(
        label=gettext_lazy("Types of events"),
        initial="*",
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=format_lazy(
            gettext_lazy("One in each line, such as invoice.paid or {type}; * for all."), type=TYPES[-1]
        ),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=endpoints.MAX_DESCRIPTION,
        required=False,
        help_text=gettext_lazy("Which service it is, and who looks after it."),
    )

    def given(self) -> dict[str, Any]:
        types = [line.strip() for line in self.cleaned_data["enabled_events"].splitlines()]
        return {**self.cleaned_data, "enabled_events": [each for each in types if each]}


class SecretForm(forms.Form):
    overlap_hours = forms.IntegerField(
        label=gettext_lazy("The old one signs too for hours"),
        min_value=0,
        max_value=int(endpoints.LONGEST_OVERLAP.total_seconds() // 3600),
        initial=int(SECRET_OVERLAP.total_seconds() // 3600),
        help_text=gettext_lazy(
            "So that the service can take the new one meanwhile. 0: the old one is known to others."
        ),
    )


class SinceForm(forms.Form):
    since = forms.DateTimeField(
        label=gettext_lazy("Everything that arrived since"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
        help_text=gettext_lazy("Also what the service has taken already: it knows each event by its id."),
    )


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(RecordAdmin):
    list_display = ("url_", "state_", "takes", "owner", "created")
    list_select_related = ("owner",)
    ordering = ("-created_at",)
    show_add_link = True
    page_template = "admin/webhook_endpoints/page.html"
    empty_hint = gettext_noop("Events are sent to no service.")
    missing_hint = gettext_noop("It was deleted.")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).filter(deleted_at=None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(endpoints.ADD)

    def may_change(self, request: HttpRequest) -> bool:
        return request.user.has_perm(endpoints.CHANGE)

    def record(self, object_id: str) -> Any:
        return endpoints.present().filter(pk=object_id).select_related("owner").first()

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<str:object_id>/edit/", self.edit_view, "edit"),
            self.at("<str:object_id>/secret/", self.secret_view, "secret"),
            self.at("<str:object_id>/switch/", self.switch_view, "switch"),
            self.at("<str:object_id>/remove/", self.remove_view, "remove"),
            self.at("<str:object_id>/test/", self.test_view, "test"),
            self.at("<str:object_id>/redeliver/", self.redeliver_view, "redeliver"),
            self.at("<str:object_id>/deliveries/<int:delivery>/", self.delivery_view, "delivery"),
        ]

    # --- forms ---

    @second_factor.fresh()
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET shows the form, POST makes it. Its secret is in this one response only."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = EndpointForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoint, secret = endpoints.create(
                    **form.given(),
                    owner=request.user,  # type: ignore[arg-type]
                    actor=Actor.of_request(request),
                )
            except EndpointInvalid as refused:
                form.add_error(refused.parameter, refused.message)
            else:
                return self._secret(request, endpoint, secret)
        return self._form(request, _("New endpoint"), form, _("Make the endpoint"), _list_url())

    @second_factor.fresh()
    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._to_change(request, object_id)
        if endpoint is None:
            return self.missing(request, object_id)
        held = {
            "url": endpoint.url,
            "enabled_events": "\n".join(endpoint.enabled_events),
            "description": endpoint.description,
        }
        form = EndpointForm(request.POST if request.method == "POST" else None, initial=held)
        if request.method == "POST" and form.is_valid():
            try:
                endpoints.change(endpoint, Actor.of_request(request), **form.given())
            except EndpointInvalid as refused:
                form.add_error(refused.parameter if refused.parameter in form.fields else None, refused.message)
            else:
                messages.success(request, _("Changed."))
                return redirect(page_url(endpoint))
        return self._form(request, _("Change the endpoint"), form, _("Change"), page_url(endpoint))

    @second_factor.fresh()
    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._to_change(request, object_id)
        if endpoint is None:
            return self.missing(request, object_id)
        form = SecretForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
            try:
                secret = endpoints.replace_secret(endpoint, Actor.of_request(request), overlap)
            except EndpointInvalid as refused:
                form.add_error(None, refused.message)
            else:
                return self._secret(request, endpoint, secret)
        return self._form(request, _("Replace the secret"), form, _("Replace it"), page_url(endpoint))

    @second_factor.fresh()
    def redeliver_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._to_change(request, object_id)
        if endpoint is None:
            return self.missing(request, object_id)
        form = SinceForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoints.redeliver_since(endpoint, form.cleaned_data["since"], Actor.of_request(request))
            except EndpointInvalid as refused:
                form.add_error(refused.parameter if refused.parameter in form.fields else None, refused.message)
            else:
                messages.success(request, _("A worker sends it now."))
                return redirect(page_url(endpoint))
        return self._form(request, _("Send again"), form, _("Send again"), page_url(endpoint))

    def _to_change(self, request: HttpRequest, object_id: str) -> WebhookEndpoint | None:
        if not self.may_change(request):
            raise PermissionDenied
        return self.record(object_id)

    def _form(self, request: HttpRequest, title: str, form: forms.Form, button: str, back: str) -> HttpResponse:
        context = {"title": title, "form": form, "button": button, "back": back}
        return self.show(request, "admin/webhook_endpoints/form.html", context)

    def _secret(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str) -> HttpResponse:
        context = {"title": _("Signing secret"), "endpoint": endpoint, "secret": secret, "back": page_url(endpoint)}
        response = self.show(request, "admin/webhook_endpoints/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- buttons ---

    @second_factor.fresh(lambda self, object_id: _page_url(object_id))
    def switch_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Disables it, or enables it."""
        return self._do(request, object_id, endpoints.CHANGE, _switch)

    @second_factor.fresh(lambda self, object_id: _page_url(object_id))
    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, endpoints.CHANGE, _test)

    @second_factor.fresh(lambda self, object_id: _page_url(object_id))
    def remove_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, endpoints.DELETE, _remove)

    def _do(self, request: HttpRequest, object_id: str, permission: str, deed: Any) -> HttpResponse:
        if request.method != "POST" or not request.user.has_perm(permission):
            raise PermissionDenied
        endpoint = self.record(object_id)
        if endpoint is None:
            return self.missing(request, object_id)
        try:
            messages.success(request, deed(endpoint, Actor.of_request(request)))
        except EndpointInvalid as refused:
            messages.error(request, refused.message)
        return redirect(page_url(endpoint) if endpoints.present().filter(pk=object_id).exists() else _list_url())

    def delivery_view(self, request: HttpRequest, object_id: str, delivery: int) -> HttpResponse:
        """GET shows one delivery with its attempts; POST sends it again."""
        if not request.user.has_perm(endpoints.CHANGE if request.method == "POST" else endpoints.VIEW):
            raise PermissionDenied
        endpoint = self.record(object_id)
        found = Delivery.objects.filter(pk=delivery, endpoint=object_id).first()
        if endpoint is None or found is None:
            return self.missing(request, str(delivery))
        if request.method == "POST":
            try:
                endpoints.redeliver(found, Actor.of_request(request))
                messages.success(request, _("{event} is sent once more.").format(event=found.event))
            except EndpointInvalid as refused:
                messages.error(request, refused.message)
            return redirect(page_url(endpoint))
        attempts = found.attempted.order_by("-pk")[:MAX_ATTEMPTS_SHOWN]
        context = {
            "title": found.event,
            "delivery": found,
            "attempts": attempts,
            "facts": _facts_of_delivery(found),
            "endpoint": endpoint,
            "may_change": self.may_change(request),
            "back": page_url(endpoint),
        }
        return self.show(request, "admin/webhook_endpoints/delivery.html", context)

    # --- the page ---

    def page_context(self, request: HttpRequest, record: WebhookEndpoint) -> dict[str, Any]:
        state = request.GET.get("state", "")
        rows = Delivery.objects.filter(endpoint=record).order_by("-written_at", "-pk")
        if state in STATES:
            rows = rows.filter(state=state)
        return {
            "title": record.url,
            "facts": self.facts(record),
            "deliveries": rows[:MAX_DELIVERIES_SHOWN],
            "states": STATES,
            "state": state,
            "records": record.records.select_related("by").order_by("-at", "-pk")[:MAX_RECORDS_SHOWN],
            "may_change": self.may_change(request),
            "may_delete": request.user.has_perm(endpoints.DELETE),
        }

    def facts(self, record: WebhookEndpoint) -> Facts:
        old = record.previous_secret_until
        return [
            (_("State"), _state(record)),
            (_("Why"), recorded.shown(record.disabled_because)),
            (_("Takes"), _types(record)),
            (_("Description"), record.description),
            (_("Owner"), record.owner or _("nobody: it was made by a command")),
            (_("Made"), moment(record.created_at)),
            (_("Failing since"), moment(record.failing_since) if record.failing_since else ""),
            (_("Rests until"), moment(record.rests_until) if record.rests_until and record.is_enabled else ""),
            (_("Being sent again from"), moment(record.redeliver_from) if record.redeliver_from else ""),
            (_("The old secret signs until"), moment(old) if old and old > clock.now() else ""),
            (_("Id"), format_html("<code>{}</code>", record.pk)),
        ]

    @admin.display(description=gettext_lazy("URL"))
    def url_(self, record: WebhookEndpoint) -> SafeString:
        return format_html('<span class="strong">{}</span>', record.url)

    @admin.display(description=gettext_lazy("State"))
    def state_(self, record: WebhookEndpoint) -> SafeString:
        return _state(record)

    @admin.display(description=gettext_lazy("Takes"))
    def takes(self, record: WebhookEndpoint) -> str:
        named = len(record.enabled_events)
        if record.takes(""):
            return _("every type")
        return ngettext("{count} type", "{count} types", named).format(count=named)

    @admin.display(description=gettext_lazy("Made"))
    def created(self, record: WebhookEndpoint) -> SafeString:
        return moment(record.created_at)


def _state(record: WebhookEndpoint) -> SafeString:
    if not record.is_enabled:
        return badge(gettext_noop("disabled"), "red" if record.failing_since else "grey")
    return badge(gettext_noop("failing"), "amber") if record.failing_since else badge(gettext_noop("enabled"), "green")


def _types(record: WebhookEndpoint) -> SafeString:
    return format_html_join(", ", "<code>{}</code>", ((each,) for each in record.enabled_events))


def _facts_of_delivery(found: Delivery) -> Facts:
    waits = found.state == Delivery.State.PENDING
    return [
        (_("Type"), found.type),
        (_("State"), badge(found.state)),
        (_("Owed since"), moment(found.written_at)),
        (_("Attempts"), found.attempts),
        (_("Next attempt"), moment(found.next_attempt_at) if waits else _("none")),
        (_("Ended"), moment(found.ended_at) if found.ended_at else ""),
        (_("Last error"), recorded.shown(found.last_error)),
    ]


def _switch(endpoint: WebhookEndpoint, actor: Actor) -> str:
    if endpoint.is_enabled:
        endpoints.disable(endpoint, actor)
        return _("Nothing is sent to it any more.")
    endpoints.enable(endpoint, actor)
    return _("New events are sent to it again. “Send again” brings those of the time between.")


def _test(endpoint: WebhookEndpoint, actor: Actor) -> str:
    return _("The test event {event} is being sent.").format(event=endpoints.send_test(endpoint, actor).event)


def _remove(endpoint: WebhookEndpoint, actor: Actor) -> str:
    endpoints.delete(endpoint, actor)
    return _("Deleted: nothing is sent to it any more.")


def _page_url(object_id: str) -> str:
    return reverse("admin:invoices_webhookendpoint_page", args=[object_id])


def _list_url() -> str:
    return reverse("admin:invoices_webhookendpoint_changelist")
