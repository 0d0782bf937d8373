"""Sees by signals what changes about users, groups, factors and sessions, and writes it to the journal."""

from __future__ import annotations

from typing import Any

from allauth.mfa import signals as factor_signals
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils.translation import gettext_noop

from invoices import second_factor, sign_ins
from invoices.sign_ins import What

# Column of a user → what it is called in the journal. A password is never written, only that it changed.
WATCHED = {
    "username": "user name",
    "email": "e-mail",
    "is_active": "active",
    "is_staff": "staff status",
    "is_superuser": "superuser status",
    "password": "password",
}
# What is recorded, as the pages find it in the catalog to show it in their reader's language.
MADE = (
    gettext_noop("staff status"),
    gettext_noop("superuser status"),
    gettext_noop("staff status, superuser status"),
)
CHANGED = (
    gettext_noop("password changed"),
    gettext_noop("active given"),
    gettext_noop("active taken away"),
    gettext_noop("staff status given"),
    gettext_noop("staff status taken away"),
    gettext_noop("superuser status given"),
    gettext_noop("superuser status taken away"),
    gettext_noop("user name: {old} → {new}"),
    gettext_noop("group {name} given"),
    gettext_noop("group {name} taken away"),
    gettext_noop("groups all taken away"),
    gettext_noop("permission {name} given"),
    gettext_noop("permission {name} taken away"),
    gettext_noop("permissions all taken away"),
    gettext_noop("{group}: permission {name} given"),
    gettext_noop("{group}: permission {name} taken away"),
    gettext_noop("{group}: permission {name} all taken away"),
    gettext_noop("{group}: deleted; its members: {people}"),
)
_BEFORE = "_before_this_save"


