"""Leases: which of several processes does what only one may do. The database's clock decides, and one statement takes.

A lock of the database's would not do: a process that is frozen, or whose host is cut off, keeps its connection and with
it the lock, for hours. A lease ends by itself.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from datetime import timedelta

from django.db.models import Q

from invoices import clock
from invoices.models import Lease


class Claim:
    """One process's claim to the lease of that name. Every method may raise the database's error."""

    def __init__(self, name: str, lasts: timedelta, margin: timedelta) -> None:
        """`lasts`: for so long it is this process's alone, from each renewal. `margin`: by which the process itself
        stops before that, for what it has begun."""
        self.name, self.lasts, self.margin = name, lasts, margin
        self.holder = f"{socket.gethostname()[:100]} {os.getpid()} {secrets.token_hex(8)}"
        self._ours_until = float("-inf")  # `time.monotonic()`, which goes on while the process is frozen

    @property
    def held(self) -> bool:
        """Whether it is still ours, by this process's own knowledge: asks nobody, so ask it before each step."""
        return time.monotonic() < self._ours_until

    def take(self) -> bool:
        """Takes or renews it, if it is free, ours, or further ahead than anyone can have written (the database's clock
        was set back). One statement: a process that is frozen in the middle holds no lock of the database's."""
        asked = time.monotonic()
        now = clock.now()
        row = Lease.objects.filter(name=self.name)
        free = Q(holder=self.holder) | Q(until__lt=now) | Q(until__gt=now + 2 * self.lasts)
        taken = row.filter(free).update(holder=self.holder, until=now + self.lasts)
        if not taken and not row.exists():
            Lease.objects.bulk_create(
                [Lease(name=self.name, holder=self.holder, until=now + self.lasts)], ignore_conflicts=True
            )
            taken = row.filter(holder=self.holder).exists()
        self._ours_until = asked + (self.lasts - self.margin).total_seconds() if taken else float("-inf")
        return self.held

    def forget(self) -> None:
        """Without asking the database: this process takes it as lost, until it takes it again."""
        self._ours_until = float("-inf")

    def give_back(self) -> None:
        """So that another process need not wait until it ends."""
        self.forget()
        Lease.objects.filter(name=self.name, holder=self.holder).update(until=clock.now() - timedelta(seconds=1))
