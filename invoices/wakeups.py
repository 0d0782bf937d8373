"""Wake-ups: tells the workers through Celery that there is work, without delaying the request that found it."""

from __future__ import annotations

import logging
import os
import threading

from celery import current_app

from invoices.sight import context

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1  # between two rounds of messages: of a task that is wanted several times in it, one is sent


class _Sender(threading.Thread):
    """Sends the messages in a thread of its own, so that a slow or dead broker delays no request.

    `wake` is called after the row was committed, so a worker that gets the message sees the row. If a dead broker loses
    a message, the work waits for the next wake-up or for beat's next run of the task (CELERY_BEAT_SCHEDULE in the
    settings).
    """

    def __init__(self) -> None:
        super().__init__(daemon=True, name="wakeups")
        self.pid = os.getpid()  # a forked process has this object, but not its thread
        self.wanted: dict[str, str] = {}  # name of a task → id of the last request that wants it, for the log
        self.condition = threading.Condition()
        self.start()

    def want(self, task: str) -> None:
        with self.condition:
            self.wanted[task] = str(context.current().get("request_id", ""))
            self.condition.notify()

    def run(self) -> None:
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.wanted)
                tasks, self.wanted = self.wanted, {}
            for task, woken_by in tasks.items():
                try:
                    current_app.send_task(f"invoices.tasks.{task}", expires=60, headers={"woken_by": woken_by})
                except Exception as error:
                    log.warning("No wake-up for %s: %s. Beat's next run of the task finds the work.", task, error)
            threading.Event().wait(PAUSE_SECONDS)


_sender: _Sender | None = None
_starting = threading.Lock()


def wake(task: str) -> None:
    """Has the workers run this task of `invoices.tasks` soon. Call it after the commit. Never waits, never raises."""
    global _sender  # noqa: PLW0603  one thread a process, started at first use, and again after a fork
    with _starting:
        if _sender is None or _sender.pid != os.getpid():
            _sender = _Sender()
    _sender.want(task)
