"""Misbehaviour on demand, decided by dice that a seed makes repeatable."""

import fnmatch
import random
import threading
from dataclasses import dataclass, field
from typing import Any

REPLIES = ("error_429", "error_500", "error_500_after", "drop_reply")
PROBABILITIES = ("drop", "duplicate", "reorder", *REPLIES)
RANGES = ("delay_ms", "latency_ms")
OVERTAKEN = 0.4  # seconds for which a reordered delivery is held, at most: long enough for others to pass
LONGEST = 600_000


class Mistake(ValueError):
    """A sentence for whoever set the fault."""


@dataclass
class Delivery:
    dropped: bool = False
    delays: list[float] = field(default_factory=lambda: [0.0])


@dataclass
class Reply:
    rate_limited: bool = False
    broken_before: bool = False
    broken_after: bool = False
    cut: bool = False
    latency: float = 0.0


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set({})

    def set(self, given: Any) -> dict[str, Any]:
        settings = checked(given)
        with self._lock:
            self.settings = settings
            seed = settings.get("seed", 0)
            self._random = random.Random(f"{seed} replies")
            self._deliveries = random.Random(f"{seed} deliveries")  # of their own: events come when they come
        return settings

    def _hit(self, dice: random.Random, name: str) -> bool:
        """Thrown whether or not the fault is set, so that one fault does not shift the others' dice."""
        return dice.random() < self.settings.get(name, 0)

    def _between(self, dice: random.Random, name: str) -> float:
        least, most = self.settings.get(name, [0, 0])
        return dice.uniform(least, most) / 1000

    def delivery(self, type: str) -> Delivery:
        if not self.settings or not self._applies("EVENT", type):
            return Delivery()
        with self._lock:
            dice = self._deliveries
            dropped, twice, held = (self._hit(dice, name) for name in ("drop", "duplicate", "reorder"))
            delays = [self._between(dice, "delay_ms"), self._between(dice, "delay_ms")]
            delays[0] += dice.uniform(0.1, OVERTAKEN) * held
            return Delivery(dropped, delays if twice and not dropped else delays[:1])

    def reply(self, method: str, path: str) -> Reply:
        if not self.settings or not self._applies(method, path):
            return Reply()
        with self._lock:
            limited, before, after, cut = (self._hit(self._random, name) for name in REPLIES)
            return Reply(limited, before, after, cut, self._between(self._random, "latency_ms"))

    def lag(self, type: str) -> int:
        most = self.settings.get("stamp_lag", 0)
        if not most or not self._applies("EVENT", type):
            return 0
        with self._lock:
            return self._deliveries.randint(0, most)

    def _applies(self, method: str, name: str) -> bool:
        """Patterns of requests narrow the replies, patterns of events the deliveries; neither touches the other."""
        patterns = [one for one in self.settings.get("only", []) if one.startswith("EVENT ") == (method == "EVENT")]
        return not patterns or any(matches(pattern, method, name) for pattern in patterns)


def matches(pattern: str, method: str, name: str) -> bool:
    wanted, _, rest = pattern.rpartition(" ")
    if wanted and wanted != method:
        return False
    if method == "EVENT":
        return fnmatch.fnmatchcase(name, rest)
    given, asked = name.strip("/").split("/"), rest.strip("/").split("/")
    return len(given) == len(asked) and all(b in ("*", a) for a, b in zip(given, asked, strict=True))


def checked(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Mistake('Faults are a JSON object, for example {"drop": 0.5, "seed": 1}.')
    for name, value in given.items():
        problem = problem_with(name, value)
        if problem:
            raise Mistake(problem)
    settings = {name: value for name, value in given.items() if value is not None}
    for name in RANGES:
        if isinstance(settings.get(name), int | float):
            settings[name] = [settings[name], settings[name]]
    return settings


def is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def problem_with(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if name in PROBABILITIES:
        return None if is_number(value, 1) else f"{name} is a probability from 0 to 1."
    if name in RANGES:
        pair = value if isinstance(value, list) else [value, value]
        good = len(pair) == 2 and all(is_number(one, LONGEST) for one in pair) and pair[0] <= pair[1]
        return None if good else f"{name} is [least, most] in milliseconds, at most {LONGEST}."
    if name in ("stamp_lag", "seed"):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if good else f"{name} is a whole number, 0 or more."
    if name == "only":
        good = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
        return None if good else 'only is a list of patterns such as "POST /v1/invoices/*/pay" or "EVENT invoice.paid".'
    known = ", ".join([*PROBABILITIES, *RANGES, "stamp_lag", "only", "seed"])
    return f"There is no fault named {name}. Known are: {known}."
