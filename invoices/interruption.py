"""Whether this process is to end: what it works on then stops within seconds, and another process goes on with it.

Only a worker is asked in this way, because its main thread is not the one that works. In a command Ctrl-C and SIGTERM
raise an exception in the thread that works.
"""

import threading

from django.utils.translation import gettext_noop

_asked = threading.Event()


class Interrupted(Exception):
    """This process is to end, so the run stops here."""


def ask() -> None:
    """Asks everything that this process works on to stop. There is no way back: the process ends."""
    _asked.set()


def asked() -> bool:
    """Whether this process is to end: nothing new is to be begun."""
    return _asked.is_set()


def check() -> None:
    """Raises Interrupted if this process is to end."""
    if asked():
        raise Interrupted(gettext_noop("The worker was stopped."))


def pause(seconds: float) -> None:
    """Waits; raises Interrupted as soon as this process is to end."""
    _asked.wait(seconds)
    check()
