"""One request, or one thing that Stripe does by itself: what its code may see and touch."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.store import Db

if TYPE_CHECKING:
    from sandbox.world import World


@dataclass
class Call:
    db: Db
    world: "World"
    now: int
    params: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    id: str = ""  # the id in the address, where there is one
    second_id: str = ""
    request_id: str | None = None  # None: Stripe acts later, by itself
    key: str | None = None
    scheduled: bool = False  # an attempt of Stripe's own to charge

    def given(self, *names: str) -> dict[str, Any]:
        return {name: self.params[name] for name in names if name in self.params}

    def later(self) -> "Call":
        return Call(self.db, self.world, self.now)
