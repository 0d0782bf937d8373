"""Ids that look like Stripe's. Ids with the same prefix sort in the order in which they were made."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in byte order, so that ids sort as text
TIME_DIGITS = 9  # base-62 digits: enough for microseconds since 1970 until the year 2400
DEFAULT_RANDOM_DIGITS = 14
# Random base-62 digits after the time, by prefix.
RANDOM_DIGITS = {"cus_": 5, "prod_": 5, "req_": 5, "si_": 5, "price_1": 14, "whsec_": 23}
PREFIXES = {
    "account": "acct_1",
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
    "refund": "re_3",
    "dispute": "du_1",
    "credit_note": "cn_1",
    "credit_note_line_item": "cnli_1",
    "customer_balance_transaction": "cbtxn_1",
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
    """Two digits at a time, for speed: planting 100,000 invoices makes half a million ids."""
    pairs = []
    for _ in range((width + 1) // 2):
        number, pair = divmod(number, 3844)
        pairs.append(PAIRS[pair])
    pairs.reverse()
    return "".join(pairs)[-width:]


class Ids:
    """An id begins with the microseconds of the real clock, raised by one where two would be equal.

    Ids of seeds begin with a small count instead, so that they do not depend on the time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()
        self._count = 0
        self._seeded = False

    def new(self, kind: str) -> str:
        return self.with_prefix(PREFIXES[kind])

    def with_prefix(self, prefix: str) -> str:
        random_digits = RANDOM_DIGITS.get(prefix, DEFAULT_RANDOM_DIGITS)
        with self._lock:
            self._count = max(self._count + 1, 0 if self._seeded else time.time_ns() // 1000)
            return (
                prefix
                + base62(self._count, TIME_DIGITS)
                + base62(self._random.getrandbits(6 * random_digits), random_digits)
            )

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Within this context the same seed gives the same ids; they sort before all others."""
        before = self._random, self._count, self._seeded
        self._random, self._count, self._seeded = random.Random(seed), 0, True
        try:
            yield
        finally:
            self._random, self._count, self._seeded = before


ids = Ids()
