"""Ids that look like Stripe's and sort, within a prefix, in the order in which they were made."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ALPHABET = (
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in byte order, so that text sorts as numbers do
)
STAMP = 9  # digits in base 62 that hold a time in microseconds until the year 2400
TAIL = {"cus_": 5, "prod_": 5, "req_": 5, "si_": 5, "price_1": 14, "whsec_": 23}
PREFIXES = {
    "customer": "cus_",
    "payment_method": "pm_1",
    "source": "src_1",
    "mandate": "mandate_1",
    "invoiceitem": "ii_1",
    "line_item": "il_1",
    "invoice": "in_1",
    "invoice_payment": "inpay_1",
    "payment_intent": "pi_3",
    "charge": "ch_3",
    "payment_record": "pr_1",
    "payment_attempt_record": "par_1",
    "billing_portal.session": "bps_1",
    "event": "evt_1",
    "webhook_endpoint": "we_1",
    "product": "prod_",
    "price": "price_1",
    "subscription": "sub_1",
    "subscription_item": "si_",
}


PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def base62(number: int, width: int) -> str:
    """Two digits at a time: seeds make half a million of these."""
    pairs = []
    for _ in range((width + 1) // 2):
        number, pair = divmod(number, 3844)
        pairs.append(PAIRS[pair])
    pairs.reverse()
    return "".join(pairs)[-width:]


class Ids:
    """Microseconds of the real clock, pushed on where two would be equal; seeds have their own count, far lower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()
        self._count = 0
        self._seeded = False

    def new(self, kind: str) -> str:
        return self.with_prefix(PREFIXES[kind])

    def with_prefix(self, prefix: str) -> str:
        tail = TAIL.get(prefix, 14)
        with self._lock:
            self._count = max(self._count + 1, 0 if self._seeded else time.time_ns() // 1000)
            return prefix + base62(self._count, STAMP) + base62(self._random.getrandbits(6 * tail), tail)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """The same seed gives the same ids, all of them older than any other."""
        before = self._random, self._count, self._seeded
        self._random, self._count, self._seeded = random.Random(seed), 0, True
        try:
            yield
        finally:
            self._random, self._count, self._seeded = before


ids = Ids()
