"""Single sign-on: which groups a person of the identity provider gets, and who is refused.

A person is known by the provider's subject alone. Her e-mail address is kept and never compared: whoever may set the
address of an account at the provider would otherwise become that person here. An account that was here before is linked
by an administrator, `manage.py link_single_sign_on`.
"""

from __future__ import annotations

from typing import Any

import jwt
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.stages import AuthenticateStage
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from requests import RequestException

from invoices import second_factor, sign_ins
from invoices.operations.requesters import is_service_user

NO_GROUP = gettext_noop(
    "You signed in at the identity provider, but none of your groups there may use the invoice desk. Ask whoever "
    "manages its groups."
)
NAME_TAKEN = gettext_noop(
    "There is already an account with your user name or e-mail address here, and it is not linked to the identity "
    "provider. Ask an administrator to link it (manage.py link_single_sign_on)."
)
SUPERUSER = gettext_noop("A superuser signs in with a password and a second factor, not through the identity provider.")
NO_CONNECTING = gettext_noop("Accounts are linked by an administrator (manage.py link_single_sign_on).")
UNREACHABLE = gettext_noop(
    "The identity provider did not answer as it should. Try again in a minute, or sign in with your password."
)


ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class Provider(OpenIDConnectOAuth2Adapter):
    """The conversation with the provider. allauth leaves out two checks, which are made here: the signature of the ID
    token by the provider's published keys, and that both answers are about the same subject."""

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("The provider sent no ID token.")
        login = super().complete_login(request, app, token, **kwargs)
        data = login.account.extra_data
        if (data.get("userinfo") or data["id_token"]).get("sub") != data["id_token"].get("sub"):
            raise OAuth2Error("The provider answered about two subjects.")
        return login

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        try:
            if jwt.get_unverified_header(id_token).get("alg") not in ALGORITHMS:
                raise OAuth2Error("The ID token is not signed with a public key.")
            return jwtkit.verify_and_decode(
                credential=id_token,
                keys_url=self.openid_config["jwks_uri"],
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise OAuth2Error("The ID token is not valid.") from error


def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _view(OAuth2LoginView, request, provider_id)


def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _view(OAuth2CallbackView, request, provider_id)


def _view(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    """404 where no provider is configured. A provider that cannot be reached, or answers nonsense, is said to be so."""
    if not settings.OIDC_ISSUER or provider_id != settings.OIDC_PROVIDER_ID:
        raise Http404
    try:
        return view.adapter_view(Provider(request, provider_id))(request)
    except (RequestException, KeyError, ValueError) as error:
        sign_ins.record_stranger(request, f"identity provider: {type(error).__name__}")
        return _page(request, UNREACHABLE, 502)


class SecondFactorStage(AuthenticateStage):
    """Asks for the second factor, unless the person just came from a provider that is trusted to have asked."""

    def _should_handle(self, request: HttpRequest) -> bool:
        user = self.login.user
        if settings.OIDC_TRUSTS_SECOND_FACTOR and second_factor.came_from_provider(request, user):
            return False
        return super()._should_handle(request)


class Adapter(DefaultSocialAccountAdapter):
    def list_apps(self, request: Any, provider: Any = None, client_id: Any = None) -> Any:
        """The one of the settings. A row that somebody writes into the database is no way in."""
        return [app for app in super().list_apps(request, provider, client_id) if app.pk is None]

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuses, or puts the person into exactly the groups that the provider's groups are mapped to."""
        if sociallogin.state.get("process", "login") != "login":
            self._refuse(request, sociallogin, NO_CONNECTING)
        groups = self._groups(request, sociallogin)
        if sociallogin.is_existing:
            user = User.objects.get(pk=sociallogin.user.pk)
            self._check_existing(request, sociallogin, user)
        else:
            user = self._make(request, sociallogin)
        with transaction.atomic():
            if not user.is_staff:
                user.is_staff = True
                user.save(update_fields=["is_staff"])
            if {group.pk for group in groups} != set(user.groups.values_list("pk", flat=True)):
                user.groups.set(groups)
        sociallogin.user = user

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False  # `_make` makes the users

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        if str(error) == "cancelled":
            return
        detail = f"the identity provider: {type(exception).__name__ if exception else 'no valid answer'}"
        sign_ins.record_stranger(request, detail)
        raise ImmediateHttpResponse(_page(request, UNREACHABLE, 502))

    def _groups(self, request: HttpRequest, sociallogin: Any) -> list[Group]:
        data = sociallogin.account.extra_data
        said: set[str] = set()
        for source in ("id_token", "userinfo"):
            value = (data.get(source) or {}).get(settings.OIDC_GROUPS_CLAIM)
            said |= {value} if isinstance(value, str) else {each for each in value or [] if isinstance(each, str)}
        mapped = {settings.OIDC_GROUPS[each] for each in said if each in settings.OIDC_GROUPS}
        groups = list(Group.objects.filter(name__in=mapped).order_by("name"))
        if not groups:
            self._refuse(request, sociallogin, NO_GROUP)
        return groups

    def _check_existing(self, request: HttpRequest, sociallogin: Any, user: User) -> None:
        if user.is_superuser:
            self._refuse(request, sociallogin, SUPERUSER)
        if not user.is_active:
            self._refuse(request, sociallogin, gettext_noop("This account is not active."))
        if is_service_user(user):
            self._refuse(
                request, sociallogin, gettext_noop("This is a service user: it acts through API tokens alone.")
            )

    def _make(self, request: HttpRequest, sociallogin: Any) -> User:
        """A user of the staff, without a password, linked by the provider's subject."""
        data = sociallogin.account.extra_data
        claims = {**(data.get("id_token") or {}), **(data.get("userinfo") or {})}
        email = str(claims.get("email") or "")[:254]
        name = str(claims.get("preferred_username") or email or sociallogin.account.uid)
        name = User.normalize_username(name)  # as the forms do: letters that look the same are the same
        name = "".join(each if each.isalnum() or each in "@.+-_" else "-" for each in name)[: sign_ins.MAX_NAME_LENGTH]
        taken = User.objects.filter(username__iexact=name)
        if taken.exists() or (email and User.objects.filter(email__iexact=email).exists()):
            self._refuse(request, sociallogin, NAME_TAKEN)
        with transaction.atomic():
            user = User(
                username=name,
                email=email,
                first_name=str(claims.get("given_name") or "")[:150],
                last_name=str(claims.get("family_name") or "")[:150],
                is_staff=True,
            )
            user.set_unusable_password()
            user.save()
            account = sociallogin.account
            account.user, account.extra_data = user, {}
            account.save()
        return user

    def _refuse(self, request: HttpRequest, sociallogin: Any, why: str) -> None:
        who = f"subject {sociallogin.account.uid}"[:200]
        name = sociallogin.user.get_username() if sociallogin.is_existing else ""
        sign_ins.record(sign_ins.What.REFUSED, request=request, username=name, detail=f"{who}: {why}")
        raise ImmediateHttpResponse(_page(request, why, 403))


def _page(request: HttpRequest, why: str, status: int) -> Any:
    return render(request, "sign_in/refused.html", {"why": _(why)}, status=status)
