"""Who signs in to the admin: people of the staff. Service users act through API tokens alone."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from invoices.operations.requesters import SERVICE_GROUP, in_service_group, is_service_user

IS_SERVICE_USER = (
    f"This is a service user (a member of the group “{SERVICE_GROUP}”). It acts through API tokens and cannot sign in. "
    "Sign in with a user of your own."
)


class Backend(ModelBackend):
    """Django's own. It reads together with the user of a session whether this is a service user, so that no page needs
    a query more."""

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.annotate(is_service=in_service_group("pk")).filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SignInForm(AuthenticationForm):
    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(user)
        if is_service_user(user):
            raise ValidationError(IS_SERVICE_USER, code="service_user")


class AdminSite(UnfoldAdminSite):
    """The admin. A person who becomes a service user while she is signed in sees no further page."""

    login_form = SignInForm

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not is_service_user(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET" and is_service_user(request.user):
            messages.error(request, IS_SERVICE_USER)
        return super().login(request, extra_context)
