"""The process that dies, or is stopped. It waits for cases, forks for each, and the fork sends itself the signal at the
point that the case names.

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
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any


class Ambush:
    """Sends this process a signal: SIGKILL ends it, SIGSTOP stops it until SIGCONT."""

    def __init__(self, number: int) -> None:
        self.number = number

    def strike(self) -> None:
        """Sent to this thread: of a signal to the process another thread could take notice, and this one run on."""
        signal.pthread_kill(threading.get_ident(), self.number)

    def before(self, owner: Any, name: str, nth: int = 1) -> None:
        """Strikes when the n-th call begins."""
        original, count = getattr(owner, name), [0]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == nth:
                self.strike()
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    def after(self, owner: Any, name: str, nth: int = 1, only: Callable[[Any], bool] = lambda result: True) -> None:
        """Strikes when the n-th call has returned or raised."""
        original, count = getattr(owner, name), [0]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = None
            try:
                result = original(*args, **kwargs)
                return result
            finally:
                if only(result):
                    count[0] += 1
                    if count[0] == nth:
                        self.strike()

        setattr(owner, name, wrapped)


def install(point: str, ambush: Ambush, *, settles: bool) -> None:
    """Arranges for this process to be struck at the point."""
    from invoices import gateway

    # By name: the package's own `request` and `perform` are functions.
    batch, claims, decisions, gate, perform, request, settle = (
        importlib.import_module(f"invoices.operations.{name}")
        for name in ("batch", "claims", "decisions", "gate", "perform", "request", "settle")
    )
    name, _, number = point.partition(" ")
    nth = int(number or 1)
    match name:
        case "judged":
            ambush.before(batch, "start")
        case "made":
            ambush.before(batch, "wake")
        case "looked":
            ambush.after(decisions, "refetch")
        case "requested":
            ambush.before(request, "perform")
            ambush.before(decisions, "perform")
        case "claimed":
            ambush.after(perform, "take")
            ambush.after(settle, "take")
        case "read":
            if settles:
                ambush.after(gateway, "retrieve")
            else:
                ambush.after(gate, "_look")
        case "stored":
            ambush.before(gateway, "act", nth)
        case "answered":
            ambush.after(gateway, "act", nth)
        case "noted":  # the first of two answers is written down
            ambush.after(perform, "mark_answered", only=bool)
        case "finishing":  # the outcome is written, and its transaction is not committed
            ambush.after(claims.Claim, "release")
        case "finished":
            ambush.after(claims.Claim, "finish")
            ambush.after(perform, "mark_unknown")
        case "at":  # some moment, in milliseconds from here
            signal.setitimer(signal.ITIMER_REAL, nth / 1000)  # its default action ends the process on the spot
        case "":
            pass
        case _:
            raise ValueError(point)


def play(case: dict[str, Any]) -> None:
    """Asks for one operation or a batch, approves it, goes on with all batches, or settles all that are due."""
    from django.conf import settings
    from django.contrib.auth.models import User

    from invoices import clock, operations
    from invoices.models import ApiToken

    settings.STRIPE_API_BASE = case["stripe"]
    settings.STRIPE_TIMEOUT_SECONDS = case["timeout"]
    settings.APPROVAL_THRESHOLDS = case["thresholds"]
    install(
        case["point"], Ambush(signal.SIGSTOP if case["goes_on"] else signal.SIGKILL), settles=case["what"] == "settle"
    )
    if case.get("clock_offset_seconds"):
        now, offset = clock.now, timedelta(seconds=case["clock_offset_seconds"])
        clock.now = lambda: now() + offset
    match case["what"]:
        case "settle":
            operations.settle_due()
        case "batch":
            operations.batch.THREADS = 1  # one invoice after the other: the point is reached with the first
            operations.batch.run_due()
        case "make batch":
            actor, token = User.objects.get(username=case["actor"]), ApiToken.objects.get(pk=case["token"])
            operations.batch_by_token.start(actor=actor, token=token, reason="a crash is coming", **case["asked"])
            operations.batch.THREADS = 1
            operations.batch.run_due()
        case "approve":
            with contextlib.suppress(operations.Refusal):  # asked again, it may be approved already
                operations.decisions.approve(case["operation"], approver=User.objects.get(username=case["actor"]))
        case "execute":
            actor = User.objects.get(username=case["actor"])
            token = ApiToken.objects.get(pk=case["token"])
            operations.execute(actor=actor, token=token, reason="a crash is coming", **case["asked"])


def warm_up() -> None:
    """Loads what every case needs, so that a fork need not; opens no connection that it would inherit."""
    from invoices import gateway, operations, sync  # noqa: F401

    client = gateway._client.get("sk_test_nobody", "http://127.0.0.1:9", 0.1)
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
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            print("stopped", flush=True)
            sys.stdin.readline()  # the word that it may go on
            os.kill(pid, signal.SIGCONT)
            _, status = os.waitpid(pid, 0)
        print("killed" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
