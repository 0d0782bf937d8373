"""/readyz, /metrics: they say what is wrong, to anybody, soon, and give nothing away."""

import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from invoices import clock
from invoices.health import checks, gauges, probe
from invoices.models import Event, Heartbeat, Operation, ReconciliationRun

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    """Ages are shown in seconds, so the clock stands still while a test makes its rows and reads the answer."""
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def all_well(monkeypatch):
    monkeypatch.setattr(checks, "reach_broker", lambda: None)
    beat()
    run()


def beat(**ago):
    Heartbeat.objects.update_or_create(name="worker", defaults={"seen_at": NOW - timedelta(**ago)})


def run(kind="sweep", state="finished", **ago):
    finished_at = NOW - timedelta(**ago) if state == "finished" else None
    return ReconciliationRun.objects.create(kind=kind, state=state, finished_at=finished_at, exit_code=0)


def event(id="evt_1", **ago):
    return Event.objects.create(id=id, body="{}", received_at=NOW - timedelta(**ago))


def reasons(client):
    response = client.get("/readyz")
    found = response.json()
    assert response.status_code == (503 if found["reasons"] else 200)
    assert found["ready"] is not bool(found["reasons"])
    return found["reasons"]


def test_readyz_when_all_is_well(client, all_well):
    event(seconds=3)
    response = client.get("/readyz")
    found = response.json()
    assert response.status_code == 200
    assert found["ready"] and found["reasons"] == []
    assert found["database"] == found["broker"] == {"ok": True}
    assert found["worker"]["seconds_ago"] == 0
    assert found["events"] == {"pending": 1, "oldest_pending_seconds": 3}
    assert found["last_reconciliation"]["kind"] == "sweep" and found["last_reconciliation"]["exit_code"] == 0


def test_a_fresh_installation_says_what_it_still_needs(client, monkeypatch):
    monkeypatch.setattr(checks, "reach_broker", lambda: None)
    assert reasons(client) == ["no worker was ever seen", "no reconciliation has finished yet"]


def test_a_silent_worker(client, all_well):
    beat(minutes=2)
    assert reasons(client) == ["no worker seen for 120 s"]


def test_an_event_that_waits_too_long(client, all_well):
    event("evt_new", seconds=1)
    event("evt_old", minutes=10)
    assert reasons(client) == ["an event has been waiting for 600 s"]
    Event.objects.filter(pk="evt_old").update(state=Event.State.FAILED)
    assert reasons(client) == []


def test_only_a_sweep_that_finished_lately_counts(client, all_well):
    ReconciliationRun.objects.all().delete()
    run(days=3)
    run(kind="invoice")
    run(kind="catch_up")
    run(kind="full", state="failed")
    assert reasons(client) == ["the last reconciliation finished 72 hours ago"]


def test_a_broker_that_refuses(client, all_well, monkeypatch, settings):
    def refuse():
        raise ConnectionRefusedError("redis://:password@broker.example:6379/0")

    monkeypatch.setattr(checks, "reach_broker", refuse)
    assert reasons(client) == ["the broker does not answer (ConnectionRefusedError)"]
    assert b"password" not in client.get("/readyz").content


def test_a_real_broker_that_is_not_there(monkeypatch):
    from celery import Celery

    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)  # Celery prefers it to what it is given
    nobody = Celery(broker="redis://127.0.0.1:9/0", set_as_current=False)
    began = time.monotonic()
    with pytest.raises(Exception, match="refused"):
        checks.reach_broker(nobody)
    assert time.monotonic() - began < probe.TIMEOUT_SECONDS + 10


def test_the_configured_broker_is_reached():
    checks.reach_broker()


def test_a_database_that_hangs_delays_the_answer_by_a_moment_and_is_asked_once(client, all_well, monkeypatch):
    asked = []
    answer = threading.Event()

    def hang():
        asked.append(1)
        answer.wait(30)

    monkeypatch.setattr(checks, "database_health", hang)
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.1)
    assert reasons(client) == ["the database does not answer (not within 0.1 s)"]
    assert reasons(client) == ["the database does not answer (not within 0.1 s)"]
    assert len(asked) == 1
    answer.set()


def test_metrics_count_requests_and_what_waits(client):
    event()
    Event.objects.create(id="evt_2", body="{}", state=Event.State.FAILED)
    Operation.objects.create(action="pay", invoice="in_1", state=Operation.State.UNKNOWN, source="api")
    response = client.get("/metrics")
    found = response.content.decode()
    assert response.status_code == 200 and response["Content-Type"].startswith("text/plain")
    assert "django_http_requests_total_by_method_total" in found
    for line in [
        'invoice_desk_events{state="pending"} 1.0',
        'invoice_desk_events{state="failed"} 1.0',
        'invoice_desk_unfinished_operations{state="unknown"} 1.0',
        'invoice_desk_unfinished_operations{state="ready"} 0.0',
    ]:
        assert line in found.splitlines()


def test_metrics_answer_when_the_database_does_not(client, monkeypatch):
    def fail():
        raise RuntimeError("no database")

    monkeypatch.setattr(gauges, "waiting_work", fail)
    response = client.get("/metrics")
    assert response.status_code == 200
    lines = response.content.decode().splitlines()
    assert 'invoice_desk_up{what="database"} 0.0' in lines and 'invoice_desk_up{what="broker"} 1.0' in lines
    assert b"invoice_desk_events{" not in response.content and b"django_http" in response.content


def test_when_each_kind_succeeded_last(client, all_well):
    ReconciliationRun.objects.all().delete()
    run(kind="full", days=100)
    ReconciliationRun.objects.update(started_at=NOW - timedelta(days=100))
    run(kind="catch_up", days=1)
    run(kind="verify", days=16)
    run()
    assert reasons(client) == [
        "some objects were not compared with Stripe for 100 days",
        "the last catch-up finished 24 hours ago",
        "the last proof of equality finished 16 days ago",
    ]
    for part in range(28):
        made = run(kind="part")
        ReconciliationRun.objects.filter(pk=made.pk).update(
            params={"part": part}, started_at=NOW - timedelta(days=27 - part)
        )
    run(kind="catch_up")
    run(kind="verify")
    found = client.get("/readyz").json()
    assert found["ready"]
    ages = {name: each["seconds_ago"] for name, each in found["last_successes"].items()}
    assert ages["everything"] // 86400 == 27 and max(ages["sweep"], ages["catch_up"], ages["proof"]) < 3600
    lines = client.get("/metrics").content.decode().splitlines()
    shown = {line.split('"')[1] for line in lines if line.startswith("invoice_desk_reconciliation_age_seconds{")}
    assert shown == {"sweep", "everything", "catch_up", "proof"}


def test_what_never_succeeded_is_late_only_some_time_after_the_first_import(client, all_well):
    assert reasons(client) == []
    ReconciliationRun.objects.update(finished_at=NOW - timedelta(days=40))
    run()
    assert reasons(client) == [
        "not everything was compared with Stripe yet: run `manage.py reconcile --full`",
        "no catch-up has finished yet",
        "no proof of equality has finished yet",
    ]
