"""The numbers of /metrics that are read from the database at each request: what waits, and what failed."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Min
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from invoices import clock, reconcile
from invoices.health.checks import finished_at, pending_events, seconds_since
from invoices.health.probe import Probe
from invoices.models import Contradiction, Event, Operation, ScheduledRefetch, UnchainedRow
from invoices.operations import contradictions, money_under_way


def waiting_work() -> list[GaugeMetricFamily]:
    """The gauges with their present values. Raises the database's error if it does not answer."""
    return [*_events(), *_refetches(), _unfinished_operations(), *_to_be_looked_at(), _reconciliation()]


def _events() -> Iterator[GaugeMetricFamily]:
    pending = pending_events()
    gauge = GaugeMetricFamily("invoice_desk_events", "Events that wait, and that failed", labels=["state"])
    gauge.add_metric(["pending"], pending["count"])
    gauge.add_metric(["failed"], Event.objects.filter(state=Event.State.FAILED).count())
    yield gauge
    yield GaugeMetricFamily(
        "invoice_desk_oldest_pending_event_seconds",
        "For how long the oldest pending event has been waiting",
        value=seconds_since(pending["oldest_received_at"], clock.now()) or 0,
    )


def _refetches() -> Iterator[GaugeMetricFamily]:
    now = clock.now()
    scheduled = ScheduledRefetch.objects.filter(given_up_at=None)
    due = scheduled.filter(due_at__lte=now).aggregate(count=Count("pk"), oldest=Min("due_at"))
    gauge = GaugeMetricFamily("invoice_desk_refetches", "Objects to be read from Stripe", labels=["state"])
    gauge.add_metric(["scheduled"], scheduled.count())
    gauge.add_metric(["due"], due["count"])
    gauge.add_metric(["failing"], scheduled.filter(failing_since__isnull=False).count())
    gauge.add_metric(["given_up"], ScheduledRefetch.objects.filter(given_up_at__isnull=False).count())
    yield gauge
    yield GaugeMetricFamily(
        "invoice_desk_oldest_due_refetch_seconds",
        "For how long the oldest refetch that is due has been so",
        value=seconds_since(due["oldest"], now) or 0,
    )


def _unfinished_operations() -> GaugeMetricFamily:
    unfinished = Operation.objects.filter(state__in=Operation.UNFINISHED)
    count_of = dict(unfinished.values_list("state").annotate(Count("id")).order_by("state"))
    gauge = GaugeMetricFamily("invoice_desk_unfinished_operations", "Operations without an outcome", labels=["state"])
    for state in Operation.UNFINISHED:
        gauge.add_metric([state.value], count_of.get(state.value, 0))
    return gauge


def _to_be_looked_at() -> Iterator[GaugeMetricFamily]:
    under_way = GaugeMetricFamily(
        "invoice_desk_money_under_way", "Charges on which a bank has not decided", labels=["overdue"]
    )
    overdue = Operation.objects.filter(money_under_way.overdue()).count()
    every = Operation.objects.filter(state=Operation.State.PROCESSING).count()
    under_way.add_metric(["false"], every - overdue)
    under_way.add_metric(["true"], overdue)
    yield under_way
    yield GaugeMetricFamily(
        "invoice_desk_unresolved_contradictions",
        "Final operations of which Stripe's events say otherwise, and about which nobody has done anything",
        value=Contradiction.objects.filter(contradictions.unresolved()).count(),
    )
    yield GaugeMetricFamily(
        "invoice_desk_unchained_rows",
        "Rows of the journal that wait to be chained, within half a minute",
        value=UnchainedRow.objects.count(),
    )


def _reconciliation() -> GaugeMetricFamily:
    """What never succeeded is left out."""
    gauge = GaugeMetricFamily(
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
            gauge.add_metric([kind], seconds)
    return gauge


class WaitingWorkCollector:
    """Gives the gauges to Prometheus's client. If the database does not answer in time, they are left out."""

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # without names, so that nothing is checked, or read, when the collector is registered

    def collect(self) -> Iterator[GaugeMetricFamily]:
        probe = Probe.begin(waiting_work)
        if not probe.failure():
            yield from probe.result


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(WaitingWorkCollector())
