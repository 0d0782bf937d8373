"""What the commands `pause`, `resume` and `pauses` share: their argument, and the list of what is paused."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from django.core.management.base import CommandParser

from invoices import clock
from invoices.operations import ACTIONS, pauses


def add_action_and_user(parser: CommandParser) -> None:
    parser.add_argument(
        "action", nargs="?", default="", choices=["", *ACTIONS], metavar="ACTION", help="default: every action"
    )
    parser.add_argument("--as", dest="user", metavar="USER", help="who does it; stands in the journal")


def moment(written: str) -> datetime:
    """`90m`, `4h` and `2d` from now; or a date and time in ISO 8601, in UTC unless it names an offset. Raises
    ArgumentTypeError."""
    if found := re.fullmatch(r"([1-9]\d{0,3})([mhd])", written, re.ASCII):
        unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
        return clock.now() + timedelta(**{unit: int(found[1])})
    try:
        when = datetime.fromisoformat(written)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"“{written}” is no time: write 4h, 2d or 2027-03-01T14:00.") from None


def pauses_in_words() -> str:
    """One line for each pause that stands: the action, until when (UTC), by whom, the reason, since when."""
    lines = [f"{pauses.in_words(pause)} Since {pause.paused_at:%Y-%m-%d %H:%M} UTC." for pause in pauses.standing()]
    return "\n".join(lines) or "Every action runs."
