"""Pauses: while one stands, nothing of its action is sent to Stripe. Reading goes on, and everyone sees why."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from invoices import clock
from invoices.models import Code, Pause
from invoices.operations.actions import label_of
from invoices.operations.refusals import Invalid, Refusal


class Paused(Exception):
    """The action is paused, so it was not sent. If the pause ends within RESEND_WINDOW, settling sends it."""


def standing() -> QuerySet[Pause]:
    """The pauses that stand now, the oldest first."""
    return Pause.objects.filter(resumed_at=None).select_related("paused_by").order_by("paused_at")


def of_action(action: str, pauses: Iterable[Pause] | None = None) -> Pause | None:
    """The pause that holds this action, among the given ones or among those that stand now."""
    return next((pause for pause in (standing() if pauses is None else pauses) if pause.action in ("", action)), None)


def in_words(pause: Pause) -> str:
    """`Void is paused: an audit`"""
    return f"{what(pause)} is paused: {pause.reason}"


def what(pause: Pause) -> str:
    """The label of what is paused."""
    return label_of(pause.action) if pause.action else "Every action"


def check(action: str) -> None:
    """Raises Paused where the action is paused."""
    if pause := of_action(action):
        raise Paused(in_words(pause))


def begin(action: str, reason: str, by: User | None) -> Pause:
    """Pauses one action, or all where it is empty. Raises Invalid without a reason, Refusal where it is paused."""
    if not reason.strip():
        raise Invalid("reason", "Please say why: everyone who wants to act will read it.")
    try:
        with transaction.atomic():
            return Pause.objects.create(action=action, reason=reason.strip(), paused_by=by, paused_at=clock.now())
    except IntegrityError:
        raise Refusal(Code.ACTIONS_PAUSED, "It is paused already.") from None


def end(action: str, by: User | None) -> int:
    """Ends the pause that was begun with the same action; how many stood."""
    return Pause.objects.filter(action=action, resumed_at=None).update(resumed_at=clock.now(), resumed_by=by)
