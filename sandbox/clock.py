"""The sandbox's clock, in Unix seconds: the real time until POST /_sandbox/clock moves it.

Signatures and the pauses between deliveries use the real time instead.
"""

import time
from typing import Any


class Clock:
    def __init__(self) -> None:
        self.offset = 0.0  # seconds ahead of the real time
        self.frozen_at: int | None = None

    def now(self) -> int:
        return self.frozen_at if self.frozen_at is not None else int(time.time() + self.offset)

    def set(self, moment: int, frozen: bool = False) -> None:
        self.offset = moment - time.time()
        self.frozen_at = moment if frozen else None

    def reset(self) -> None:
        self.offset, self.frozen_at = 0.0, None

    def state(self) -> dict[str, Any]:
        return {"offset": self.offset, "frozen_at": self.frozen_at}

    def restore(self, state: dict[str, Any] | None) -> None:
        self.offset = (state or {}).get("offset", 0.0)
        self.frozen_at = (state or {}).get("frozen_at")
