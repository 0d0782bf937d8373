"""Who signs in to the admin: people of the staff, with a second factor where one is required. Service users act through
API tokens alone."""

from typing import Any
from urllib.parse import urlencode

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from axes.backends import AxesStandaloneBackend
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from backoffice import accounts, lockouts
from invoices import second_factor
from invoices.operations.requesters import SERVICE_GROUP, in_service_group, is_service_user

IS_SERVICE_USER = gettext_noop(
    "This is a service user (a member of the group “{group}”). It acts through API tokens and cannot sign in. "
    "Sign in with a user of your own."
)


class Backend(AxesStandaloneBackend, ModelBackend):
    """Django's own, behind the lockouts of django-axes. It reads together with the user of a session whether this is a
    service user and since when she has a second factor, so that no page needs a query more."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        if request is not None:
            AxesStandaloneBackend.authenticate(self, request, username=username, password=password, **kwargs)
            # Counted before the password is looked at: of many that come at the same time no more are tried either.
            if lockouts.count_attempt(request, username).is_beyond:
                request.axes_locked_out = True
                raise PermissionDenied
        user = ModelBackend.authenticate(self, request, username=username, password=password, **kwargs)
        if request is not None and user is not None:
            lockouts.forget_failures(request, user.get_username())
        return user

    def get_user(self, user_id: Any) -> User | None:
        found = User.objects.annotate(
            is_service=in_service_group("pk"), first_factor=second_factor.first_factor_of("pk")
        )
        user = found.filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


def _is_service_user() -> str:
    return _(IS_SERVICE_USER).format(group=SERVICE_GROUP)


class SignInForm(AuthenticationForm):
    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except ValidationError:
            if getattr(self.request, "axes_locked_out", False):
                raise ValidationError(_(lockouts.LOCKED), code="locked") from None
            raise

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(user)
        if is_service_user(user):
            raise ValidationError(_is_service_user(), code="service_user")


class SignInView(LoginView):
    """The form for name and password. What follows, such as the second factor, is allauth's."""

    def form_valid(self, form: Any) -> HttpResponse:
        user, next_url = form.get_user(), self.get_success_url()
        accounts.begin_with_password(self.request, user)
        login = Login(user=user, redirect_url=next_url)
        return perform_password_login(self.request, {"username": user.get_username()}, login)


class AdminSite(UnfoldAdminSite):
    """The admin. The only place that says whom it admits: a member of the staff who is no service user, and whose
    session proved a second factor where one is required of her.

    A person who becomes a service user while she is signed in sees no further page, nor does a session that began
    before its owner added a second factor.
    """

    login_form = SignInForm
    login_template = "sign_in/sign_in.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return self._is_of_staff(request) and second_factor.admits(request)

    def _is_of_staff(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not is_service_user(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET":
            if self.has_permission(request):
                return redirect("admin:index")
            if self._is_of_staff(request):
                return self._to_second_factor(request)
            if is_service_user(request.user):
                messages.error(request, _is_service_user())
        request.current_app = self.name
        index = reverse("admin:index", current_app=self.name)
        context = {
            **self.each_context(request),
            "title": _("Sign in"),
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            "single_sign_on": _single_sign_on(request),
            **({} if _next(request) else {REDIRECT_FIELD_NAME: index}),
            **(extra_context or {}),
        }
        view: Any = SignInView.as_view(
            extra_context=context,
            authentication_form=self.login_form,
            template_name=self.login_template,
            next_page=index,
        )
        return view(request)

    def _to_second_factor(self, request: HttpRequest) -> HttpResponse:
        """A signed-in person whose session proved no second factor proves it, or adds one, and comes back."""
        step, next_url = second_factor.next_step(request), _next(request)
        if step == "mfa_index":
            request.session["after_enrolment"] = next_url
            return redirect(step)
        return redirect(f"{reverse(step)}?{urlencode({'next': next_url or reverse('admin:index')})}")


def _next(request: HttpRequest) -> str:
    return request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""


def _single_sign_on(request: HttpRequest) -> dict[str, str]:
    """The button of the identity provider: its name and address; empty where none is configured."""
    if not settings.OIDC_ISSUER:
        return {}
    address = reverse("openid_connect_login", kwargs={"provider_id": settings.OIDC_PROVIDER_ID})
    wanted = _next(request)
    return {"name": settings.OIDC_NAME, "address": f"{address}?{urlencode({'next': wanted})}" if wanted else address}
