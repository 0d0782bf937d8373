"""API tokens: a manager makes one for herself, sees it once, and can revoke any. Who may make one for whom is in
`invoices/tokens.py`."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from invoices import clock, request_origin, second_factor, tokens
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import badge, moment
from invoices.models import ApiToken
from invoices.operations import ACTIONS, Invalid

MAX_RECORDS_SHOWN = 100  # of a token, the newest
MAKER_UNKNOWN = (
    "Nobody knows: it was made before this was recorded. It goes on working, but nobody who may make tokens can "
    "approve what it asks for. Make a new one, and revoke this one."
)


class TokenForm(forms.Form):
    name = forms.CharField(max_length=255, help_text="Which service uses it. Stands in the journal as the reason.")
    user = forms.ModelChoiceField(
        queryset=get_user_model().objects.none(),
        label="Acts as",
        help_text="You, or a service user. It may do what this user may do, and no more. Whoever may make tokens for "
        "service users cannot approve what they ask for.",
        empty_label=None,
        error_messages={"invalid_choice": "A token acts for the one who makes it, or for a service user."},
    )
    days = forms.IntegerField(label="Valid for days", min_value=1, max_value=3650, initial=365)
    read_only = forms.BooleanField(required=False, label="Read only", help_text="Takes every action away.")

    def __init__(self, maker: Any, data: Any = None) -> None:
        super().__init__(data)
        users: Any = self.fields["user"]
        users.queryset = tokens.users_for(maker)
        users.initial = maker.pk


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name_", "user", "created_by", "may", "created_", "expires")
    list_select_related = ("user", "created_by")
    ordering = ("-created",)
    show_add_link = True
    empty_hint = "No service has a token yet."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return tokens.may_make(request.user)  # type: ignore[arg-type]

    def may_revoke(self, request: HttpRequest) -> bool:
        return request.user.has_perm("invoices.delete_apitoken")

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("<str:object_id>/revoke/", self.revoke_view, "revoke")]

    @second_factor.fresh()
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return _add(self, request)

    @method_decorator(require_POST)
    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _revoke(self, request, object_id)

    def page_context(self, request: HttpRequest, record: ApiToken) -> dict[str, Any]:
        may = self.may_revoke(request) and record.revoked_at is None
        revoke = reverse("admin:invoices_apitoken_revoke", args=[record.pk]) if may else ""
        records = record.records.select_related("by").order_by("-at")[:MAX_RECORDS_SHOWN]
        return {**super().page_context(request, record), "revoke": revoke, "token_records": records}

    def facts(self, record: ApiToken) -> Facts:
        return [
            ("Name", record.name),
            ("Acts as", record.user.get_username()),
            ("Made by", _maker(record)),
            ("May", _may(record)),
            ("Begins with", record.token_key),
            ("Created", moment(record.created)),
            ("Expires", moment(record.expiry, "never")),
            ("Revoked", _revoked(record)),
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
        if token.revoked_at:
            return badge("revoked", "grey")
        if token.expiry and token.expiry < clock.now():
            return badge("expired", "grey")
        return moment(token.expiry, "never")


def _maker(token: ApiToken) -> str:
    maker = token.created_by
    if maker is None:
        return MAKER_UNKNOWN
    left = (
        ""
        if maker.is_active
        else ", who is no longer active but may still know it: make a new one, and revoke this one"
    )
    return f"{maker.get_username()}{left}"


def _may(token: ApiToken) -> str:
    """What its user may do by now, in the words of the actions' buttons."""
    if token.read_only:
        return "read"
    actions = [action.label for action in ACTIONS.values() if token.user.has_perm(action.permission)]
    return ", ".join(["read", *actions])


def _revoked(token: ApiToken) -> str:
    return format_html("{}, by {}", moment(token.revoked_at), token.revoked_by) if token.revoked_at else "no"


def _add(admin: ApiTokenAdmin, request: HttpRequest) -> HttpResponse:
    """GET shows the form, POST makes the token. Its key is in this one response only, because we keep no more than its
    hash."""
    form = TokenForm(request.user, request.POST if request.method == "POST" else None)
    key = ""
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            _, key = tokens.make(
                request.user,  # type: ignore[arg-type]
                given["user"],
                name=given["name"],
                lifetime=timedelta(days=given["days"]),
                read_only=given["read_only"],
                origin=request_origin.origin(request),
            )
        except Invalid as invalid:
            form.add_error(invalid.param, invalid.message)
    context = {"title": "New API token", "form": form, "token": key, "back": _list_url()}
    return admin.show(request, "admin/people/api_token_form.html", context)


def _revoke(admin: ApiTokenAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    if not admin.may_revoke(request):
        raise PermissionDenied
    token = ApiToken.objects.filter(pk=object_id).first()
    if token is not None:
        tokens.revoke(token, request.user, request_origin.origin(request))  # type: ignore[arg-type]
        admin.message_user(request, f"“{token.name}” is revoked: it opens nothing any more.")
    return redirect(_list_url())


def _list_url() -> str:
    return reverse("admin:invoices_apitoken_changelist")
