"""Ends the demo's processes when the demo itself was killed and could not end them.

It runs as a script in a process of its own, without Django, so that it starts fast and needs little memory. The demo
writes lines to its standard input: `+N` when the process group N has begun, `-N` when it has ended. When the input
ends, the demo is gone: the guard sends SIGTERM to the groups that are left, and SIGKILL after GRACE_SECONDS.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 4.0


def main() -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # only the end of the input counts
        signal.signal(signal_number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    deadline = time.monotonic() + GRACE_SECONDS
    groups = {group for group in groups if send_signal(group, signal.SIGTERM)}
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = {group for group in groups if send_signal(group, 0)}
    for group in groups:
        send_signal(group, signal.SIGKILL)


def send_signal(group: int, signal_number: int) -> bool:
    """Whether the group still had a process to receive it. Signal 0 only asks that."""
    try:
        os.killpg(group, signal_number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