def connect() -> None:
    """Called once, when the app is ready."""
    pre_save.connect(_remember, sender=User, dispatch_uid="people_remember")
    post_save.connect(_user_saved, sender=User, dispatch_uid="people_saved")
    post_delete.connect(_user_deleted, sender=User, dispatch_uid="people_deleted")
    for through in (User.groups.through, User.user_permissions.through):
        m2m_changed.connect(_of_user_changed, sender=through, dispatch_uid=f"people_{through.__name__}")
    m2m_changed.connect(_of_group_changed, sender=Group.permissions.through, dispatch_uid="people_permissions")
    pre_delete.connect(_group_deleted, sender=Group, dispatch_uid="people_group_deleted")
    user_logged_in.connect(_signed_in, dispatch_uid="people_signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="people_signed_out")
    factor_signals.authenticator_added.connect(_factor_added, dispatch_uid="people_factor_added")
    factor_signals.authenticator_removed.connect(_factor_removed, dispatch_uid="people_factor_removed")
    factor_signals.authenticator_reset.connect(_codes_made, dispatch_uid="people_codes_made")
    factor_signals.authenticator_used.connect(_factor_used, dispatch_uid="people_factor_used")
    factor_signals.authentication_failed.connect(_factor_failed, dispatch_uid="people_factor_failed")


# --- users and groups -------------------------------------------------------------------------------------------------


def _is_only(update_fields: Any, name: str) -> bool:
    return update_fields is not None and set(update_fields) <= {name}


def _remember(instance: User, raw: bool = False, update_fields: Any = None, **kwargs: Any) -> None:
    if instance.pk is None or raw or _is_only(update_fields, "last_login"):
        return
    setattr(instance, _BEFORE, User.objects.filter(pk=instance.pk).values(*WATCHED).first())


def _user_saved(instance: User, created: bool, raw: bool = False, update_fields: Any = None, **kwargs: Any) -> None:
    if raw or _is_only(update_fields, "last_login"):
        return
    before = instance.__dict__.pop(_BEFORE, None)
    if created:
        states = [name for column, name in WATCHED.items() if column.startswith("is_s") and getattr(instance, column)]
        sign_ins.record(What.USER_MADE, user=instance, detail=", ".join(states))
        return
    changed = [_change(column, (before or {}).get(column), getattr(instance, column)) for column in WATCHED]
    if before is not None and any(changed):
        sign_ins.record(What.USER_CHANGED, user=instance, detail="; ".join(change for change in changed if change))


def _change(column: str, old: Any, new: Any) -> str:
    if old == new:
        return ""
    if column == "password":
        return "password changed"
    if isinstance(new, bool):
        return f"{WATCHED[column]} {'given' if new else 'taken away'}"
    return f"{WATCHED[column]}: {old or 'none'} → {new or 'none'}"


def _user_deleted(instance: User, **kwargs: Any) -> None:
    sign_ins.record(What.USER_DELETED, user=instance)


def _of_user_changed(instance: Any, action: str, model: Any, pk_set: Any, reverse: bool, **kwargs: Any) -> None:
    """Groups or single permissions of a user. From the side of the group (`reverse`) each user has a row."""
    words = {"post_add": "given", "post_remove": "taken away", "pre_clear": "all taken away"}.get(action)
    if words is None or (action != "pre_clear" and not pk_set):
        return
    kind = "permission" if Permission in (model, type(instance)) else "group"
    if reverse:
        people = User.objects.filter(pk__in=pk_set) if pk_set else instance.user_set.all()
        for user in people:
            sign_ins.record(What.USER_CHANGED, user=user, detail=f"{kind} {_names([instance])} {words}")
    else:
        names = _names(model.objects.filter(pk__in=pk_set)) if pk_set else "s"
        sign_ins.record(What.USER_CHANGED, user=instance, detail=f"{kind} {names} {words}".replace(" s ", "s "))


def _of_group_changed(instance: Any, action: str, model: Any, pk_set: Any, reverse: bool, **kwargs: Any) -> None:
    words = {"post_add": "given", "post_remove": "taken away", "pre_clear": "all taken away"}.get(action)
    if words is None or (action != "pre_clear" and not pk_set):
        return
    names = _names(model.objects.filter(pk__in=pk_set)) if pk_set else "all"
    groups, what = (names, _names([instance])) if reverse else (_names([instance]), names)
    sign_ins.record(What.GROUP_CHANGED, detail=f"{groups}: permission {what} {words}")


def _group_deleted(instance: Group, **kwargs: Any) -> None:
    people = ", ".join(sorted(instance.user_set.values_list("username", flat=True)[:100]))
    sign_ins.record(What.GROUP_CHANGED, detail=f"{instance.name}: deleted; its members: {people or 'none'}")


def _names(rows: Any) -> str:
    return ", ".join(sorted(f"“{getattr(row, 'codename', None) or row.name}”" for row in rows))


# --- sessions and second factors --------------------------------------------------------------------------------------


def _signed_in(sender: Any, request: Any, user: User, **kwargs: Any) -> None:
    if request is None or not hasattr(request, "session"):
        return
    second_factor.begin_session(request, user)
    with_factor = second_factor.since(request, user) is not None
    if second_factor.came_from_provider(request, user):
        alone = gettext_noop("through the identity provider")
        how = gettext_noop("through the identity provider and a second factor") if with_factor else alone
    else:
        alone = gettext_noop("with a password")
        how = gettext_noop("with a password and a second factor") if with_factor else alone
    sign_ins.record(What.SIGNED_IN, request=request, user=user, by=user, detail=how)


def _signed_out(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    if user is not None and not getattr(request, "session_ended", ""):
        sign_ins.record(What.SIGNED_OUT, request=request, user=user, by=user)


def _factor_added(sender: Any, request: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        second_factor.confirm(request, user)
    sign_ins.record(What.FACTOR_ADDED, request=request, user=user, detail=_kind(authenticator))


def _factor_removed(sender: Any, request: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    sign_ins.record(What.FACTOR_REMOVED, request=request, user=user, detail=_kind(authenticator))


def _codes_made(sender: Any, request: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    sign_ins.record(What.FACTOR_ADDED, request=request, user=user, detail=gettext_noop("new recovery codes"))


def _factor_used(
    sender: Any, request: Any, user: User, authenticator: Authenticator, reauthenticated: bool = False, **kwargs: Any
) -> None:
    second_factor.confirm(request, user)
    if reauthenticated or authenticator.type == Authenticator.Type.RECOVERY_CODES:
        sign_ins.record(What.FACTOR_CONFIRMED, request=request, user=user, by=user, detail=_kind(authenticator))


def _factor_failed(sender: Any, request: Any, user: User, **kwargs: Any) -> None:
    sign_ins.record(What.FACTOR_FAILED, request=request, user=user, by=user)


def _kind(authenticator: Authenticator) -> str:
    return second_factor.KINDS[authenticator.type]
