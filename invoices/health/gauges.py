"""The numbers of /metrics that are read from the database and the broker at each request: what waits, what failed.

Each question has an index, and no answer counts more than MOST_COUNTED rows, so that it stays cheap beside millions of
events and operations. What is too many to count is counted while it happens: invoices/sight/counters.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.conf import settings
from django.db.models import Min, QuerySet
from kombu.exceptions import KombuError, OperationalError
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from invoices import clock, emails, reconcile
from invoices.health.checks import MOST_COUNTED, finished_at, pending_events, seconds_since
from invoices.health.probe import Probe
from invoices.models import (
    MIRRORED,
    Contradiction,
    Event,
    Heartbeat,
    Operation,
    ReconciliationRun,
    ScheduledRefetch,
    UnchainedRow,
)
from invoices.operations import contradictions, money_under_way, pauses

MAX_HEARTBEATS = 50  # kinds of processes
COUNTS_OF_A_RUN = ("seen", "same", "imported", "healed", "in_flight", "failed")


def waiting_work() -> list[GaugeMetricFamily]:
    """The gauges with their present values. Raises the database's error if it does not answer."""
    return [
        *_events(),
        *_refetches(),
        *_operations(),
        *_to_be_looked_at(),
        *_emails(),
        *_reconciliation(),
        _heartbeats(),
        GaugeMetricFamily(
            "invoice_desk_stripe_budget",
            "Requests a second that reconciliation, refetches and batches may send to Stripe; 0: no limit",
            value=settings.STRIPE_REQUESTS_PER_SECOND,
        ),
    ]


def _count(rows: QuerySet) -> int:
    return rows.order_by()[:MOST_COUNTED].count()


def _events() -> Iterator[GaugeMetricFamily]:
    pending = pending_events()
    gauge = GaugeMetricFamily("invoice_desk_events", "Events that wait, and that failed", labels=["state"])
    gauge.add_metric(["pending"], pending["count"])
    gauge.add_metric(["failed"], _count(Event.objects.filter(state=Event.State.FAILED)))
    yield gauge
    yield GaugeMetricFamily(
        "invoice_desk_oldest_pending_event_seconds",
        "For how long the oldest pending event has been waiting",
        value=seconds_since(pending["oldest_received_at"], clock.now()) or 0,
    )


def _refetches() -> Iterator[GaugeMetricFamily]:
    """Kind by kind, in the words of the indexes of ScheduledRefetch."""
    now = clock.now()
    first = [_of_kind(kind).filter(failing_since__isnull=True) for kind in MIRRORED]
    failing = [_of_kind(kind).filter(failing_since__isnull=False, given_up_at__isnull=True) for kind in MIRRORED]
    due = [rows.filter(due_at__lte=now) for rows in (*first, *failing)]
    oldest = [at for rows in due if (at := rows.aggregate(oldest=Min("due_at"))["oldest"]) is not None]
    gauge = GaugeMetricFamily("invoice_desk_refetches", "Objects to be read from Stripe", labels=["state"])
    failing_count = sum(map(_count, failing))
    gauge.add_metric(["scheduled"], sum(map(_count, first)) + failing_count)
    gauge.add_metric(["due"], sum(map(_count, due)))
    gauge.add_metric(["failing"], failing_count)
    gauge.add_metric(["given_up"], _count(ScheduledRefetch.objects.filter(given_up_at__isnull=False)))
    yield gauge
    yield GaugeMetricFamily(
        "invoice_desk_oldest_due_refetch_seconds",
        "For how long the oldest refetch that is due has been so",
        value=seconds_since(min(oldest, default=None), now) or 0,
    )


def _of_kind(kind: str) -> QuerySet[ScheduledRefetch]:
    return ScheduledRefetch.objects.filter(object_type=kind)


def _operations() -> Iterator[GaugeMetricFamily]:
    gauge = GaugeMetricFamily("invoice_desk_unfinished_operations", "Operations without an outcome", labels=["state"])
    unfinished = Operation.objects.filter(state__in=Operation.UNFINISHED)
    for state in Operation.UNFINISHED:
        gauge.add_metric([state.value], _count(unfinished.filter(state=state)))
    yield gauge
    # Of a limited number, so that PostgreSQL begins with the unfinished ones. Otherwise it would look for the oldest in
    # the order of `created_at`, past every operation that has ended.
    oldest = unfinished.order_by()[:MOST_COUNTED].aggregate(oldest=Min("created_at"))["oldest"]
    yield GaugeMetricFamily(
        "invoice_desk_oldest_unfinished_operation_seconds",
        "For how long the oldest operation without an outcome has been so",
        value=seconds_since(oldest, clock.now()) or 0,
    )
    yield GaugeMetricFamily(
        "invoice_desk_operations_awaiting_approval",
        "Operations that wait for a second person",
        value=_count(Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL)),
    )
    yield GaugeMetricFamily("invoice_desk_pauses", "Pauses of actions that stand", value=_count(pauses.standing()))


