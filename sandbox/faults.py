"""Faults: misbehaviour on demand. Random numbers decide, and a seed makes them repeatable.

What each fault does stands in docs/sandbox.md. A plan says what happens to one reply or to one delivery.
"""

import fnmatch
import random
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

REPLY_FAULTS = ("error_429", "error_500", "error_500_after", "drop_reply")
WIRE_FAULTS = ("proxy_page", "proxy_page_after", "garbled")  # of what stands between us and the client
PROBABILITIES = ("drop", "duplicate", "reorder", *REPLY_FAULTS, *WIRE_FAULTS)
DEFAULT_PROXY_STATUS = 403
MILLISECOND_RANGES = ("delay_ms", "latency_ms")
MAX_REORDER_SECONDS = 0.4  # a reordered delivery is held at most so long: other deliveries overtake it
MAX_MILLISECONDS = 600_000  # of delay_ms and latency_ms


class ControlError(ValueError):
    """A wrong request to /_sandbox/. Its message is the text of the 400."""


@dataclass
class DeliveryPlan:
    dropped: bool = False
    delay_seconds: list[float] = field(default_factory=lambda: [0.0])  # one number per delivery: two if duplicated


@dataclass
class ReplyPlan:
    rate_limited: bool = False  # error_429
    fails_before_effect: bool = False  # error_500: nothing is applied
    fails_after_effect: bool = False  # error_500_after: everything is applied
    cut_connection: bool = False  # drop_reply
    proxy_page: int = 0  # the status of a proxy's page instead of a reply; nothing reaches us
    proxy_page_after: int = 0  # the same, and everything is applied
    garbled: bool = False  # everything is applied, and the reply's text breaks off
    latency_seconds: float = 0.0


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set({})

    def set(self, given: Any) -> dict[str, Any]:
        """Replace all settings and start the random numbers anew. Raises ControlError."""
        settings = validated(given)
        with self._lock:
            self.settings = settings
            seed = settings.get("seed", 0)
            self._reply_dice = random.Random(f"{seed} replies")
            self._delivery_dice = random.Random(f"{seed} deliveries")
            # Deliveries have their own random numbers: how many events a request makes must not shift the replies. The
            # wire has its own too, so that its faults do not shift those of an older seed.
            self._wire_dice = random.Random(f"{seed} wire")
        return settings

    def _happens(self, dice: random.Random, name: str) -> bool:
        """A number is drawn even if the fault is not set, so that setting one fault does not change the others."""
        return dice.random() < self.settings.get(name, 0)

    def _seconds_between(self, dice: random.Random, name: str) -> float:
        least, most = self.settings.get(name, [0, 0])
        return dice.uniform(least, most) / 1000

    def plan_delivery(self, type: str) -> DeliveryPlan:
        if not self.settings or not self._applies("EVENT", type):
            return DeliveryPlan()
        with self._lock:
            dice = self._delivery_dice
            dropped, twice, held = (self._happens(dice, name) for name in ("drop", "duplicate", "reorder"))
            delays = [self._seconds_between(dice, "delay_ms"), self._seconds_between(dice, "delay_ms")]
            delays[0] += dice.uniform(0.1, MAX_REORDER_SECONDS) * held
            return DeliveryPlan(dropped, delays if twice and not dropped else delays[:1])

    def plan_reply(self, method: str, path: str) -> ReplyPlan:
        if not self.settings or not self._applies(method, path):
            return ReplyPlan()
        with self._lock:
            limited, before, after, cut = (self._happens(self._reply_dice, name) for name in REPLY_FAULTS)
            latency = self._seconds_between(self._reply_dice, "latency_ms")
            page, page_after, garbled = (self._happens(self._wire_dice, name) for name in WIRE_FAULTS)
            status = self.settings.get("proxy_status", DEFAULT_PROXY_STATUS)
            return ReplyPlan(limited, before, after, cut, page * status, page_after * status, garbled, latency)

    def stamp_lag(self, type: str) -> int:
        """Seconds by which the event's `created` is too early."""
        most = self.settings.get("stamp_lag", 0)
        if not most or not self._applies("EVENT", type):
            return 0
        with self._lock:
            return self._delivery_dice.randint(0, most)

    def _applies(self, method: str, name: str) -> bool:
        """Whether `only` lets the faults apply. EVENT patterns limit deliveries, all others limit replies."""
        patterns = [one for one in self.settings.get("only", []) if one.startswith("EVENT ") == (method == "EVENT")]
        return not patterns or any(matches(pattern, method, name) for pattern in patterns)


def matches(pattern: str, method: str, name: str) -> bool:
    """`POST /v1/invoices/*/pay` (the method may be left out) or `EVENT invoice.*`."""
    wanted, _, rest = pattern.rpartition(" ")
    if wanted and wanted != method:
        return False
    if method == "EVENT":
        return fnmatch.fnmatchcase(name, rest)
    given, expected = name.strip("/").split("/"), rest.strip("/").split("/")
    return len(given) == len(expected) and all(b in ("*", a) for a, b in zip(given, expected, strict=True))


def validated(given: Any) -> dict[str, Any]:
    """The settings without nulls, with every range as [least, most]. Raises ControlError."""
    if not isinstance(given, dict):
        raise ControlError('Faults are a JSON object, for example {"drop": 0.5, "seed": 1}.')
    for name, value in given.items():
        problem = problem_with(name, value)
        if problem:
            raise ControlError(problem)
    settings = {name: value for name, value in given.items() if value is not None}
    for name in MILLISECOND_RANGES:
        if isinstance(settings.get(name), int | float):
            settings[name] = [settings[name], settings[name]]
    return settings


def is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def problem_with(name: str, value: Any) -> str | None:
    """What is wrong with one setting, as a sentence."""
    if value is None:
        return None
    if name in PROBABILITIES:
        return None if is_number(value, 1) else f"{name} is a probability from 0 to 1."
    if name in MILLISECOND_RANGES:
        pair = value if isinstance(value, list) else [value, value]
        good = len(pair) == 2 and all(is_number(one, MAX_MILLISECONDS) for one in pair) and pair[0] <= pair[1]
        return None if good else f"{name} is [least, most] in milliseconds, at most {MAX_MILLISECONDS}."
    if name in ("stamp_lag", "seed"):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if good else f"{name} is a whole number, 0 or more."
    if name == "proxy_status":
        good = isinstance(value, int) and value in {status.value for status in HTTPStatus} and value >= 200
        return None if good else "proxy_status is an HTTP status, 200 or more."
    if name == "only":
        good = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
        return None if good else 'only is a list of patterns such as "POST /v1/invoices/*/pay" or "EVENT invoice.paid".'
    known = ", ".join([*PROBABILITIES, *MILLISECOND_RANGES, "stamp_lag", "proxy_status", "only", "seed"])
    return f"There is no fault named {name}. Known are: {known}."
