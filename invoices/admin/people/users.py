"""Django's users and groups with the theme, for superusers; who has a second factor, and resetting it."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from invoices import second_factor
from invoices.admin.formatting import badge, moment
from invoices.admin.people import files, permission_words
from invoices.groups import GROUPS
from invoices.models import CHAINED
from invoices.models.immutable import names_people

for model in (User, Group):
    admin.site.unregister(model)
# Where these were changed, nothing stood in the journal: a factor of another person could be added, its secret read.
for model in (Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(model)


MAX_PEOPLE_SHOWN = 500  # on the page of second factors


class FactorFilter(admin.SimpleListFilter):
    title, parameter_name = gettext_lazy("second factor"), "second_factor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("none", pgettext("a second factor", "None")), ("some", _("Has one"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(first_factor__isnull=self.value() == "none") if self.value() else queryset


class ResetForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy(
            "Stays in the journal, with your name. Such as: lost telephone, called back on the known number."
        ),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}),
        error_messages={"required": gettext_lazy("Please say why: it stays in the journal.")},
    )


@admin.register(User)
class UserAdmin(files.ListAsFile, BaseUserAdmin, ModelAdmin):
    shape, relations = files.USERS, ("groups", "user_permissions")
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "second_factor_")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups", FactorFilter)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).annotate(first_factor=second_factor.first_factor_of("pk"))

    @admin.display(description=gettext_lazy("Second factor"))
    def second_factor_(self, user: Any) -> SafeString | str:
        if not user.is_staff:
            return "–"
        return moment(user.first_factor) if user.first_factor else badge(gettext_noop("none"), "amber")

    @second_factor.fresh()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    @second_factor.fresh()
    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().user_change_password(request, *args, **kwargs)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("second-factors/", view(self.second_factors_view), name="auth_user_second_factors"),
            path("<int:pk>/second-factor/", view(self.reset_view), name="auth_user_reset_second_factor"),
            *super().get_urls(),
        ]

    def second_factors_view(self, request: HttpRequest) -> HttpResponse:
        """Who has none, first."""
        if not request.user.has_perm(second_factor.RESET_PERMISSION):
            raise PermissionDenied
        staff = User.objects.filter(is_staff=True, is_active=True).annotate(
            first_factor=second_factor.first_factor_of("pk")
        )
        found = list(staff.order_by("username")[: MAX_PEOPLE_SHOWN + 1])
        shown = sorted(found[:MAX_PEOPLE_SHOWN], key=lambda person: person.first_factor is not None)
        people = [(person, second_factor.may_reset(request.user, person)) for person in shown]  # type: ignore[arg-type]
        context = {"people": people, "more": len(found) > MAX_PEOPLE_SHOWN, "title": _("Second factors")}
        return self._show(request, "admin/people/second_factors.html", context)

    @second_factor.fresh()
    def reset_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET says what will happen, POST does it."""
        person = User.objects.filter(pk=pk).first()
        if person is None:
            raise Http404
        if not second_factor.may_reset(request.user, person):  # type: ignore[arg-type]
            raise PermissionDenied
        form = ResetForm(request.POST if request.method == "POST" else None)
        back = reverse("admin:auth_user_second_factors")
        if request.method == "POST" and form.is_valid():
            second_factor.reset(person, by=request.user, reason=form.cleaned_data["reason"], request=request)
            messages.success(
                request,
                _("{person} adds a new second factor at the next sign-in.").format(person=person.get_username()),
            )
            return redirect(back)
        taken = [_(kind) for kind in second_factor.kinds_of(person)] or [_("nothing: there is none")]
        context = {"person": person, "form": form, "taken": taken, "back": back, "title": _("Reset second factors")}
        return self._show(request, "admin/people/reset_second_factor.html", context)

    def _show(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request),
            # The header links to the list of users, which most of those who reset factors may not see.
            "opts": self.opts if self.has_view_permission(request) else None,
            "required": settings.SECOND_FACTOR_REQUIRED,
        }
        return TemplateResponse(request, template, {**shown, **context})

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return permission_words.named(field) if db_field.name == "user_permissions" else field

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        if not _is_superuser(request):
            fields += ["is_superuser", "groups", "user_permissions"]
        return [*fields, "username"] if obj is not None and _stands_in_the_journal(obj) else fields

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_delete_permission(request, obj) and _may_no_more(obj, request)
        return may and not (obj is not None and _stands_in_the_journal(obj))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Their passwords too: whoever sets that of somebody who may more could sign in as her."""
        return super().has_change_permission(request, obj) and _may_no_more(obj, request)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not _stands_in_the_journal(obj):
            return fieldsets
        (name, options), *others = fieldsets
        why = _("The username stands in the journal, which names people by it: it can no longer be changed.")
        return [(name, {**options, "description": why}), *others]


def _is_superuser(request: HttpRequest) -> bool:
    """Rights are given by superusers alone. Django would let whoever may change users make herself a superuser."""
    return bool(request.user.is_superuser)


def _may_no_more(user: User | None, request: HttpRequest) -> bool:
    if user is None or _is_superuser(request):
        return True
    mine: Any = request.user
    return not user.is_superuser and user.get_all_permissions() <= mine.get_all_permissions()


def _stands_in_the_journal(user: User) -> bool:
    return any(
        model._base_manager.filter(**{who.name: user}).exists()
        for model in CHAINED.values()
        for who in names_people(model)
    )


@admin.register(Group)
class GroupAdmin(files.ListAsFile, BaseGroupAdmin, ModelAdmin):
    """The groups that come with the desk keep their names: `migrate` and the rules about service users go by them."""

    shape, relations = files.GROUPS, ("user_set", "permissions")

    @second_factor.fresh()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        return permission_words.named(super().formfield_for_manytomany(db_field, request, **kwargs))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["name"] if _comes_with_the_desk(obj) else []
        return fields if _is_superuser(request) else [*fields, "permissions"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not _comes_with_the_desk(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's own way to delete several: it would take these groups too."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}


def _comes_with_the_desk(group: Group | None) -> bool:
    return group is not None and group.name in GROUPS
