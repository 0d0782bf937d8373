"""API tokens: a manager makes one for herself, sees it once, and can revoke any. Who may make one for whom is in
`invoices/tokens.py`."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from invoices import clock, request_origin, second_factor, tokens
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import badge, day, moment
from invoices.models import ApiToken, Scope
from invoices.operations import ACTIONS, Invalid

MAX_RECORDS_SHOWN = 100  # of a token, the newest
MAKER_UNKNOWN = (
    "Nobody knows: it was made before this was recorded. It goes on working, but nobody who may make tokens can "
    "approve what it asks for. Make a new one, and revoke this one."
)


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=tokens.MAX_NAME_LENGTH, help_text="Which service uses it. Stands in the journal as the reason."
    )
    user = forms.ModelChoiceField(
        queryset=get_user_model().objects.none(),
        label="Acts as",
        help_text="You, or a service user. It may do what this user may do, and no more. Whoever may make tokens for "
        "service users cannot approve what they ask for.",
        empty_label=None,
        error_messages={"invalid_choice": "A token acts for the one who makes it, or for a service user."},
    )
    days = forms.IntegerField(
        label="Valid for days", min_value=1, max_value=tokens.MAX_DAYS, initial=tokens.DEFAULT_DAYS
    )
    scopes = forms.MultipleChoiceField(
        label="What it is for",
        choices=list(tokens.SCOPES.items()),
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text="It does none of the rest, even if its user may.",
        error_messages={"required": "Say what the token is for."},
    )
    any_stripe_version = forms.BooleanField(
        required=False,
        label="Its program knows other versions of Stripe's API",
        help_text=f"If not, SDKs before {settings.STRIPE_OLDEST_VERSION} are refused: they expect an invoice with "
        "paid, charge, payment_intent and subscription, which it no longer has.",
    )

    def __init__(self, maker: Any, data: Any = None) -> None:
        super().__init__(data)
        users: Any = self.fields["user"]
        users.queryset = tokens.users_for(maker)
        users.initial = maker.pk


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name_", "user", "created_by", "may", "last_used", "created_", "expires")
    list_select_related = ("user", "created_by")
    ordering = ("-created",)
    show_add_link = True
    empty_hint = "No service has a token yet."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return tokens.may_make(request.user)  # type: ignore[arg-type]

    def may_revoke(self, request: HttpRequest) -> bool:
        return tokens.may_revoke(request.user)  # type: ignore[arg-type]

    def prepare(self, records: list[Any]) -> None:
        last_used = tokens.last_used(records)
        for record in records:
            record.last_used_at = last_used.get(record.pk)

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
            ("For", ", ".join(tokens.SCOPES.get(scope, scope) for scope in record.granted)),
            ("May", _may(record)),
            ("Stripe-Version that it may send", _versions(record)),
            ("Begins with", record.token_key),
            ("Last used", day(tokens.last_used([record]).get(record.pk), "never")),
            ("Created", moment(record.created)),
            ("Expires", moment(record.expiry, "never")),
            ("Revoked", _revoked(record)),
        ]

    @admin.display(description="Name")
    def name_(self, token: ApiToken) -> SafeString:
        return format_html('<span class="strong">{}</span>', token.name)

    @admin.display(description="For")
    def may(self, token: ApiToken) -> SafeString:
        return format_html_join(" ", "{}", ((_scope_badge(scope),) for scope in token.granted))

    @admin.display(description="Last used")
    def last_used(self, token: Any) -> SafeString:
        return day(token.last_used_at, "never")

    @admin.display(description="Created")
    def created_(self, token: ApiToken) -> SafeString:
        return moment(token.created)

    @admin.display(description="Expires")
    def expires(self, token: ApiToken) -> SafeString:
        state = tokens.state_of(token, clock.now())
        return moment(token.expiry, "never") if state == "active" else badge(state, "grey")


def _maker(token: ApiToken) -> str:
    maker = token.created_by
    if maker is None:
        return MAKER_UNKNOWN
    left = (
        ""
        if maker.is_active
        else ", who is no longer active but may still know it: make a new one, and revoke this one"
    )
    ran = f", by a command that {token.shell_user} ran" if token.shell_user else ""
    return f"{maker.get_username()}{ran}{left}"


def _may(token: ApiToken) -> str:
    """What it can do by now: what it is for, as far as its user may. Actions in the words of their buttons."""
    reads = ["read"] if token.allows(Scope.READ) else []
    actions = [
        action.label
        for action in ACTIONS.values()
        if token.allows(action.name) and token.user.has_perm(action.permission)
    ]
    return ", ".join([*reads, *actions]) or "no action"


def _scope_badge(scope: str) -> SafeString:
    reads = scope in (Scope.READ, Scope.FEED, Scope.PASS_THROUGH)
    return badge(scope.replace("_", " "), "grey" if reads else "blue")


def _versions(token: ApiToken) -> str:
    return "any" if token.any_stripe_version else f"{settings.STRIPE_OLDEST_VERSION} and later"


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
                scopes=given["scopes"],
                any_stripe_version=given["any_stripe_version"],
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
