"""`manage.py demo`, run for real: it comes up, heals, keeps its data, and leaves no process behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import stripe

HOUSE = Path(__file__).resolve().parent.parent
INVOICES = 40
PATIENCE = 90.0  # seconds, on a machine that does much else
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What it gives once that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return found


class Demo:
    """One `manage.py demo` on free ports and a folder of its own."""

    def __init__(self, folder: Path, *addresses: str, **exported: str) -> None:
        self.folder = folder
        self.port, self.sandbox_port = free_ports()
        self.addresses, self.exported = addresses, exported
        self.output = folder.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, **options: Any) -> list[str]:
        chosen = {"port": self.port, "sandbox-port": self.sandbox_port, "data-dir": self.folder, "invoices": INVOICES}
        flags = [f"--{name}={value}" for name, value in (chosen | options).items()]
        return [sys.executable, "manage.py", "demo", *self.addresses, *flags, "--set", "BATCH_LIFE_HOURS=12"]

    def env(self) -> dict[str, str]:
        ours = {"DATABASE_URL", "CELERY_BROKER_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE"}
        return {name: value for name, value in os.environ.items() if name not in ours} | self.exported

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(self.command(), cwd=HOUSE, env=self.env(), stdout=output, stderr=output)

    def refused(self, **options: Any) -> str:
        """What it says when it does not even begin."""
        done = subprocess.run(
            self.command(**options), cwd=HOUSE, env=self.env(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert done.stdout == ""
        return done.stderr

    def up(self) -> Demo:
        """Starts it and waits until it says that all is up."""
        self.start()

        def written() -> bool:
            assert self.process and self.process.poll() is None, self.output.read_text()
            return self.report_file.exists() and "Ctrl-C" in self.output.read_text()

        self.output.write_text("")
        until(written)
        self.report = json.loads(self.report_file.read_text())
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)

    @property
    def report_file(self) -> Path:
        return self.folder / "demo.json"

    def processes(self, *words: str) -> list[int]:
        """Everyone who was started with this demo's environment, and has all the words in its command."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                if f"DATA_DIR={self.folder}\0".encode() in (folder / "environ").read_bytes():
                    found += [int(folder.name)] if all(word.encode() in command for word in words) else []
            except (OSError, ValueError):
                continue  # not a process, or no longer
        return found

    def api(self) -> stripe.StripeClient:
        return stripe.StripeClient(self.report["api_token"], base_addresses={"api": self.report["api_base"]})

    def at_stripe(self) -> stripe.StripeClient:
        return stripe.StripeClient(self.report["stripe_key"], base_addresses={"api": self.report["sandbox_url"]})

    def here(self, invoice: str) -> Any:
        """The invoice as the desk has it, or None."""
        try:
            return self.api().v1.invoices.retrieve(invoice)
        except stripe.InvalidRequestError:
            return None

    def new_invoice(self) -> str:
        if not hasattr(self, "customer"):
            self.customer = self.at_stripe().v1.customers.create({"email": "someone@example.com"}).id
        return self.at_stripe().v1.invoices.create({"customer": self.customer}).id


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    """The environment's PostgreSQL and Redis, if it names any: a new database there for the demo."""
    broker = os.environ.get("CELERY_BROKER_URL")
    given = ["--broker", broker] if broker else []
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield given
        return
    server, name = url.rpartition("/")[0], f"demo_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield [*given, "--database", f"{server}/{name}"]
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a production desk, to which the terminal of the demo points."""
    file = tmp_path_factory.mktemp("production") / "desk.sqlite3"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE auth_user (username text)")
        database.execute("INSERT INTO auth_user VALUES ('agent')")
    return file


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, addresses: list[str], production: Path) -> Iterator[Demo]:
    exported = {
        "DATABASE_URL": f"sqlite:///{production}",
        "CELERY_BROKER_URL": "redis://127.0.0.1:9/0",
        "DJANGO_PRODUCTION": "true",
        "DJANGO_SECRET_KEY": "",
        "DJANGO_ALLOWED_HOSTS": "desk.example.com",
        "DJANGO_SECURE_COOKIES": "true",
        "STRIPE_SECRET_KEY": "rk_live_of_the_company",
        "FINANCE_EMAILS": "finance@example.com",
        "APPROVAL_THRESHOLDS": "no JSON",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    demo = Demo(tmp_path_factory.mktemp("demo") / "data of the demo", *addresses, **exported)
    try:
        yield demo.up()
    finally:
        for process in demo.processes():
            os.kill(process, signal.SIGKILL)


def test_it_takes_nothing_from_a_terminal_with_the_environment_of_production(demo: Demo, production: Path) -> None:
    said = next(line for line in demo.output.read_text().splitlines() if "not used by the demo" in line)
    assert "APPROVAL_THRESHOLDS" in said and "DATABASE_URL" in said and "DJANGO_PRODUCTION" in said
    assert "rk_live" not in demo.output.read_text()
    with closing(sqlite3.connect(f"file:{production}?mode=ro", uri=True)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("auth_user",)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # not even opened by Django
    assert "live" not in demo.report["env"]["STRIPE_SECRET_KEY"]
    page = urllib.request.urlopen(f"{demo.report['admin_url']}login/", timeout=10)
    assert all("secure" not in cookie.lower() for cookie in page.headers.get_all("Set-Cookie"))


def test_it_reports_what_a_script_needs(demo: Demo) -> None:
    report = demo.report
    assert stat.S_IMODE(demo.report_file.stat().st_mode) == 0o600
    assert report["url"] == report["api_base"] == f"http://127.0.0.1:{demo.port}"
    assert report["admin_url"] == f"{report['url']}/admin/"
    assert report["webhook_url"] == f"{report['url']}/webhooks/stripe"
    assert report["sandbox_url"] == f"http://127.0.0.1:{demo.sandbox_port}"
    assert [user["role"] for user in report["users"]] == [
        "Support agent",
        "Billing manager",
        "Auditor",
        "Finance",
        "Administrator",
    ]
    assert report["env"]["STRIPE_SECRET_KEY"] == report["stripe_key"]
    assert report["env"]["STRIPE_WEBHOOK_SECRETS"] == report["webhook_secret"]
    assert report["env"]["BATCH_LIFE_HOURS"] == "12"


def test_the_invoices_are_imported(demo: Demo) -> None:
    ours = {invoice.id for invoice in demo.api().v1.invoices.list({"limit": 100}).auto_paging_iter()}
    assert ours == {invoice.id for invoice in demo.at_stripe().v1.invoices.list({"limit": 100}).auto_paging_iter()}
    assert len(ours) == INVOICES


def test_the_tour_runs_as_it_is_printed(demo: Demo) -> None:
    output = demo.output.read_text()
    assert "A tour:" in output and "Traceback" not in output
    for user in demo.report["users"]:
        assert user["password"] in output
    # Step 3: the page, and below it the command.
    page, command = next(
        pair for pair in zip(output.splitlines(), output.splitlines()[1:], strict=False) if pair[1].endswith("/void")
    )
    assert "/admin/invoices/invoice/in_5F" in page
    answer = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    invoice = json.loads(answer.stdout)
    assert invoice["status"] == "void", invoice
    until(lambda: demo.here(invoice["id"]).status == "void", 5)


def test_an_invoice_of_the_sandbox_appears_within_five_seconds(demo: Demo) -> None:
    invoice = demo.new_invoice()
    until(lambda: demo.here(invoice), 5)


def test_a_shell_that_reads_its_environment_forgets_what_was_set_before(demo: Demo) -> None:
    """Otherwise the reconcile of the tour would tell the company's finance department of invented drift."""
    show = f". {shlex.quote(str(demo.folder / 'env'))}; env -0"
    before = demo.env() | {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", show], env=before, capture_output=True, text=True, check=True)
    after = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
    assert not {"FINANCE_EMAILS", "DJANGO_PRODUCTION", "APPROVAL_THRESHOLDS"} & after.keys()
    assert demo.report["env"].items() <= after.items()


def test_any_other_command_works_with_the_reported_environment(demo: Demo) -> None:
    command = [sys.executable, "manage.py", "reconcile", "--json"]
    done = subprocess.run(
        command, cwd=HOUSE, env=os.environ | demo.report["env"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["seen"] > 0


def test_the_banks_file_of_the_tour_is_taken_and_proposed(demo: Demo) -> None:
    def manage(*words: str) -> str:
        command, env = [sys.executable, "manage.py", *words], os.environ | demo.report["env"]
        return subprocess.run(command, cwd=HOUSE, env=env, capture_output=True, text=True, check=True).stdout

    assert f"{demo.report['url']}/admin/invoices/bankstatement/upload/" in demo.output.read_text()
    manage("statement", str(demo.folder / "statement.sta"))
    question = "from invoices.statements import proposing; from invoices.models import BankTransaction as each; "
    question += "proposing.propose_due(); print(sorted(each.objects.values_list('confidence', flat=True)))"
    found = json.loads(manage("shell", "-c", question).splitlines()[-1])
    assert len(found) >= 7 and found.count(3) >= 4


def test_a_worker_killed_in_the_middle_loses_nothing_and_comes_back(demo: Demo) -> None:
    (worker,) = demo.processes("worker")
    invoices = []
    for number in range(30):
        invoices.append(demo.new_invoice())
        if number == 15:
            os.kill(worker, signal.SIGKILL)
    until(lambda: all(demo.here(invoice) for invoice in invoices))
    assert "worker ended (killed by signal 9) and starts again" in demo.output.read_text()
    until(lambda: demo.processes("worker"))  # it is started a moment after that is said
    assert worker not in demo.processes("worker")


def test_a_web_server_killed_comes_back_whole(demo: Demo) -> None:
    before = demo.processes("granian")
    os.kill(min(before), signal.SIGKILL)
    until(lambda: "web ended" in demo.output.read_text())
    until(lambda: demo.processes("granian"))

    def answers() -> bool:
        try:
            return bool(demo.api().v1.invoices.list({"limit": 1}).data)
        except stripe.APIConnectionError:
            return False

    until(answers)
    assert not set(before) & set(demo.processes("granian"))


def test_a_taken_port_and_a_folder_in_use_are_one_line_each(demo: Demo, tmp_path: Path) -> None:
    other, _ = free_ports()
    for options in ({"port": demo.port, "sandbox-port": other}, {"port": other, "sandbox-port": demo.sandbox_port}):
        said = demo.refused(**options, **{"data-dir": tmp_path})
        assert said.count("\n") == 1 and "cannot be used" in said
    assert demo.refused(port=1, **{"data-dir": tmp_path}).count("\n") == 1
    assert demo.refused(**{"port": 8000, "sandbox-port": 8000, "data-dir": tmp_path}).count("\n") == 1
    said = demo.refused(port=other)
    assert said.count("\n") == 1 and "Another demo" in said
    said = demo.refused(database="desk", port=other)
    assert said.count("\n") == 1 and "postgresql://" in said
    assert demo.report_file.exists()


def test_sigterm_ends_everyone_and_the_next_start_carries_on(demo: Demo) -> None:
    first, known = demo.report, demo.new_invoice()
    assert len(demo.processes()) >= 6  # itself, its guard, sandbox, web, worker, beat
    assert demo.end(signal.SIGTERM) == 0
    assert demo.processes() == []
    assert not demo.report_file.exists()
    demo.up()
    assert demo.report == first
    assert demo.here(known)
    assert len(list(demo.api().v1.invoices.list({"limit": 100}).auto_paging_iter())) > INVOICES


def test_killed_itself_it_takes_everyone_along(demo: Demo) -> None:
    assert demo.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not demo.processes(), 15)


def test_ended_in_the_middle_of_its_start_it_leaves_nobody(demo: Demo) -> None:
    assert demo.report_file.exists()  # of the one that was killed
    demo.start()
    until(lambda: demo.processes("sandbox"))
    assert demo.end(signal.SIGINT) == 0
    assert demo.processes() == []
    assert not demo.report_file.exists()
