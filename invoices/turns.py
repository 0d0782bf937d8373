"""What a thread gives up while it waits for others: its request's turn, and its connection to the database.

While an API request has a turn, it computes, and others with the same token wait for theirs. The web server gives the
turns (backoffice/fairness.py). What waits for Stripe or for a change gives its turn up first: a Stripe that hangs must
not keep the token's reads of the mirror waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from django.db import connection

# How the request of this context gives its turn up; None outside of one. It may be called in any thread, and again.
giving_up: ContextVar[Callable[[], None] | None] = ContextVar("giving_up", default=None)


def give_up() -> None:
    """From now on this thread waits: for Stripe, for a service, for somebody else's work. A request without a turn goes
    on computing. On PostgreSQL the connection goes back to the pool, and the next query takes one from there."""
    if how := giving_up.get():
        how()
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()
