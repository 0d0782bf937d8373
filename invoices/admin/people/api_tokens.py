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
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from invoices import clock, request_origin, second_factor, tokens
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import DASH, badge, day, moment
from invoices.models import ApiToken, Scope
from invoices.operations import ACTIONS, Invalid

MAX_RECORDS_SHOWN = 100  # of a token, the newest
MAKER_UNKNOWN = gettext_noop(
    "Nobody knows: it was made before this was recorded. It goes on working, but nobody who may make tokens can "
    "approve what it asks for. Make a new one, and revoke this one."
)


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=tokens.MAX_NAME_LENGTH,
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Which service uses it. Stands in the journal as the reason."),
    )
    user = forms.ModelChoiceField(
        queryset=get_user_model().objects.none(),
        label=gettext_lazy("Acts as"),
        help_text=gettext_lazy(
            "You, or a service user. It may do what this user may do, and no more. Whoever may make tokens for "
            "service users cannot approve what they ask for."
        ),
        empty_label=None,
        error_messages={
            "invalid_choice": gettext_lazy("A token acts for the one who makes it, or for a service user.")
        },
    )
    days = forms.IntegerField(
        label=gettext_lazy("Valid for days"), min_value=1, max_value=tokens.MAX_DAYS, initial=tokens.DEFAULT_DAYS
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it is for"),
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("It does none of the rest, even if its user may."),
        error_messages={"required": gettext_lazy("Say what the token is for.")},
    )
    any_stripe_version = forms.BooleanField(
        required=False,
        label=gettext_lazy("Its program knows other versions of Stripe's API"),
        help_text=format_lazy(
            gettext_lazy(
                "If not, SDKs before {version} are refused: they expect an invoice with paid, charge, payment_intent "
                "and subscription, which it no longer has."
            ),
            version=settings.STRIPE_OLDEST_VERSION,
        ),
    )

    def __init__(self, maker: Any, data: Any = None) -> None:
        super().__init__(data)
        users: Any = self.fields["user"]
        users.queryset = tokens.users_for(maker)
        users.initial = maker.pk
        scopes: Any = self.fields["scopes"]
        scopes.choices = [(scope, _scope_words(scope)) for scope in tokens.SCOPES]


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name_", "acts_as", "made_by", "may", "last_used", "created_", "expires")
    list_select_related = ("user", "created_by")
    ordering = ("-created",)
    show_add_link = True
    empty_hint = gettext_noop("No service has a token yet.")

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
            (_("Name"), record.name),
            (_("Acts as"), record.user.get_username()),
            (_("Made by"), _maker(record)),
            (_("For"), ", ".join(map(_scope_words, record.granted))),
            (pgettext("API token", "May"), _may(record)),
            (_("Stripe-Version that it may send"), _versions(record)),
            (_("Begins with"), record.token_key),
            (_("Last used"), day(tokens.last_used([record]).get(record.pk), _("never"))),
            (_("Created"), moment(record.created)),
            (_("Expires"), moment(record.expiry, _("never"))),
            (_("Revoked"), _revoked(record)),
        ]

    @admin.display(description=gettext_lazy("Name"))
    def name_(self, token: ApiToken) -> SafeString:
        return format_html('<span class="strong">{}</span>', token.name)

    @admin.display(description=gettext_lazy("User"))
    def acts_as(self, token: ApiToken) -> str:
        return str(token.user)

    @admin.display(description=gettext_lazy("Created by"))
    def made_by(self, token: ApiToken) -> str:
        return str(token.created_by or DASH)

    @admin.display(description=gettext_lazy("For"))
    def may(self, token: ApiToken) -> SafeString:
        return format_html_join(" ", "{}", ((_scope_badge(scope),) for scope in token.granted))

    @admin.display(description=gettext_lazy("Last used"))
    def last_used(self, token: Any) -> SafeString:
        return day(token.last_used_at, _("never"))

    @admin.display(description=gettext_lazy("Created"))
    def created_(self, token: ApiToken) -> SafeString:
        return moment(token.created)

    @admin.display(description=gettext_lazy("Expires"))
    def expires(self, token: ApiToken) -> SafeString:
        state = tokens.state_of(token, clock.now())
        return moment(token.expiry, _("never")) if state == "active" else badge(state, "grey")


def _maker(token: ApiToken) -> str:
    maker = token.created_by
    if maker is None:
        return _(MAKER_UNKNOWN)
    if token.shell_user:
        made = _("{person}, by a command that {shell_user} ran")
        gone = _(
            "{person}, by a command that {shell_user} ran, who is no longer active but may still know it: make a new "
            "one, and revoke this one"
        )
    else:
        made = "{person}"
        gone = _("{person}, who is no longer active but may still know it: make a new one, and revoke this one")
    sentence = made if maker.is_active else gone
    return sentence.format(person=maker.get_username(), shell_user=token.shell_user)


def _may(token: ApiToken) -> str:
    """What it can do by now: what it is for, as far as its user may. Actions in the words of their buttons."""
    reads = [_("read")] if token.allows(Scope.READ) else []
    actions = [
        _(action.label)
        for action in ACTIONS.values()
        if token.allows(action.name) and token.user.has_perm(action.permission)
    ]
    return ", ".join([*reads, *actions]) or _("no action")


def _scope_words(scope: str) -> str:
    """What a token with this scope is for, as `tokens.SCOPES` says it, in the language of the page."""
    if scope in ACTIONS:
        return _("Act: {action}").format(action=_(ACTIONS[scope].may))
    return _(str(tokens.SCOPES.get(scope, scope)))


def _scope_badge(scope: str) -> SafeString:
    reads = scope in (Scope.READ, Scope.FEED, Scope.PASS_THROUGH)
    return badge(scope.replace("_", " "), "grey" if reads else "blue")


def _versions(token: ApiToken) -> str:
    if token.any_stripe_version:
        return _("any")
    return _("{version} and later").format(version=settings.STRIPE_OLDEST_VERSION)


def _revoked(token: ApiToken) -> str:
    if not token.revoked_at:
        return _("no")
    return format_html(_("{moment}, by {person}"), moment=moment(token.revoked_at), person=token.revoked_by)


def _add(admin: ApiTokenAdmin, request: HttpRequest) -> HttpResponse:
    """GET shows the form, POST makes the token. Its key is in this one response only, because we keep no more than its
    hash."""
    form = TokenForm(request.user, request.POST if request.method == "POST" else None)
    key = ""
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            key = tokens.make(
                request.user,  # type: ignore[arg-type]
                given["user"],
                name=given["name"],
                lifetime=timedelta(days=given["days"]),
                scopes=given["scopes"],
                any_stripe_version=given["any_stripe_version"],
                origin=request_origin.origin(request),
            )[1]
        except Invalid as invalid:
            form.add_error(invalid.param, invalid.message)
    context = {"title": _("New API token"), "form": form, "token": key, "back": _list_url()}
    return admin.show(request, "admin/people/api_token_form.html", context)


def _revoke(admin: ApiTokenAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    if not admin.may_revoke(request):
        raise PermissionDenied
    token = ApiToken.objects.filter(pk=object_id).first()
    if token is not None:
        tokens.revoke(token, request.user, request_origin.origin(request))  # type: ignore[arg-type]
        admin.message_user(request, _("“{token}” is revoked: it opens nothing any more.").format(token=token.name))
    return redirect(_list_url())


def _list_url() -> str:
    return reverse("admin:invoices_apitoken_changelist")
