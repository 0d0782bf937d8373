"""The context of one piece of work: an API request, or something that Stripe does by itself."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.store import Database
from sandbox.world import World


@dataclass
class Call:
    """What a route's handler or a timer's handler works with, inside one transaction."""

    db: Database
    world: World
    now: int  # the sandbox's clock, Unix seconds
    params: dict[str, Any] = field(default_factory=dict)  # checked against the route's parameters
    path: str = ""
    id: str = ""  # the first id in the address: "in_1…" of /v1/invoices/in_1…/lines/il_1…
    second_id: str = ""  # the second one: "il_1…"
    request_id: str | None = None  # None: no request caused this, Stripe acts by itself
    key: str | None = None  # the idempotency key of the request
    scheduled: bool = False  # an automatic charge by Stripe, which counts differently in attempt_count

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named parameters that the request sent."""
        return {name: self.params[name] for name in names if name in self.params}

    def without_request(self) -> "Call":
        """The same moment and transaction; its events name no request and no idempotency key."""
        return Call(self.db, self.world, self.now)
