"""Pauses: while one stands, nothing of its action is sent to Stripe. Reading goes on, and everyone sees why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from invoices import clock, recorded
from invoices.models import Code, Pause
from invoices.operations.actions import ACTIONS, label_of
from invoices.operations.refusals import Invalid, Refusal
from invoices.thresholds import PAUSE_AT_MOST


class Paused(Exception):
    """The action is paused, so it was not sent. If the pause ends within RESEND_WINDOW, settling sends it."""


def standing() -> QuerySet[Pause]:
    """The pauses that stand now, by the database's clock, the oldest first."""
    stands = Q(ends_at=None) | Q(ends_at__gt=clock.now())
    return Pause.objects.filter(stands, resumed_at=None).select_related("paused_by").order_by("paused_at")


def of_action(action: str, pauses: Iterable[Pause] | None = None) -> Pause | None:
    """The pause that holds this action, among the given ones or among those that stand now: its own, that of every
    action, or that of the one with which it is paused."""
    held_by = {"", action, ACTIONS[action].paused_with if action in ACTIONS else ""}
    return next((pause for pause in (standing() if pauses is None else pauses) if pause.action in held_by), None)


def in_words(pause: Pause) -> str:
    """`Void is paused until 2027-03-01 14:00 UTC, by Grace Hopper: an audit.`"""
    sentence = _("{action} is paused, by {person}: {sentence}")
    if pause.ends_at:
        sentence = _("{action} is paused until {time} UTC, by {person}: {sentence}")
    end = "" if pause.reason.rstrip()[-1:] in ".!?…" else "."
    return sentence.format(
        action=what(pause),
        time=f"{pause.ends_at:%Y-%m-%d %H:%M}" if pause.ends_at else "",
        person=by_whom(pause),
        sentence=f"{recorded.shown(pause.reason.rstrip())}{end}",
    )


def by_whom(pause: Pause) -> str:
    """Who paused it."""
    who = pause.paused_by
    return who.get_full_name() or who.get_username() if who else _("the command line")


def ended_by_itself(pause: Pause) -> bool:
    """Whether its time came before anybody resumed it."""
    if pause.ends_at is None:
        return False
    return pause.ends_at <= clock.now() if pause.resumed_at is None else pause.resumed_at >= pause.ends_at


def what(pause: Pause) -> str:
    """What is paused, in words: `Void`; `Pay (and Charge a part)`, with what is paused with it; or every action."""
    if not pause.action:
        return _("Every action")
    action = _(label_of(pause.action))
    others = [_(each.label) for each in ACTIONS.values() if each.paused_with == pause.action]
    return _("{action} (and {others})").format(action=action, others=", ".join(others)) if others else action


def check(action: str) -> None:
    """Raises Paused where the action is paused."""
    if pause := of_action(action):
        raise Paused(in_words(pause))


def begin(action: str, reason: str, by: User | None, ends_at: datetime | None = None) -> Pause:
    """Pauses one action, or all where it is empty, until `ends_at` (aware) or until it is resumed. Raises Invalid
    without a reason or with a wrong time, Refusal where it is paused."""
    if not reason.strip():
        raise Invalid("reason", _("Please say why: everyone who wants to act will read it."))
    now = clock.now()
    if ends_at is not None and ends_at <= now:
        raise Invalid("ends_at", _("This time is over. Give one in the future."))
    if ends_at is not None and ends_at > now + PAUSE_AT_MOST:
        message = _("At most {days} days from now. A longer pause is one that somebody resumes.")
        raise Invalid("ends_at", message.format(days=PAUSE_AT_MOST.days))
    close_ended()
    try:
        with transaction.atomic():
            return Pause.objects.create(
                action=action, reason=reason.strip(), paused_by=by, paused_at=now, ends_at=ends_at
            )
    except IntegrityError:
        raise Refusal(Code.ACTIONS_PAUSED, _("It is paused already. Resume it first to pause it anew.")) from None


def end(action: str, by: User | None) -> int:
    """Ends the pause that was begun with the same action; how many stood."""
    return standing().filter(action=action).update(resumed_at=clock.now(), resumed_by=by)


def close_ended() -> int:
    """Writes the end of those that ended by themselves into the journal; how many. What is sent does not depend on it:
    `standing` asks the clock."""
    ended = list(Pause.objects.filter(resumed_at=None, ends_at__lte=clock.now()))
    return sum(Pause.objects.filter(pk=each.pk, resumed_at=None).update(resumed_at=each.ends_at) for each in ended)
