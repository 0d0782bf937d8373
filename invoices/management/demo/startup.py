"""Brings the demo up, in order, writes demo.json, and keeps everything running until a person ends it."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import Error as DatabaseError

from invoices import clock
from invoices.health.checks import reach_broker
from invoices.management.demo.environment import LOCALHOST, shell_exports, write_json, write_private
from invoices.management.demo.statement import bank_statement
from invoices.management.demo.supervisor import Child, StartupFailed, StopRequested, Supervisor
from invoices.management.demo.tour import Addresses, tour
from invoices.management.demo.users import create_service, create_users
from invoices.management.exit_codes import RECONCILED
from invoices.models import Heartbeat, Invoice, ReconciliationRun

REPORT = "demo.json"  # in the data folder, while all is up
# Of the web server, as the README has them: no client keeps a head of a request or an idle connection open for longer
# than ten seconds; a process that was killed is replaced; and one that is stopped ends its requests within 25 seconds.
WEB_OPTIONS = (
    "--interface asgi --http 1 --no-ws --http1-header-read-timeout 10000 --backpressure 4096 "
    "--respawn-failed-workers --workers-kill-timeout 25"
).split()
QUIET_WORKER = ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # one worker has nobody to talk to


class Demo:
    """One run, from starting the sandbox until somebody ends it."""

    def __init__(
        self,
        folder: Path,
        env: dict[str, str],
        secrets: dict[str, str],
        port: int,
        sandbox_port: int,
        invoice_count: int,
        seed: int,
        print_line: Callable[[str], None],
    ) -> None:
        self.folder, self.env, self.secrets, self.print_line = folder, env, secrets, print_line
        self.port, self.sandbox_port, self.invoice_count, self.seed = port, sandbox_port, invoice_count, seed
        self.url, self.sandbox_url = f"http://{LOCALHOST}:{port}", f"http://{LOCALHOST}:{sandbox_port}"
        self.report = folder / REPORT

    def run(self) -> None:
        """Returns when somebody ended it. Raises CommandError when something does not come up."""
        try:
            with Supervisor(settings.BASE_DIR, self.folder / "logs", os.environ, self.print_line) as supervisor:
                try:
                    self.bring_up(supervisor)
                    while True:
                        supervisor.restart_dead()
                        time.sleep(0.2)
                except StopRequested:
                    self.print_line("Ending everything …")
        except StartupFailed as error:
            raise CommandError(str(error)) from None
        finally:
            self.report.unlink(missing_ok=True)
        self.print_line("Ended. The data stays for the next time.")

    def bring_up(self, supervisor: Supervisor) -> None:
        started_at = time.monotonic()
        self.print_line(f"Sandbox: {self.sandbox_url} (log: {supervisor.logs}/)")
        sandbox = supervisor.start("sandbox", self.sandbox_command())
        self.print_line("Database: bringing the tables up to date")
        self.migrate()
        self.check_broker()
        self.print_line(f"Web: {self.url}")
        web = supervisor.start("web", self.web_command())
        supervisor.wait_for(sandbox, lambda: get(self.sandbox_port, "/_sandbox/stats")[0] == 200, 120)
        supervisor.wait_for(web, lambda: get(self.port, "/healthz")[0] == 200, 60)
        self.reconcile(supervisor)
        self.print_line("Worker and beat")
        workers_started_at = clock.now()
        worker = supervisor.start(
            "worker", self.celery("worker", "--pool", "threads", "--concurrency", "4", *QUIET_WORKER)
        )
        supervisor.start("beat", self.celery("beat"))
        supervisor.wait_for(worker, lambda: worker_seen_since(workers_started_at), 60)
        users = create_users(self.secrets)
        create_service(self.secrets["api_token"])
        self.wait_until_ready(supervisor, web)
        self.write_report(users)
        self.print_line(f"All is up after {time.monotonic() - started_at:.0f} seconds.")
        self.welcome(users)

    def sandbox_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "sandbox", "--port", str(self.sandbox_port)),
            *("--state", str(self.folder / "sandbox.sqlite3")),
            *("--webhook-url", f"{self.url}/webhooks/stripe", "--webhook-secret", self.secrets["webhook_secret"]),
            *("--invoices", str(self.invoice_count), "--seed", str(self.seed)),
        ]

    def web_command(self) -> list[str]:
        # One process, because /metrics shows the counters of the process that answers.
        return [
            *(sys.executable, "-m", "granian", "backoffice.asgi:application", *WEB_OPTIONS),
            *("--host", LOCALHOST, "--port", str(self.port), "--workers", "1", "--log-level", "warning"),
        ]

    def celery(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "celery", "--app", "backoffice", *arguments, "--loglevel", "WARNING"]

    def migrate(self) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except DatabaseError as error:
            raise StartupFailed(f"The database does not answer: {str(error).strip().splitlines()[0]}") from None

    def check_broker(self) -> None:
        try:
            reach_broker()
        except Exception as error:
            raise StartupFailed(f"The broker does not answer: {type(error).__name__}. See --broker.") from None

    def reconcile(self, supervisor: Supervisor) -> None:
        """Runs before worker and beat are started, because they would reconcile too.

        A run that the last demo left unfinished is marked as silent, so that this one takes it over at once.
        """
        unfinished = ReconciliationRun.objects.filter(state=ReconciliationRun.State.RUNNING)
        unfinished.update(alive_at=clock.now() - timedelta(days=1))
        full = not ReconciliationRun.objects.filter(
            kind=ReconciliationRun.Kind.FULL, state=ReconciliationRun.State.FINISHED
        ).exists()
        self.print_line(
            "Importing the sandbox's invoices" if full else "Looking for what changed at the sandbox meanwhile"
        )
        command = [sys.executable, "manage.py", "reconcile", *(["--full"] if full else [])]
        code = supervisor.run("reconcile", command)
        if code not in RECONCILED:
            raise StartupFailed(f"reconcile ended with {code}.")
        self.print_line(f"{Invoice.objects.count()} invoices are here.")

    def wait_until_ready(self, supervisor: Supervisor, web: Child) -> None:
        try:
            supervisor.wait_for(web, lambda: get(self.port, "/readyz")[0] == 200, 30)
        except StartupFailed:
            status, body = get(self.port, "/readyz")
            reasons = json.loads(body)["reasons"] if status == 503 else [f"/readyz answers {status}"]
            raise StartupFailed(f"Not ready: {'; '.join(reasons)}.") from None

    def write_report(self, users: list[dict[str, str]]) -> None:
        write_private(self.folder / "env", shell_exports(self.env))
        write_json(
            self.report,
            {
                "url": self.url,
                "admin_url": f"{self.url}/admin/",
                "api_base": self.url,
                "sandbox_url": self.sandbox_url,
                "stripe_key": self.secrets["stripe_key"],
                "webhook_url": f"{self.url}/webhooks/stripe",
                "webhook_secret": self.secrets["webhook_secret"],
                "api_token": self.secrets["api_token"],
                "users": users,
                "env": self.env,
            },
        )

    def statement(self) -> Path | None:
        """A bank's file for the tour, written once; None where too few invoices are open."""
        file = self.folder / "statement.sta"
        if not file.exists() and (content := bank_statement(clock.now().date())):
            file.write_text(content)
        return relative(file) if file.exists() else None

    def welcome(self, users: list[dict[str, str]]) -> None:
        addresses = Addresses(
            self.url,
            self.sandbox_url,
            self.secrets["stripe_key"],
            relative(self.folder / "env"),
            str(relative(Path(sys.executable))),
            self.statement(),
        )
        self.print_line(f"\n  Admin     {self.url}/admin/")
        for user in users:
            self.print_line(f"            {user['username']:<9} {user['password']}   {user['role']}")
        self.print_line(f"  API       {self.url}/v1/invoices   (docs: {self.url}/api/docs/)")
        self.print_line(f"            Authorization: Bearer {self.secrets['api_token']}")
        self.print_line(f"  Sandbox   {self.sandbox_url}   key {self.secrets['stripe_key']}")
        self.print_line(f"  For scripts, all of this: {relative(self.report)}\n\nA tour:")
        for line in tour(addresses):
            self.print_line(f"  {line}")
        self.print_line(
            "\n  A second factor is asked of whoever has added one (“Your second factor”, at the foot of Home).\n"
            '  To require it of everyone, as in production: make demo ARGS="--set SECOND_FACTOR_REQUIRED=true"'
        )
        self.print_line("\nCtrl-C ends everything; the data stays.")


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a local server; status 0 while nobody answers."""
    server = http.client.HTTPConnection(LOCALHOST, port, timeout=5)
    try:
        server.request("GET", path)
        response = server.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        server.close()


def worker_seen_since(moment: datetime) -> bool:
    """Whether a worker wrote its heartbeat since then."""
    return Heartbeat.objects.filter(name="worker", seen_at__gte=moment).exists()


def relative(path: Path) -> Path:
    """The path as one would type it in this directory."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
