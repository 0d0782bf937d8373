"""`manage.py demo`: everything on this machine, with no server to install: sandbox, web, worker, beat, data, people."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import sys
import time
from argparse import ArgumentParser
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from django.db import Error as DatabaseError

from backoffice.celery import reach_broker
from invoices import clock
from invoices.management.demo import keys, people, tour
from invoices.management.demo.keys import HERE
from invoices.management.demo.processes import Child, Family, Stop, Trouble
from invoices.models import Heartbeat, Invoice, ReconciliationRun

PREPARED = "INVOICE_DESK_DEMO"  # our process id, once the environment is the demo's
REPORT = "demo.json"  # is there while all is up
CLEAN, HEALED, DRIFT_LEFT = 0, 3, 4  # exit codes of `reconcile`


class Command(BaseCommand):
    help = (
        "Runs everything on this machine against the sandbox, until Ctrl-C. Carries on with the data of the last time."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the web app")
        parser.add_argument("--sandbox-port", type=int, default=12111, help="of the stand-in for Stripe")
        parser.add_argument("--data-dir", type=Path, default=Path(".demo"), help="where everything is kept")
        parser.add_argument("--invoices", type=int, default=500, help="how many the sandbox begins with")
        parser.add_argument("--seed", type=int, default=1, help="of the sandbox's data")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["data_dir"].absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (folder / "lock").open("w")
        except OSError as error:
            raise CommandError(f"The data folder cannot be used: {error.strerror}: {error.filename}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(f"Another demo runs on {folder}: end it first, or use another --data-dir.") from None
            (folder / REPORT).unlink(missing_ok=True)  # of a demo that was killed
            check_ports(options["port"], options["sandbox_port"])
            kept = keys.kept_secrets(folder)
            env = keys.environment(folder, options["port"], options["sandbox_port"], kept, os.environ)
            if os.environ.get(PREPARED) != str(os.getpid()):
                begin_again_with(keys.whole_environment(env, os.environ))
            Demo(folder, env, kept, options, self.say).run()

    def say(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:
            return  # nobody listens any more; the work goes on


def begin_again_with(env: dict[str, str]) -> None:
    """The settings were read from the environment before we could set it: run this very command once more."""
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env | {PREPARED: str(os.getpid())})  # noqa: S606


def check_ports(*ports: int) -> None:
    if len(set(ports)) < len(ports):
        raise CommandError("--port and --sandbox-port must differ.")
    for port in ports:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HERE, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise CommandError(
                f"Port {port} cannot be used ({why}): give others with --port and --sandbox-port."
            ) from None


class Demo:
    """One run, from nothing to all being up, until somebody ends it."""

    def __init__(
        self, folder: Path, env: dict[str, str], kept: dict[str, str], options: dict[str, Any], say: Any
    ) -> None:
        self.folder, self.env, self.kept, self.options, self.say = folder, env, kept, options, say
        self.port, self.sandbox_port = options["port"], options["sandbox_port"]
        self.url, self.sandbox_url = f"http://{HERE}:{self.port}", f"http://{HERE}:{self.sandbox_port}"
        self.report = folder / REPORT

    def run(self) -> None:
        try:
            with Family(settings.BASE_DIR, self.folder / "logs", os.environ, self.say) as family:
                try:
                    self.bring_up(family)
                    while True:
                        family.tend()
                        time.sleep(0.2)
                except Stop:
                    self.say("Ending everything …")
        except Trouble as trouble:
            raise CommandError(str(trouble)) from None
        finally:
            self.report.unlink(missing_ok=True)
        self.say("Ended. The data stays for the next time.")

    def bring_up(self, family: Family) -> None:
        began = time.monotonic()
        self.say(f"Sandbox: {self.sandbox_url} (log: {family.logs}/)")
        sandbox = family.start("sandbox", self.sandbox_command())
        self.say("Database: bringing the tables up to date")
        self.migrate()
        self.reach_broker()
        self.say(f"Web: {self.url}")
        web = family.start("web", self.web_command())
        family.wait_for(sandbox, lambda: ask(self.sandbox_port, "/_sandbox/stats")[0] == 200, 120)
        family.wait_for(web, lambda: ask(self.port, "/healthz")[0] == 200, 60)
        self.reconcile(family)
        self.say("Worker and beat")
        since = clock.now()
        worker = family.start("worker", self.celery("worker", "--pool", "threads", "--concurrency", "4", *QUIET))
        family.start("beat", self.celery("beat", "--schedule", str(self.folder / "beat-schedule")))
        family.wait_for(worker, lambda: seen_since(since), 60)
        users = people.create_people(self.kept)
        people.create_service(self.kept["api_token"])
        self.wait_until_ready(family, web)
        self.write_report(users)
        self.say(f"All is up after {time.monotonic() - began:.0f} seconds.")
        self.welcome(users)

    def sandbox_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "sandbox", "--port", str(self.sandbox_port)),
            *("--state", str(self.folder / "sandbox.sqlite3")),
            *("--webhook-url", f"{self.url}/webhooks/stripe", "--webhook-secret", self.kept["webhook_secret"]),
            *("--invoices", str(self.options["invoices"]), "--seed", str(self.options["seed"])),
        ]

    def web_command(self) -> list[str]:
        # One process: its counters at /metrics are all there are. Threads: some may be waiting for Stripe.
        return [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "backoffice.wsgi:application"),
            *("--host", HERE, "--port", str(self.port), "--workers", "1", "--blocking-threads", "32"),
            *("--no-ws", "--respawn-failed-workers", "--log-level", "warning"),
        ]

    def celery(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "celery", "--app", "backoffice", *arguments, "--loglevel", "WARNING"]

    def migrate(self) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except DatabaseError as error:
            raise Trouble(f"The database does not answer: {str(error).strip().splitlines()[0]}") from None

    def reach_broker(self) -> None:
        try:
            reach_broker()
        except Exception as error:
            raise Trouble(f"The broker does not answer: {type(error).__name__}. See CELERY_BROKER_URL.") from None

    def reconcile(self, family: Family) -> None:
        """Before worker and beat, which would reconcile too; what was ended in the middle of it is gone on with."""
        left = ReconciliationRun.objects.filter(state=ReconciliationRun.State.RUNNING)
        left.update(alive_at=clock.now() - timedelta(days=1))
        full = not ReconciliationRun.objects.filter(
            kind=ReconciliationRun.Kind.FULL, state=ReconciliationRun.State.FINISHED
        ).exists()
        self.say("Importing the sandbox's invoices" if full else "Looking for what changed at the sandbox meanwhile")
        command = [sys.executable, "manage.py", "reconcile", *(["--full"] if full else [])]
        code = family.run("reconcile", command)
        if code not in (CLEAN, HEALED, DRIFT_LEFT):
            raise Trouble(f"reconcile ended with {code}.")
        self.say(f"{Invoice.objects.count()} invoices are here.")

    def wait_until_ready(self, family: Family, web: Child) -> None:
        try:
            family.wait_for(web, lambda: ask(self.port, "/readyz")[0] == 200, 30)
        except Trouble:
            status, body = ask(self.port, "/readyz")
            reasons = json.loads(body)["reasons"] if status == 503 else [f"/readyz answers {status}"]
            raise Trouble(f"Not ready: {'; '.join(reasons)}.") from None

    def write_report(self, users: list[dict[str, str]]) -> None:
        keys.write_private(self.folder / "env", keys.shell_file(self.env))
        keys.write_json(
            self.report,
            {
                "url": self.url,
                "admin_url": f"{self.url}/admin/",
                "api_base": self.url,
                "sandbox_url": self.sandbox_url,
                "stripe_key": self.kept["stripe_key"],
                "webhook_url": f"{self.url}/webhooks/stripe",
                "webhook_secret": self.kept["webhook_secret"],
                "api_token": self.kept["api_token"],
                "users": users,
                "env": self.env,
            },
        )

    def welcome(self, users: list[dict[str, str]]) -> None:
        stage = tour.Stage(
            self.url,
            self.sandbox_url,
            self.kept["stripe_key"],
            short(self.folder / "env"),
            str(short(Path(sys.executable))),
        )
        self.say(f"\n  Admin     {self.url}/admin/")
        for user in users:
            self.say(f"            {user['username']:<9} {user['password']}   {user['role']}")
        self.say(f"  API       {self.url}/v1/invoices   (docs: {self.url}/api/docs/)")
        self.say(f"            Authorization: Bearer {self.kept['api_token']}")
        self.say(f"  Sandbox   {self.sandbox_url}   key {self.kept['stripe_key']}")
        self.say(f"  For scripts, all of this: {short(self.report)}\n\nA tour:")
        for line in tour.tour(stage):
            self.say(f"  {line}")
        self.say("\nCtrl-C ends everything; the data stays.")


QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 where nobody answers yet."""
    server = http.client.HTTPConnection(HERE, port, timeout=5)
    try:
        server.request("GET", path)
        answer = server.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        server.close()


def seen_since(moment: datetime) -> bool:
    """Whether a worker has been at work since then."""
    return Heartbeat.objects.filter(name="worker", seen_at__gte=moment).exists()


def short(path: Path) -> Path:
    """As one would type it here."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
