"""Taking events from the queue while many wait: a claim of 200 with 20,000 pending events against one with 500,000.

    DATABASE_URL=postgresql://… python -m benchmarks.pending [pending]

Uses Django's test database on the server of DATABASE_URL (PostgreSQL). Each claim takes 200 events and marks them done
in one transaction, as a worker does, without storing their objects. The queue is tended as beat does it. Prints
milliseconds of a claim and of the marking, and the blocks that the claim touches.
"""

from __future__ import annotations

import sys
import time
from statistics import median

from benchmarks.setting import database

CLAIMS = 50  # measured at each size of the queue
FEW = 20_000

FILL = """
INSERT INTO invoices_event (id, type, created, api_version, account, object_type, object_id, request_id,
    idempotency_key, body, source, received_at, state, attempts, next_attempt_at, error)
SELECT 'evt_' || g, 'invoice.paid', now() - g * interval '1 s', '', '', 'invoice', 'in_' || g, '', '',
    '{}', 'webhook', now() - g * interval '1 s', 'pending', 0, now() - g * interval '1 s', ''
FROM generate_series(1, %s) g;
INSERT INTO invoices_pendingevent (event, created, received_at, next_attempt_at)
SELECT id, created, received_at, next_attempt_at FROM invoices_event;
"""


def claims() -> tuple[float, float, int]:
    """Medians: milliseconds of a claim, of marking its events done; blocks of the last claim's first statement."""
    from django.db import connection, transaction

    from invoices import clock, sync
    from invoices.models import Event, PendingEvent

    taking, marking = [], []
    for number in range(CLAIMS):
        with transaction.atomic():
            began = time.perf_counter()
            events = sync._claim(sync.EVENTS_PER_BATCH)
            taken = time.perf_counter()
            Event.stored(events).update(state=Event.State.DONE, processed_at=clock.now(), error="")
            marking.append(time.perf_counter() - taken)
            taking.append(taken - began)
        if number % 10 == 9:
            sync.tend_queues()
    due = PendingEvent.objects.filter(next_attempt_at__lte=clock.now()).order_by("next_attempt_at")
    with transaction.atomic():
        rows = due.select_for_update(skip_locked=True)[: sync.EVENTS_PER_BATCH]
        plan = rows.explain(analyze=True, buffers=True)
    touched = next(line for line in plan.splitlines() if "Buffers: shared" in line)
    blocks = sum(int(word.partition("=")[2]) for word in touched.split() if word.startswith(("hit=", "read=")))
    assert connection.vendor == "postgresql"
    return 1000 * median(taking), 1000 * median(marking), blocks


def main(pending: int) -> None:
    from django.db import connection

    from tests.helpers.database import without_triggers

    with without_triggers(), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(FILL, [pending])
        cursor.execute("VACUUM ANALYZE")
    for left in (pending, FEW):
        with without_triggers(), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM invoices_pendingevent WHERE event IN (SELECT event FROM invoices_pendingevent "
                "ORDER BY next_attempt_at DESC OFFSET %s)",
                [left],
            )
            if cursor.rowcount:
                cursor.execute("VACUUM ANALYZE invoices_pendingevent")
        taking, marking, blocks = claims()
        print(f"{left:8,} pending: a claim of 200 {taking:6.1f} ms, marking {marking:6.1f} ms, {blocks} blocks")


if __name__ == "__main__":
    with database():
        from django.db import connection

        if connection.vendor != "postgresql":
            raise SystemExit("NOT MEASURED: the queue of events needs PostgreSQL; set DATABASE_URL.")
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
