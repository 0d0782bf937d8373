"""Ids that look like Stripe's and sort, within a prefix, in the order in which they were made."""

import random
import threading
import time

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


def base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


class Ids:
    """Microseconds of the real clock, pushed on where two would be equal; a seed starts its own, lower, count."""

    def __init__(self, seed: int | None = None):
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._count = 1 if seed is not None else 0
        self._seeded = seed is not None

    def new(self, kind: str) -> str:
        return self.with_prefix(PREFIXES[kind])

    def with_prefix(self, prefix: str) -> str:
        tail = TAIL.get(prefix, 14)
        with self._lock:
            self._count = self._count + 1 if self._seeded else max(self._count + 1, time.time_ns() // 1000)
            return prefix + base62(self._count, STAMP) + base62(self._random.getrandbits(6 * tail), tail)


ids = Ids()
