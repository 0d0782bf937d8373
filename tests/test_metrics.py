"""/metrics: each question has an index, labels are bounded, and alerts, dashboard and runbook name what is there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from backoffice import observation
from invoices import gateway, operations, sync, thresholds, throttle
from invoices.health import checks, gauges
from invoices.models import ApiToken, PendingEvent
from invoices.sight import counters
from tests.factories import invoice_at

pytestmark = pytest.mark.django_db(transaction=True)
HOUSE = Path(__file__).resolve().parent.parent
RULES = HOUSE / "deploy/prometheus/alerts.yml"
SMALL_TABLES = ("invoices_heartbeat", "invoices_pause", "invoices_unchainedrow")  # a few rows, or a queue counted whole


def samples(client: Any) -> dict[str, set[str]]:
    """The names of all samples that /metrics shows → the names of their labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_no_question_reads_a_whole_table() -> None:
    """With sequential scans forbidden, PostgreSQL makes one only where no index fits; SQLite says SCAN without one."""
    with CaptureQueriesContext(connection) as asked:
        gauges.waiting_work()
    questions = [query["sql"] for query in asked if query["sql"].startswith("SELECT") and " FROM " in query["sql"]]
    assert len(questions) > 15
    scans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off")
            cursor.execute("SET enable_bitmapscan = on")
        for question in questions:
            explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
            cursor.execute(f"{explain} {question}")
            for row in cursor.fetchall():
                line = str(row[-1])
                scanned = re.search(r"Seq Scan on (\w+)|SCAN (invoices_\w+)\b(?! USING)", line)
                if scanned and not (scanned[1] or scanned[2]).startswith(SMALL_TABLES):
                    scans.append((line, question))
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
            cursor.execute("RESET enable_bitmapscan")
    assert scans == []


def test_nothing_is_counted_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from invoices import clock

    now = clock.now()
    PendingEvent.objects.bulk_create(
        PendingEvent(event=f"evt_{number}", received_at=now, next_attempt_at=now) for number in range(5)
    )
    monkeypatch.setattr(checks, "MOST_COUNTED", 3)
    assert checks.pending_events()["count"] == 3


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/invoices", "/v1/invoices"),
        ("/v1/invoices/in_1Mt", "/v1/invoices/:id"),
        ("/v1/invoices/in_1Mt/pay", "/v1/invoices/:id/pay"),
        ("/v1/invoices/abc/lines", "/v1/invoices/:id/lines"),
        ("/v1/payment_records/report_payment", "/v1/payment_records/report_payment"),
        ("/v1/billing_portal/sessions", "/v1/billing_portal/sessions"),
        ("/v1/events", "/v1/events"),
        ("/v1/account", "/v1/account"),
        ("/v1/invoices/in_1/in_2", "/v1/invoices/:id/:id"),
        ("/v1/invoices/a/b/c/d", counters.OTHER_ENDPOINT),
        ("/v1/in_1Mt", counters.OTHER_ENDPOINT),
        ("/v2/anything", counters.OTHER_ENDPOINT),
        ("", counters.OTHER_ENDPOINT),
    ],
)
def test_addresses_of_stripe_are_told_without_ids(path: str, endpoint: str) -> None:
    assert counters.endpoint(path) == endpoint


def test_the_number_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_endpoints", set())
    letters = "abcdefghijklmnop"
    told = {counters.endpoint(f"/v1/{a}{b}") for a in letters for b in letters}
    assert len(told) == counters.MAX_ENDPOINTS + 1 and counters.OTHER_ENDPOINT in told


def test_requests_to_stripe_are_counted_by_what_came_of_them(sandbox: Any, settings: Any) -> None:
    labels = {"method": "GET", "endpoint": "/v1/invoices/:id"}
    name = "invoice_desk_stripe_request_seconds_count"
    before = {status: value(name, **labels, status=status) for status in ("200", "404", "none")}
    invoice = invoice_at(sandbox)
    gateway.read(f"/v1/invoices/{invoice.id}")
    with pytest.raises(gateway.Missing):
        gateway.read("/v1/invoices/in_nowhere")
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(gateway.OutcomeUnknown):
        gateway.read(f"/v1/invoices/{invoice.id}")
    counted = {status: value(name, **labels, status=status) - before[status] for status in before}
    assert counted == {"200": 1, "404": 1, "none": 1 + gateway.MAX_READ_RETRIES}


def test_operations_are_counted_by_action_state_and_code(open_invoice: Any, agent: Any, auditor: Any) -> None:
    def counted(state: str, code: str = "") -> float:
        return value("invoice_desk_operations_total", action="void", state=state, code=code)

    before = counted("succeeded"), counted("refused", "permission_denied")
    with pytest.raises(operations.Refusal):
        operations.execute("void", open_invoice.id, actor=auditor, source="admin", reason="why not")
    operations.execute("void", open_invoice.id, actor=agent, source="admin", reason="wrong")
    assert (counted("succeeded"), counted("refused", "permission_denied")) == (before[0] + 1, before[1] + 1)


def test_the_budget_and_its_wait_are_counted(settings: Any) -> None:
    settings.STRIPE_REQUESTS_PER_SECOND = 1000
    before = value("invoice_desk_throttle_slots_total")
    throttle.wait()
    assert value("invoice_desk_throttle_slots_total") == before + 1


# --- alerts, dashboard and runbook ------------------------------------------------------------------------------------


