"""The process that dies. It waits for cases, forks for each, and the fork kills itself at the point that the case
names.

The points are installed here, around the project's own functions: production code knows nothing of them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, nth: int = 1, kill: Callable[[], None] = die) -> None:
    """Dies when the n-th call begins."""
    whole, count = getattr(owner, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        if count[0] == nth:
            kill()
        return whole(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, nth: int = 1, only: Callable[[Any], bool] = lambda result: True) -> None:
    """Dies when the n-th call has returned or raised."""
    whole, count = getattr(owner, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = None
        try:
            result = whole(*args, **kwargs)
            return result
        finally:
            if only(result):
                count[0] += 1
                if count[0] == nth:
                    die()

    setattr(owner, name, wrapped)


def install(point: str) -> None:
    """Arranges for this process to die at the point."""
    from invoices import gateway

    # By name: the package's own `request` and `perform` are functions.
    claims, perform, request, settle = (
        importlib.import_module(f"invoices.operations.{name}") for name in ("claims", "perform", "request", "settle")
    )
    name, _, number = point.partition(" ")
    nth = int(number or 1)
    match name:
        case "requested":
            before(request, "perform")
        case "claimed":
            after(perform, "take")
            after(settle, "take")
        case "read":
            after(gateway, "retrieve")
        case "stored":
            before(gateway, "act", nth)
        case "answered":
            after(gateway, "act", nth)
        case "noted":  # the first of two answers is written down
            after(perform, "answered", only=bool)
        case "finishing":  # the outcome is written, and its transaction is not committed
            after(claims.Claim, "release")
        case "finished":
            after(claims.Claim, "finish")
            after(perform, "unknown")
        case "at":  # some moment, in milliseconds from here
            signal.setitimer(signal.ITIMER_REAL, nth / 1000)  # its default action ends the process on the spot
        case "":
            pass
        case _:
            raise ValueError(point)


def play(case: dict[str, Any]) -> None:
    """Performs one operation, or settles all that are due."""
    from django.conf import settings
    from django.contrib.auth.models import User

    from invoices import clock, operations

    settings.STRIPE_API_BASE = case["stripe"]
    settings.STRIPE_TIMEOUT_SECONDS = case["timeout"]
    install(case["point"])
    if case.get("later"):
        now, later = clock.now, timedelta(seconds=case["later"])
        clock.now = lambda: now() + later
    if case["what"] == "settle":
        operations.settle_due()
    else:
        actor = User.objects.get(username=case["actor"])
        operations.execute(actor=actor, source="admin", reason="a crash is coming", **case["asked"])


def warm_up() -> None:
    """Loads what every case needs, so that a fork need not; opens no connection that it would inherit."""
    from invoices import gateway, operations, sync  # noqa: F401

    client = gateway._client("sk_test_nobody", "http://127.0.0.1:9", 0.1)
    with contextlib.suppress(Exception):
        client.raw_request("get", "/v1/invoices")
    gc.collect()
    gc.freeze()


def main() -> None:
    import django

    django.setup()
    warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                play(json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(70)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print("killed" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
