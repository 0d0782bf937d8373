"""Django's users and groups, shown with the theme. Only superusers see them."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from invoices.groups import GROUPS
from invoices.models import CHAINED
from invoices.models.immutable import names_people

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        return [*fields, "username"] if obj is not None and _stands_in_the_journal(obj) else fields

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return may and not (obj is not None and _stands_in_the_journal(obj))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not _stands_in_the_journal(obj):
            return fieldsets
        (name, options), *others = fieldsets
        why = "The username stands in the journal, which names people by it: it can no longer be changed."
        return [(name, {**options, "description": why}), *others]


def _stands_in_the_journal(user: User) -> bool:
    return any(
        model._base_manager.filter(**{who.name: user}).exists()
        for model in CHAINED.values()
        for who in names_people(model)
    )


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    """The groups that come with the desk keep their names: `migrate` and the rules about service users go by them."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("name",) if _comes_with_the_desk(obj) else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not _comes_with_the_desk(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's own way to delete several: it would take these groups too."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}


def _comes_with_the_desk(group: Group | None) -> bool:
    return group is not None and group.name in GROUPS