def _to_be_looked_at() -> Iterator[GaugeMetricFamily]:
    under_way = GaugeMetricFamily(
        "invoice_desk_money_under_way", "Charges on which a bank has not decided", labels=["overdue"]
    )
    overdue = _count(Operation.objects.filter(money_under_way.overdue()))
    every = _count(Operation.objects.filter(state=Operation.State.PROCESSING))
    under_way.add_metric(["false"], every - overdue)
    under_way.add_metric(["true"], overdue)
    yield under_way
    yield GaugeMetricFamily(
        "invoice_desk_unresolved_contradictions",
        "Final operations of which Stripe's events say otherwise, and about which nobody has done anything",
        value=_count(Contradiction.objects.filter(contradictions.unresolved())),
    )
    yield GaugeMetricFamily(
        "invoice_desk_unchained_rows",
        "Rows of the journal that wait to be chained, within half a minute",
        value=_count(UnchainedRow.objects.all()),
    )


def _emails() -> Iterator[GaugeMetricFamily]:
    found = emails.counts()
    gauge = GaugeMetricFamily("invoice_desk_emails", "E-mails to people that were not sent yet", labels=["state"])
    for state in ("waiting", "failing", "given_up"):
        gauge.add_metric([state], found[state])
    yield gauge
    yield GaugeMetricFamily(
        "invoice_desk_oldest_waiting_email_seconds",
        "For how long the oldest e-mail that was not sent and not given up has been waiting",
        value=seconds_since(emails.oldest_waiting(), clock.now()) or 0,
    )


def _reconciliation() -> Iterator[GaugeMetricFamily]:
    """What never succeeded is left out."""
    ages = GaugeMetricFamily(
        "invoice_desk_reconciliation_age_seconds",
        "Since the last sweep, catch-up and proof finished; of `everything`, since when every object was compared",
        labels=["kind"],
    )
    found, now = reconcile.last_successes(), clock.now()
    for kind, at in {
        "sweep": finished_at(found.sweep),
        "everything": found.everything_since,
        "catch_up": finished_at(found.catch_up),
        "proof": finished_at(found.proof),
    }.items():
        if (seconds := seconds_since(at, now)) is not None:
            ages.add_metric([kind], seconds)
    yield ages
    yield GaugeMetricFamily(
        "invoice_desk_installed_seconds",
        "Since the first sweep or full run finished: before it nothing can be late; 0: none has",
        value=seconds_since(found.first, now) or 0,
    )
    objects = GaugeMetricFamily(
        "invoice_desk_last_run_objects",
        "What the last run of a kind found: `healed` and `failed` are drift",
        labels=["kind", "result"],
    )
    exits = GaugeMetricFamily(
        "invoice_desk_last_run_exit_code",
        "Of the last run of a kind that finished: 0 nothing differed, 3 drift or not equal, 4 drift is left",
        labels=["kind"],
    )
    for kind, run in {"sweep": found.sweep, "catch_up": found.catch_up, "proof": found.proof}.items():
        if run is not None:
            exits.add_metric([kind], run.exit_code or 0)
            for result in COUNTS_OF_A_RUN:
                objects.add_metric([kind, result], getattr(run, result))
    yield objects
    yield exits
    running = GaugeMetricFamily("invoice_desk_running_reconciliations", "Runs at work now", labels=["kind"])
    at_work = list(ReconciliationRun.objects.filter(state="running").order_by()[:100].values_list("kind", flat=True))
    for kind in ReconciliationRun.Kind.values:
        running.add_metric([kind], at_work.count(kind))
    yield running


def _heartbeats() -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "invoice_desk_heartbeat_age_seconds", "Since a process of this kind was at work", labels=["process"]
    )
    now = clock.now()
    for name, seen_at in Heartbeat.objects.order_by("pk")[:MAX_HEARTBEATS].values_list("name", "seen_at"):
        gauge.add_metric([name], seconds_since(seen_at, now) or 0)
    return gauge


def queues() -> list[GaugeMetricFamily]:
    """How many messages wait in the broker. They carry no work, but many of them mean that no worker takes any. Raises
    the broker's error."""
    gauge = GaugeMetricFamily("invoice_desk_queue_messages", "Messages that wait in the broker", labels=["queue"])
    with current_app.connection_for_write(connect_timeout=1) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        for queue in settings.CELERY_TASK_QUEUES:
            gauge.add_metric([queue.name], _messages(connection, queue.name))
    return [gauge]


def _messages(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        return channel.queue_declare(queue, passive=True).message_count
    except (*connection.channel_errors, KombuError) as error:
        if isinstance(error, OperationalError):
            raise
        return 0  # there is no such queue: nobody has sent anything yet
    finally:
        channel.close()


class WaitingWorkCollector:
    """Gives the gauges to Prometheus's client. Those of a database or a broker that does not answer in time are left
    out."""

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # without names, so that nothing is checked, or read, when the collector is registered

    def collect(self) -> Iterator[GaugeMetricFamily]:
        probes = {"database": Probe.begin(waiting_work), "broker": Probe.begin(queues)}
        up = GaugeMetricFamily("invoice_desk_up", "Whether it answers within two seconds", labels=["what"])
        for what, probe in probes.items():
            answered = not probe.failure()
            up.add_metric([what], float(answered))
            if answered:
                yield from probe.result
        yield up


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(WaitingWorkCollector())
