"""What the commands `pause`, `resume` and `pauses` share: their argument, and the list of what is paused."""

from django.core.management.base import CommandParser

from invoices.operations import ACTIONS, pauses


def add_action_and_user(parser: CommandParser) -> None:
    parser.add_argument(
        "action", nargs="?", default="", choices=["", *ACTIONS], metavar="ACTION", help="default: every action"
    )
    parser.add_argument("--as", dest="user", metavar="USER", help="who does it; stands in the journal")


def pauses_in_words() -> str:
    """One line for each pause that is on: the action, the reason, since when (UTC), by whom."""
    lines = []
    for pause in pauses.standing():
        by = f" by {pause.paused_by}" if pause.paused_by else ""
        lines.append(f"{pauses.in_words(pause)}, since {pause.paused_at:%Y-%m-%d %H:%M} UTC{by}.")
    return "\n".join(lines) or "Every action runs."
