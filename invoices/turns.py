"""The turn of an API request: while it has one, it computes, and others with the same token wait for theirs.

The web server gives the turns (backoffice/fairness.py). What waits for Stripe or for a change gives its turn up first:
a Stripe that hangs must not keep the token's reads of the mirror waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

# How the request of this context gives its turn up; None outside of one. It may be called in any thread, and again.
giving_up: ContextVar[Callable[[], None] | None] = ContextVar("giving_up", default=None)


def give_up() -> None:
    """From now on this request mostly waits."""
    if how := giving_up.get():
        how()
