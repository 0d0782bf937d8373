"""Who asks: people and service users. Who may not decide on a request, because she asked for it, or may have."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from invoices.models import ApiToken, Batch, Code, Operation
from invoices.operations.refusals import Refusal

PERMISSION = "invoices.approve_operation"
SERVICE_GROUP = "Service"  # its members are the service users: tokens act for them, and they cannot sign in


def in_service_group(user: str) -> Exists:
    """For `annotate`: whether the user whose id is in this column is a service user."""
    return Exists(Group.objects.filter(name=SERVICE_GROUP, user=OuterRef(user)))


def is_service_user(user: Any) -> bool:
    """Whether it stands for a program, which acts through API tokens alone."""
    known: bool | None = getattr(user, "is_service", None)  # read with the user of a session: backoffice/sign_in.py
    if known is None:
        return user is not None and user.groups.filter(name=SERVICE_GROUP).exists()
    return known


def decision_refusal(record: Operation | Batch, person: User, token: ApiToken | None = None) -> Refusal | None:
    """Why this person may not approve or reject this request; None if she may. Every decision asks it.

    `token`: with which she says so. Whoever made it may hold it still, and so decides too: neither its user nor its
    maker may have asked, and both must be allowed to decide. One that is revoked may have been in foreign hands.

    A second person is one who cannot have asked. These count as having asked: the actor; whoever made the API token
    with which it was asked; whoever may make tokens for service users, where the token acts for one; and whoever may
    make tokens at all, where nobody knows who made it. On the command line `--as` proves nothing about who typed it,
    and the desk cannot know who has an account on that machine. So the actor counts, and a person of the same name as
    the operating system's user; the page shows that user to everybody else who decides. Of a token that was made on the
    command line, such a person counts as its maker.
    """
    reason = _reason(record, person)
    if not reason and token is not None:
        reason = _deciding_token_reason(record, person, token)
    return Refusal(Code.PERMISSION_DENIED, reason) if reason else None


def _reason(record: Operation | Batch, person: User) -> str:
    if not person.is_active or not person.has_perm(PERMISSION):
        return _("You may not decide on requests. A billing manager decides.")
    if record.actor_id == person.pk:
        return _("Somebody else must decide on your own request.")
    return _shell_reason(record, person) or _token_reason(record, person)


def _deciding_token_reason(record: Operation | Batch, person: User, token: ApiToken) -> str:
    if token.revoked_at is not None:
        message = _("The API token “{token}” was revoked, and what was decided with it no longer counts.")
        return message.format(token=token.name)
    if any(_has_name_of(token.shell_user, asker) for asker in _askers(record)):
        return _(
            "{shell_user} made the API token “{token}” on the command line, and has the name of the one who asked. "
            "Somebody else must decide."
        ).format(shell_user=token.shell_user, token=token.name)
    return _maker_reason(record, token) if token.created_by_id != person.pk else ""


def _askers(record: Operation | Batch) -> list[User]:
    """The actor, and whoever made the token with which it was asked."""
    token = record.token
    return [person for person in (record.actor, token and token.created_by) if person is not None]


def _maker_reason(record: Operation | Batch, token: ApiToken) -> str:
    """Why a token that somebody else made for its user, such as one of a service user, may not decide."""
    maker = token.created_by
    if maker is None:
        message = _("Nobody knows who made the API token “{token}”, so it cannot decide. Make a new one.")
        return message.format(token=token.name)
    if reason := _reason(record, maker):
        return _(
            "{person} made the API token “{token}”, may hold it still, and may not decide on this request: "
            "“{sentence}” Somebody else must decide."
        ).format(person=maker, token=token.name, sentence=reason)
    return ""


def _shell_reason(record: Operation | Batch, person: User) -> str:
    """Empty where the request was not a command. No batch is."""
    if isinstance(record, Operation) and _has_name_of(record.shell_user, person):
        return _(
            "It was asked on the command line by {shell_user}. That user has your name, so you count as the one who "
            "asked. Somebody else must decide."
        ).format(shell_user=record.shell_user)
    return ""


def _has_name_of(shell_user: str, person: User) -> bool:
    """`shell_user` is `name@host`, or `name@host (sudo by name)`."""
    written, name = shell_user.casefold(), person.get_username().casefold()
    return written.startswith(f"{name}@") or written.endswith(f"(sudo by {name})")


def _token_reason(record: Operation | Batch, person: User) -> str:
    if record.source != Operation.Source.API:
        return ""
    token = record.token
    if token is None or token.created_by_id is None:
        if not person.has_perm(ApiToken.ADD_OWN) and not person.has_perm(ApiToken.ADD_FOR_SERVICE):
            return ""
        asked = _("It was asked with an API token, and nobody knows who made that token.")
        if token:
            asked = _("It was asked with the API token “{token}”, and nobody knows who made that token.")
            asked = asked.format(token=token.name)
        counts = _(
            "You may make tokens, so you count as the one who asked. Somebody who may not make tokens must decide; or "
            "revoke the token, make a new one, and ask again with that."
        )
        return f"{asked} {counts}"
    if token.created_by_id == person.pk:
        message = _("It was asked with the API token “{token}”, which you made. Somebody else must decide.")
        return message.format(token=token.name)
    if _has_name_of(token.shell_user, person):
        return _(
            "It was asked with the API token “{token}”, which {shell_user} made on the command line. That user has "
            "your name, so you count as the one who asked. Somebody else must decide."
        ).format(token=token.name, shell_user=token.shell_user)
    if token.user_id != token.created_by_id and person.has_perm(ApiToken.ADD_FOR_SERVICE):
        asked = _("It was asked with the API token “{token}”, which acts for the service user “{person}”.")
        counts = _(
            "You may make tokens for service users, so you count as the one who asked. Somebody who may not must "
            "decide."
        )
        if person.is_superuser:
            counts = _(
                "As a superuser you may make tokens for service users, so you count as the one who asked. Somebody who "
                "may not must decide."
            )
        return f"{asked.format(token=token.name, person=token.user)} {counts}"
    return ""
