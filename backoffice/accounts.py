"""How allauth behaves here: no sign-up, no mail, encrypted secrets, a fresh proof before factors are changed, and a
limit on wrong codes that all processes share."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa import app_settings
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed, authenticator_added
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from backoffice import lockouts
from invoices import second_factor, sign_ins

_BEGUN_WITH = "begun_with"  # in the session: whose password began the sign-in, and a hash that changes with it
UNREADABLE = gettext_noop(
    "Your second factor can no longer be read: the desk's secret key was replaced. Ask a billing manager or an "
    "administrator to reset it."
)


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """allauth sends none: the journal of people is the record."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """None, as above."""

    def add_message(
        self, request: HttpRequest, level: int, message_template: Any = None, *args: Any, **kw: Any
    ) -> None:
        """The pages say themselves what happened."""

    def get_login_stages(self) -> list[str]:
        """The second factor alone: no codes by mail or telephone, and no browser that is trusted without one."""
        return ["backoffice.single_sign_on.SecondFactorStage"]

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Who has a second factor proves it: the password alone changes nothing."""
        methods = super().get_reauthentication_methods(user)
        words = {"reauthenticate": _("Use your password"), "mfa_reauthenticate": _("Use a code")}
        methods = [{**method, "description": words.get(method["id"], _("Use a passkey"))} for method in methods]
        factors = [method for method in methods if method["id"] != "reauthenticate"]
        return factors if second_factor.has_factor(user) else methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not shortly after the proof, which is the factor of who has one, and the sign-in of who has none yet."""
        request = context.request
        if second_factor.has_factor(request.user):
            return not second_factor.is_fresh(request)
        return not second_factor.signed_in_freshly(request)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        sign_ins.record(
            sign_ins.What.REFUSED, request=request, user=user, detail=gettext_noop("the account is not active")
        )
        return redirect("account_inactive")


class FactorAdapter(DefaultMFAAdapter):
    """Secrets are stored encrypted, so that who reads the database alone cannot make codes."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": gettext_lazy(
            "This code is not right, or was used before. Codes of an app change every thirty seconds."
        ),
    }

    def get_totp_label(self, user: Any) -> str:
        return user.get_username()

    def _get_user_identifier(self, user: Any) -> str:
        return user.get_username()

    def _get_site_name(self) -> str:
        return "Invoice desk"

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        return _("Passkey {number}").format(number=Authenticator.objects.filter(user=user, type=type).count() + 1)

    def encrypt(self, text: str) -> str:
        return _ciphers().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ValidationError where the secret key was replaced since: the forms show it in place of a failure."""
        try:
            return _ciphers().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            raise ValidationError(_(UNREADABLE), code="unreadable") from None


def _ciphers() -> MultiFernet:
    """Of the secret key, and of those that were replaced (SECRET_KEY_FALLBACKS)."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"second factor " + force_bytes(key)).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


# --- codes ------------------------------------------------------------------------------------------------------------


class _Limited:
    """A form that proves a second factor: wrong codes are counted as wrong passwords are."""

    user: Any

    def _count(self, check: Any) -> Any:
        request, name = context.request, f"{lockouts.SECOND_FACTOR}{self.user.get_username()}"
        # Counted before it is looked at, so that many attempts at the same time are no more than the limit either.
        if lockouts.is_locked(request, name) or (counted := lockouts.count_failure(request, name)).is_beyond:
            raise ValidationError(_(lockouts.CODE_LOCKED), code="locked")
        try:
            found = check()
        except ValidationError:
            if counted.is_locked:
                sign_ins.record(
                    sign_ins.What.LOCKED,
                    request=request,
                    user=self.user,
                    by=self.user,
                    detail=gettext_noop("wrong codes"),
                )
            raise
        lockouts.forget_failures(request, name)
        return found


def begin_with_password(request: HttpRequest, user: Any) -> None:
    """Notes, while the second factor is awaited, with which password the sign-in began."""
    request.session[_BEGUN_WITH] = {"user": user.pk, "password": user.get_session_auth_hash()}


def _check_password_is_the_same(user: Any) -> None:
    """A new password ends sessions, and so it ends a sign-in that began with the old one and waits for its factor."""
    begun = context.request.session.get(_BEGUN_WITH) or {}
    if begun.get("user") == user.pk and begun["password"] != user.get_session_auth_hash():
        raise ValidationError(_("The password was changed since. Press Cancel, and sign in again."), code="password")


class _Code(_Limited):
    authenticator: Authenticator

    def clean_code(self) -> str:
        return self._count(self._check)

    def _check(self) -> str:
        """Of codes that come at the same time, to whichever process, each is looked at after what the others used was
        stored: allauth reads which recovery codes were used, and writes it back, without a lock."""
        with transaction.atomic():
            list(Authenticator.objects.select_for_update().filter(user=self.user).order_by("pk"))
            try:
                code: str = super().clean_code()  # type: ignore[misc]
                if self.authenticator.type == Authenticator.Type.TOTP and not _first_use(self.authenticator, code):
                    raise FactorAdapter().validation_error("incorrect_code")
                return code
            except ValidationError as error:
                wrong = error
        authentication_failed.send(sender=Authenticator, request=context.request, user=self.user)
        raise wrong

    def _emit_authentication_failed(self, authenticator: Authenticator) -> None:
        """Told in `_check`, after the transaction that holds the locks."""


def _first_use(authenticator: Authenticator, code: str) -> bool:
    """Whether this code was not used before. An app's code is taken for as long as its half minute and the tolerated
    ones around it: whoever saw it could use it again, at another process too, and after its owner used a later one."""
    used, now = salted_hmac("second factor", code.replace(" ", "")).hexdigest(), time.time()
    taken_for = app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1)  # seconds
    with transaction.atomic():
        stored = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        before = {each: at for each, at in stored.data.get("used", {}).items() if abs(now - at) < taken_for}
        if used in before:
            return False
        stored.data["used"] = {**before, used: now}
        stored.data.pop("last_used", None)  # where an earlier version kept one code alone
        stored.save(update_fields=["data"])
    return True


class CodeForm(_Code, AuthenticateForm):
    def clean_code(self) -> str:
        _check_password_is_the_same(self.user)
        return super().clean_code()


class CodeAgainForm(_Code, ReauthenticateForm):
    pass


class FirstCodeForm(_Limited, ActivateTOTPForm):
    def clean_code(self) -> str:
        code: str = self._count(super().clean_code)
        context.request.first_code = code
        return code


@receiver(authenticator_added)
def _use_up_first_code(request: HttpRequest, authenticator: Authenticator, **kwargs: Any) -> None:
    """The code with which an app was added signs in nobody."""
    if authenticator.type == Authenticator.Type.TOTP and (code := getattr(request, "first_code", "")):
        _first_use(authenticator, code)


class PasskeyForm(_Limited, AuthenticateWebAuthnForm):
    def clean_credential(self) -> Authenticator:
        _check_password_is_the_same(self.user)
        return self._count(super().clean_credential)


class PasskeyAgainForm(_Limited, ReauthenticateWebAuthnForm):
    def clean_credential(self) -> Authenticator:
        return self._count(super().clean_credential)


# --- pages ------------------------------------------------------------------------------------------------------------


def pages(request: HttpRequest) -> dict[str, Any]:
    """Context of allauth's pages: that of the admin, whose look they have."""
    name = getattr(request.resolver_match, "url_name", None) or ""
    if not name.startswith(("mfa_", "account_", "socialaccount_", "openid_connect_")):
        return {}
    after = request.session.get("after_enrolment", "")
    return {**admin.site.each_context(request), "title": _("Second factor"), "after_enrolment": after}
