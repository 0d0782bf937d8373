"""API tokens: a manager makes one, sees it once, and revokes it. Nobody hands out more than she may do herself."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import badge, moment
from invoices.models import ApiToken


class TokenForm(forms.Form):
    name = forms.CharField(max_length=255, help_text="Which service uses it. Stands in the journal as the reason.")
    user = forms.ModelChoiceField(
        queryset=get_user_model().objects.none(),
        label="Acts as",
        help_text="It may do what this user may do, and no more.",
        empty_label=None,
    )
    days = forms.IntegerField(label="Valid for days", min_value=1, max_value=3650, initial=365)
    read_only = forms.BooleanField(required=False, label="Read only", help_text="Takes every action away.")

    def __init__(self, giver: Any, data: Any = None) -> None:
        super().__init__(data)
        users: Any = self.fields["user"]
        users.queryset = get_user_model().objects.filter(pk__in=_may_be_given_by(giver)).order_by("username")
        users.initial = giver.pk


def _may_be_given_by(giver: Any) -> list[int]:
    """Users whose permissions the giver has as well."""
    own = giver.get_all_permissions()
    active = get_user_model().objects.filter(is_active=True)[:500]
    return [user.pk for user in active if user == giver or (giver.is_superuser or _within(user, own))]


def _within(user: Any, permissions: set[str]) -> bool:
    return not user.is_superuser and user.get_all_permissions() <= permissions


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name_", "user", "may", "created_", "expires")
    list_select_related = ("user",)
    ordering = ("-created",)
    show_add_link = True
    empty_hint = "No service has a token yet."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("invoices.add_apitoken")

    def may_revoke(self, request: HttpRequest) -> bool:
        return request.user.has_perm("invoices.delete_apitoken")

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("<str:object_id>/revoke/", self.revoke_view, "revoke")]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return _add(self, request)

    @method_decorator(require_POST)
    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _revoke(self, request, object_id)

    def page_context(self, request: HttpRequest, record: ApiToken) -> dict[str, Any]:
        revoke = reverse("admin:invoices_apitoken_revoke", args=[record.pk]) if self.may_revoke(request) else ""
        return {**super().page_context(request, record), "revoke": revoke}

    def facts(self, record: ApiToken) -> Facts:
        return [
            ("Name", record.name),
            ("Acts as", record.user.get_username()),
            ("May", "read" if record.read_only else "do what its user may do"),
            ("Begins with", record.token_key),
            ("Created", moment(record.created)),
            ("Expires", moment(record.expiry, "never")),
        ]

    @admin.display(description="Name")
    def name_(self, token: ApiToken) -> SafeString:
        return format_html('<span class="strong">{}</span>', token.name)

    @admin.display(description="May")
    def may(self, token: ApiToken) -> SafeString:
        return badge("read only", "grey") if token.read_only else badge("act", "blue")

    @admin.display(description="Created")
    def created_(self, token: ApiToken) -> SafeString:
        return moment(token.created)

    @admin.display(description="Expires")
    def expires(self, token: ApiToken) -> SafeString:
        if token.expiry and token.expiry < timezone.now():
            return badge("expired", "grey")
        return moment(token.expiry, "never")


def _add(admin: ApiTokenAdmin, request: HttpRequest) -> HttpResponse:
    """The token stands in this one answer and nowhere else: we keep its hash."""
    form = TokenForm(request.user, request.POST if request.method == "POST" else None)
    written = ""
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        expiry = timedelta(days=given["days"])
        _, written = ApiToken.objects.create(
            given["user"], expiry=expiry, name=given["name"], read_only=given["read_only"]
        )
    context = {"title": "New API token", "form": form, "written": written, "back": _list()}
    return admin.show(request, "admin/invoices/token.html", context)


def _revoke(admin: ApiTokenAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    if not admin.may_revoke(request):
        raise PermissionDenied
    token = ApiToken.objects.filter(pk=object_id).first()
    if token is not None:
        token.delete()
        admin.message_user(request, f"“{token.name}” is revoked: it opens nothing any more.")
    return redirect(_list())


def _list() -> str:
    return reverse("admin:invoices_apitoken_changelist")
