"""Whether this process is to end: its runs then stop within seconds, and the next run goes on with them.

Only a worker is asked in this way, because its main thread is not the one that runs. In a command Ctrl-C and SIGTERM
raise an exception in the thread that runs.
"""

import threading

_asked = threading.Event()


class Interrupted(Exception):
    """This process is to end, so the run stops here."""


def ask() -> None:
    """Asks every run of this process to stop. There is no way back: the process ends."""
    _asked.set()


def check() -> None:
    """Raises Interrupted if this process is to end."""
    if _asked.is_set():
        raise Interrupted("The worker was stopped.")


def pause(seconds: float) -> None:
    """Waits; raises Interrupted as soon as this process is to end."""
    _asked.wait(seconds)
    check()
