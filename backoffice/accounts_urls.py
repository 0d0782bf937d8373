"""The addresses of allauth that are needed. All others, such as sign-up, e-mail and password reset, are not there."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as base
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from backoffice import single_sign_on
from invoices import second_factor
from invoices.operations.requesters import is_service_user


def _own(view: Callable[..., Any]) -> Callable[..., Any]:
    """For pages about one's own factors: only a member of the staff, and of who has a factor only a session that proved
    it. Otherwise a session of before could take the factor away with the password alone."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user: Any = request.user
        if not (user.is_authenticated and user.is_active and user.is_staff) or is_service_user(user):
            return redirect(f"{reverse('admin:login')}?{urlencode({'next': request.path})}")
        if second_factor.has_factor(user):
            if second_factor.since(request, user) is None:
                return redirect(f"{reverse('mfa_reauthenticate')}?{urlencode({'next': request.path})}")
        elif not user.has_usable_password() and not second_factor.signed_in_freshly(request):
            logout(request)
            messages.info(request, _("Sign in once more before you add a second factor."))
            return redirect(f"{reverse('admin:login')}?{urlencode({'next': request.path})}")
        return view(request, *args, **kwargs)

    return never_cache(guarded)


def sign_in(request: HttpRequest) -> HttpResponse:
    """allauth's name for our sign-in page."""
    address, query = reverse("admin:login"), request.GET.urlencode()
    return redirect(f"{address}?{query}" if query else address)


@require_POST
def cancel(request: HttpRequest) -> HttpResponse:
    """Ends a sign-in that waits for its second factor, or the session."""
    logout(request)
    return redirect("admin:login")


def inactive(request: HttpRequest) -> HttpResponse:
    return render(request, "sign_in/refused.html", {"why": _("This account is not active.")}, status=403)


def cancelled(request: HttpRequest) -> HttpResponse:
    messages.info(request, _("The sign-in was cancelled at the identity provider."))
    return redirect("admin:login")


@never_cache
def done(request: HttpRequest) -> HttpResponse:
    """After the recovery codes were kept: back to the page that was asked for."""
    wanted = request.session.pop("after_enrolment", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if safe and wanted else "admin:index")


urlpatterns: list[URLPattern] = [
    path("sign-in/", sign_in, name="account_login"),
    path("cancel/", cancel, name="account_logout"),
    path("inactive/", inactive, name="account_inactive"),
    path("confirm-password/", account.reauthenticate, name="account_reauthenticate"),
    path("second-factor/", _own(base.index), name="mfa_index"),
    path("second-factor/sign-in/", base.authenticate, name="mfa_authenticate"),
    path("second-factor/confirm/", never_cache(base.reauthenticate), name="mfa_reauthenticate"),
    path("second-factor/done/", done, name="mfa_done"),
    path("second-factor/app/add/", _own(totp.activate_totp), name="mfa_activate_totp"),
    path("second-factor/app/remove/", _own(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("second-factor/codes/", _own(recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("second-factor/codes/new/", _own(recovery_codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("second-factor/passkeys/", _own(webauthn.list_webauthn), name="mfa_list_webauthn"),
    path("second-factor/passkeys/add/", _own(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path(
        "second-factor/passkeys/confirm/",
        never_cache(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("second-factor/passkeys/<int:pk>/remove/", _own(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("provider/<slug:provider_id>/", single_sign_on.login, name="openid_connect_login"),
    path("provider/<slug:provider_id>/back/", single_sign_on.callback, name="openid_connect_callback"),
    path("provider-cancelled/", cancelled, name="socialaccount_login_cancelled"),
]