@pytest.fixture
def shown(client: Any, sandbox: Any, agent: Any, post_event: Any) -> dict[str, set[str]]:
    """What /metrics shows when a little of everything has happened."""
    from invoices import clock, heartbeat, reconcile, tasks
    from invoices.models import ReconciliationRun

    invoice = invoice_at(sandbox)
    for event in gateway.walk("/v1/events"):
        post_event(event)
    client.post("/webhooks/stripe", b"{}", content_type="application/json")
    sync.process_events()
    operations.execute("void", invoice.id, actor=agent, source="admin", reason="wrong")
    client.post("/admin/login/", {"username": "jenny", "password": "a wrong password"})
    token = ApiToken.objects.create(agent, name="service")[1]
    client.get("/v1/customers/cus_unknown", headers={"Authorization": f"Bearer {token}"})
    tasks.process_events.apply()
    heartbeat._last_written.clear()
    heartbeat.beat("worker")
    reconcile.catch_up()
    for kind in ("sweep", "verify"):
        ReconciliationRun.objects.create(kind=kind, state="finished", finished_at=clock.now(), exit_code=0)
    return samples(client)


# Labels that Prometheus itself adds, or that Grafana fills.
OF_PROMETHEUS = {"job", "instance"}
FUNCTIONS = {"max", "min", "sum", "rate", "increase", "absent", "by", "histogram_quantile", "or", "unless", "on"}
FUNCTIONS |= {"min_over_time"}


def names_in(expression: str) -> dict[str, set[str]]:
    """The metrics that an expression names → the labels that it asks of them."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"\b([a-z][a-z0-9_]{3,})\b(?:\{([^}]*)\})?(?!\s*[=(!])", plain):
        if name.startswith(("invoice_desk_", "django_")):
            found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", plain) for label in group.split(",")}
    for labels in found.values():
        labels.update(grouped)
    return found


def test_alerts_and_dashboard_name_only_what_is_shown(shown: dict[str, set[str]]) -> None:
    expressions = [rule["expr"] for rule in rules()]
    dashboard = json.loads((HOUSE / "deploy/grafana/dashboard.json").read_text())
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) > 60
    wrong = []
    for expression in expressions:
        named = names_in(expression)
        assert named, expression
        wrong += [
            (name, sorted(labels - shown.get(name, set()) - OF_PROMETHEUS))
            for name, labels in named.items()
            if name not in shown or labels - shown[name] - OF_PROMETHEUS
        ]
    assert wrong == []


def test_every_number_stands_in_the_runbook_and_in_a_picture(shown: dict[str, set[str]]) -> None:
    all_of_ours = {name for name in shown if name.startswith("invoice_desk_") and not name.endswith("_created")}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in all_of_ours}
    runbook = (HOUSE / "docs/operating.md").read_text().partition("### Metrics")[2].partition("### The log")[0]
    documented = set(re.findall(r"`(invoice_desk_\w+)", runbook))
    assert documented == ours
    dashboard = (HOUSE / "deploy/grafana/dashboard.json").read_text()
    assert [name for name in sorted(ours) if name not in dashboard] == []


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def test_each_alert_has_its_page_in_the_runbook() -> None:
    headings = re.findall(r"^### (InvoiceDesk\w+)$", (HOUSE / "docs/operating.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info") and rule["annotations"]["summary"]


def test_alerts_ring_when_readyz_does() -> None:
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    for alert, kind, period in [
        ("InvoiceDeskReconciliationLate", "sweep", thresholds.RECONCILIATION_STALE),
        ("InvoiceDeskReconciliationLate", "catch_up", thresholds.CATCH_UP_STALE),
        ("InvoiceDeskReconciliationLate", "proof", thresholds.PROOF_STALE),
        ("InvoiceDeskReconciliationLate", "everything", thresholds.COVERAGE_STALE),
        ("InvoiceDeskEventsLate", "", thresholds.EVENT_STUCK),
        ("InvoiceDeskWorkerSilent", "worker", thresholds.WORKER_SILENT),
        ("InvoiceDeskOutcomeUnknown", "", thresholds.RESEND_WINDOW),
    ]:
        lines = [line for line in expressions[alert].splitlines() if kind in line]
        assert [line.rpartition("> ")[2] for line in lines] == [f"{period.total_seconds():.0f}"], (alert, kind)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="NOT DONE HERE: promtool is missing (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "deploy/prometheus/alerts.yml"),
        ("check", "config", "deploy/prometheus/prometheus.yml"),
        ("test", "rules", "tests/prometheus/alerts.test.yml"),
    ],
)
def test_prometheus_takes_the_rules(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(["promtool", *arguments], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


# --- several processes ------------------------------------------------------------------------------------------------


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    """Two processes count one sign-in each; a third one shows two, and does not show what no process shares."""
    import os

    count = "from invoices.sight import counters; counters.SIGN_INS.labels('failed').inc()"
    show = (
        "from invoices.sight import counters\nfrom django.test import Client\n"
        "print(Client().get('/metrics').content.decode())"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DJANGO_ALLOWED_HOSTS": "testserver",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    for code in (count, count, f"import django; django.setup()\n{show}"):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=HOUSE,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert 'invoice_desk_sign_ins_total{outcome="failed"} 2.0' in ended.stdout


def test_a_worker_serves_its_counters(settings: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        settings.WORKER_METRICS_ADDRESS = f"127.0.0.1:{port}"
        observation._serve_counters()  # the port is taken: the worker goes on
    counters.SIGN_INS.labels("failed").inc()
    observation._serve_counters()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        assert "invoice_desk_sign_ins_total" in response.read().decode()


@pytest.mark.parametrize("wrong", ["9808", ":9808", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"])
def test_a_wrong_address_of_a_worker_is_refused(wrong: str) -> None:
    with pytest.raises(Exception, match=r"such as 127\.0\.0\.1:9808"):
        observation.address(wrong)


def test_a_broker_without_queues_has_no_messages() -> None:
    (gauge,) = gauges.queues()
    assert {sample.labels["queue"] for sample in gauge.samples} == {"invoices", "refetches"}
