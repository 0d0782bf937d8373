"""The brake: while it is on, nothing new is sent to Stripe. Reading goes on, and everyone sees why."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from invoices import clock
from invoices.models import Pause
from invoices.operations.refusals import Invalid, Refusal


class Paused(Exception):
    """Found before a sending: it is not sent now, and not forgotten."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(f"{pause.get_action_display() or 'Every action'} is paused: {pause.reason}")


def standing(action: str | None = None) -> QuerySet[Pause]:
    """The pauses that are on; with an action, those that hold it."""
    pauses = Pause.objects.filter(resumed_at=None).select_related("paused_by").order_by("paused_at")
    return pauses.filter(action__in=["", action]) if action else pauses


def refusal(action: str) -> Refusal | None:
    """Why this action is not taken now, if it is paused."""
    pause = standing(action).first()
    return Refusal("actions_paused", f"{Paused(pause)} Nothing is sent until it is resumed.") if pause else None


def check(action: str) -> None:
    """Raises Paused where the brake is on."""
    if pause := standing(action).first():
        raise Paused(pause)


def pause(action: str, reason: str, by: User | None) -> Pause:
    """Puts the brake on, for one action or (empty) for all. Raises Invalid without a reason, Refusal where it is on."""
    if not reason.strip():
        raise Invalid("reason", "Please say why: everyone who wants to act will read it.")
    try:
        with transaction.atomic():
            return Pause.objects.create(action=action, reason=reason.strip(), paused_by=by, paused_at=clock.now())
    except IntegrityError:
        raise Refusal("actions_paused", "It is paused already.") from None


def resume(action: str, by: User | None) -> int:
    """Takes the brake off that was put on with the same action; how many were on."""
    return Pause.objects.filter(action=action, resumed_at=None).update(resumed_at=clock.now(), resumed_by=by)
