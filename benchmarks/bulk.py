"""A thousand invoices at once: one operation each, one in ten failing, until the last has an outcome.

    python -m benchmarks.bulk [invoices]

Makes the invoices at the sandbox (one in ten with a card that declines), brings them in by reconciliation, and pays all
of them in one batch, as the worker does. Prints what each part took, and what came of the rows.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.setting import database, sandbox

DECLINED_ONE_IN = 10  # one in so many invoices has a card that declines


@contextmanager
def timed(what: str, number: int) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    print(f"{what:34} {took:8.1f} s   {number / took:8.0f} invoices/s")


def main(number: int) -> None:
    from django.contrib.auth.models import User

    from invoices import reconcile
    from invoices.models import Invoice
    from invoices.operations import batch as batches
    from tests.factories import customer_at, invoice_at

    user = User.objects.create_superuser("bulk", "bulk@example.com", "a long enough password")
    with sandbox(invoices=0) as stripe:
        good = customer_at(stripe).id
        bad = customer_at(stripe, card="pm_card_chargeCustomerFail").id
        for n in range(number):
            invoice_at(stripe, amount=1000 + n, customer=bad if n % DECLINED_ONE_IN == 0 else good)
        with timed("brought in by reconcile --full", number):
            reconcile.sweep_lists("full")
        batch = batches.start(
            "pay", Invoice.objects.filter(status="open"), actor=user, reason="a benchmark", batch_id=uuid.uuid4()
        )
        with timed("paid in one batch", number):
            batches.run_due()
        print(f"outcomes: {batches.progress(batch)}, charges at the sandbox: {len(stripe.stats()['charges'])}")


if __name__ == "__main__":
    with database():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
