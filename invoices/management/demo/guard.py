"""Ends the demo's processes when the demo itself was killed and could not: run as a script, with its end of a pipe.

Each line on standard input is `+N` or `-N`: the process group N has begun, has ended. When the input ends, whatever
has not ended is asked to, and then made to. A script of its own, without Django, so that it costs next to nothing.
"""

import os
import signal
import sys
import time

GRACE = 4.0  # seconds


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    until = time.monotonic() + GRACE
    groups = {group for group in groups if send(group, signal.SIGTERM)}
    while groups and time.monotonic() < until:
        time.sleep(0.1)
        groups = {group for group in groups if send(group, 0)}
    for group in groups:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Whether anybody was left in the group to receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
