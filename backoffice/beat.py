"""Beat, of which any number may run: the one that holds a lease in the database sends, the others wait to follow it.

What has a time of day is marked in the database after it was sent, so a restart or another beat neither forgets it nor
sends it again. No file is kept. The database's clock decides what is due and who holds the lease; between two looks at
it, and for what recurs every so many seconds, this process's monotonic clock, which nobody sets.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from celery import beat
from celery.schedules import crontab
from django.db import Error as DatabaseError
from django.db import connection

from invoices import clock
from invoices.leases import Claim
from invoices.models import ScheduledRun

log = logging.getLogger(__name__)

LEASE = "beat"
LEASE_LASTS = timedelta(seconds=8)  # another beat takes over so long after the holder was last heard of
MARGIN = timedelta(seconds=3)  # before that, the holder stops sending by itself
RENEWED_EVERY = 2.0  # seconds
PAUSE = 1.0  # seconds between two looks of a beat that waits, and the longest sleep of the one that sends
CLOCK_STEP = timedelta(hours=1)  # a mark further ahead of the database's clock than this is of a clock that was wrong
REST = 4.0  # seconds for which a beat that does not reach the broker leaves the lease to the others


class Scheduler(beat.Scheduler):
    """Celery asks `tick` again and again, each time after the seconds that it returned."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._claim = Claim(LEASE, LEASE_LASTS, MARGIN)
        self._look_at = 0.0  # when it looks into the database again; this and the next are of `time.monotonic()`
        self._sent_at: dict[str, float] = {}  # name → when it was sent, of what recurs every so many seconds
        self._marks: dict[str, datetime] = {}  # name → ScheduledRun.sent_at, of what has a time of day
        self._now = clock.now
        self._ticking = False
        super().__init__(*arguments, **options)

    def tick(self, *arguments: Any, **options: Any) -> float:
        self._ticking = True
        try:
            return self._send_due() if self._leads() else PAUSE
        except DatabaseError as error:
            log.warning("The database does not answer (%s): this beat sends nothing.", type(error).__name__)
            self._claim.forget()
            return PAUSE
        finally:
            with suppress(DatabaseError):
                connection.close()
            self._ticking = False

    def _leads(self) -> bool:
        """Whether this is the beat that sends."""
        led = self._claim.held
        if time.monotonic() < self._look_at:
            return led
        self._look_at = time.monotonic() + (RENEWED_EVERY if led else 0)
        if not self._claim.take():
            if led:
                log.warning("Another beat sends: this one waits.")
            return False
        if not led:
            log.warning("This beat sends from now on.")
        read_at, moment = time.monotonic(), clock.now()
        if not led or max(self._marks.values(), default=moment) > moment + CLOCK_STEP:
            self._read_marks(moment)  # another one may have sent meanwhile
        self._now = lambda: moment + timedelta(seconds=time.monotonic() - read_at)
        return True

    def _read_marks(self, now: datetime) -> None:
        """When each task that has a time of day was sent last. One that was never sent waits for its next moment, and
        so does one whose mark was made while the database's clock was far ahead."""
        names = [name for name, entry in self.schedule.items() if isinstance(entry.schedule, crontab)]
        ScheduledRun.objects.bulk_create(
            [ScheduledRun(name=name, sent_at=now) for name in names], ignore_conflicts=True
        )
        ScheduledRun.objects.filter(name__in=names, sent_at__gt=now + CLOCK_STEP).update(sent_at=now)
        self._marks = dict(ScheduledRun.objects.filter(name__in=names).values_list("name", "sent_at"))

    def _send_due(self) -> float:
        """Sends what is due. The seconds until the next look."""
        waits = [PAUSE]
        for name, entry in self.schedule.items():
            if self._wait_of(name, entry) <= 0 and not self._send(name, entry):
                return 0.0 if self._look_at == 0 else PAUSE
            waits.append(self._wait_of(name, entry))
        return max(min(waits), 0.0)

    def _wait_of(self, name: str, entry: Any) -> float:
        """Seconds until the task is due."""
        if not isinstance(entry.schedule, crontab):
            sent_at = self._sent_at.get(name, float("-inf"))
            return sent_at + entry.schedule.run_every.total_seconds() - time.monotonic()
        entry.schedule.nowfun = self._now
        due, seconds = entry.schedule.is_due(self._marks[name])
        return 0.0 if due else seconds

    def _send(self, name: str, entry: Any) -> bool:
        """Whether it was sent. Where the broker does not answer, the lease is left to the others: their way to it may
        be open."""
        sent_at, moment = time.monotonic(), self._now()
        try:
            self._ensure_connected()
            if not self._claim.held:  # connecting took too long, or this process was frozen: look again first
                self._look_at = 0.0
                return False
            self.apply_async(entry, producer=self.producer, advance=False)
        except Exception as error:
            log.warning("The broker did not take %s: %s", name, error)
            self._disconnect()
            self._claim.give_back()
            self._look_at = time.monotonic() + REST
            return False
        if isinstance(entry.schedule, crontab):
            ScheduledRun.objects.filter(name=name, sent_at=self._marks[name]).update(sent_at=moment)
            self._marks[name] = moment
        else:
            self._sent_at[name] = sent_at
        return True

    def _ensure_connected(self) -> Any:
        """Celery's own tries a hundred times."""
        return self.connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)

    def _disconnect(self) -> None:
        self.__dict__.pop("producer", None)
        broken = self.__dict__.pop("connection", None)
        if broken is not None:
            with suppress(Exception):
                broken.release()

    def close(self) -> None:
        """Celery calls it in the handler of SIGTERM, perhaps in the middle of a query of `tick`, and once more when
        that has ended. The lease is given back, so that another beat follows at once."""
        if self._ticking:
            return
        with suppress(DatabaseError):
            self._claim.give_back()
            connection.close()
        super().close()
