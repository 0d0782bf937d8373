"""The peers: other software that keeps Stripe's invoices in a database, each as its package is published.

They are installed into a folder of their own below the cache folder (XDG_CACHE_HOME), the first time for good; delete
`invoice-desk-benchmarks` there to install them again. Each takes the same signed events as ours, in two processes as
ours, and each imports from the same stand-in for Stripe.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from benchmarks.objects import KEY, SECRET
from benchmarks.systems import Database, Postgresql, Sqlite, System, Unavailable, get

HERE = Path(__file__).resolve().parent
# No package: granian imports what is in one by its whole name, and dj-stripe's Python does not have what ours has.
PROJECT = HERE / "project"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invoice-desk-benchmarks"
DJ_STRIPE = ("dj-stripe==2.11.0", "granian==2.8.7", "psycopg[binary]==3.3.9")
NODE = ("@supabase/stripe-sync-engine@0.48.5", "@stripe/sync-engine@1.0.32", "stripe@23.1.0")
ENDPOINT = uuid.UUID(int=1)  # of dj-stripe's row about its webhook endpoint
INSTALL_SECONDS = 600


def _install(folder: Path, wanted: tuple[str, ...], commands: list[list[str]]) -> None:
    """Runs the commands unless the folder has just that. Raises Unavailable."""
    mark = folder / "installed.json"
    if mark.exists() and json.loads(mark.read_text()) == list(wanted):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"not installed: {error}") from None
        if done.returncode:
            raise Unavailable(f"not installed: {(done.stderr or done.stdout).strip()[-300:]}")
    mark.write_text(json.dumps(wanted))


class DjStripe(System):
    """dj-stripe in a project of its own, its webhooks and its command."""

    name = "dj-stripe"
    webhook_path = f"/stripe/webhook/{ENDPOINT}/"
    folder_of_package = CACHE / "dj-stripe"
    python = folder_of_package / "bin" / "python"

    def _environment(self) -> dict[str, str]:
        return _djstripe_environment(self.database, self.stripe_port)

    @classmethod
    def prepare(cls, database: type[Postgresql] | type[Sqlite]) -> Database:
        if database.kind != "postgresql":
            raise Unavailable("the peers are compared on PostgreSQL")
        pip = [str(cls.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *DJ_STRIPE]
        _install(cls.folder_of_package, DJ_STRIPE, [[sys.executable, "-m", "venv", "."], pip])
        made = database()
        done = subprocess.run(
            [str(cls.python), str(PROJECT / "djstripe_project.py"), "prepare", str(ENDPOINT), SECRET],
            env={**os.environ, **_djstripe_environment(made, 9)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            made.drop()
            raise Unavailable(f"its tables could not be made: {done.stderr.strip()[-500:]}")
        return made

    def start(self) -> None:
        command = [str(self.python), "-m", "granian", "djstripe_project:application", "--interface", "wsgi"]
        command += ["--http", "1", "--no-ws", "--workers", "2", "--blocking-threads", "4", "--log-level", "warning"]
        self.run("web", [*command, "--host", "127.0.0.1", "--port", str(self.port)], self._environment(), PROJECT)
        self.wait_until("web", lambda: get(self.port, "/")[0] == 404)

    def statuses(self, ids: list[str]) -> dict[str, tuple[str, int]]:
        found = self.database.rows("SELECT id, stripe_data FROM djstripe_invoice")
        read = {id: data if isinstance(data, dict) else json.loads(data) for id, data in found}
        return {id: (data["status"], int(data["metadata"]["step"])) for id, data in read.items()}

    def visible(self, ids: list[str]) -> dict[str, str]:
        marks = ",".join(["%s"] * len(ids))
        found = self.database.rows(f"SELECT id, stripe_data FROM djstripe_invoice WHERE id IN ({marks})", *ids)
        return {id: (data if isinstance(data, dict) else json.loads(data))["status"] for id, data in found}

    def importing(self) -> tuple[list[str], dict[str, str], Path]:
        command = [str(self.python), str(PROJECT / "djstripe_project.py"), "djstripe_sync_models", "Invoice"]
        return command, self._environment(), PROJECT

    def imported(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM djstripe_invoice")[0][0])

    def version(self) -> str:
        return DJ_STRIPE[0].replace("==", " ")


def _djstripe_environment(database: Database, stripe_port: int) -> dict[str, str]:
    return {
        "PEER_DATABASE": database.url,
        "PEER_STRIPE": f"http://127.0.0.1:{stripe_port}",
        "PEER_KEY": KEY,
        "DJANGO_SETTINGS_MODULE": "djstripe_project",
        "PYTHONPATH": str(PROJECT),
    }


class SyncEngine(System):
    """One of the two packages of the sync engine, behind node's own HTTP server in two processes."""

    package: str

    def _environment(self, **more: str) -> dict[str, str]:
        return _node_environment(self.package, self.database, self.stripe_port) | more

    @classmethod
    def prepare(cls, database: type[Postgresql] | type[Sqlite]) -> Database:
        if database.kind != "postgresql":
            raise Unavailable("the peers are compared on PostgreSQL, the only one that this one works on")
        if not (shutil.which("node") and shutil.which("npm")):
            raise Unavailable("there is no node and npm here")
        npm = ["npm", "install", "--no-audit", "--no-fund", "--no-progress", *NODE]
        _install(CACHE / "sync-engine", NODE, [["npm", "init", "--yes"], npm])
        made = database()
        try:
            cls.make_tables(made)
        except Unavailable:
            made.drop()
            raise
        return made

    @classmethod
    def make_tables(cls, database: Database) -> None:
        done = subprocess.run(
            ["node", str(HERE / "sync_engine.cjs"), "migrate"],
            env={**os.environ, **_node_environment(cls.package, database, 9)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"its tables could not be made: {(done.stdout + done.stderr).strip()[-500:]}")

    def start(self) -> None:
        command = ["node", str(HERE / "sync_engine.cjs"), "serve"]
        self.run("web", command, self._environment(PEER_PORT=str(self.port)))
        self.wait_until("web", lambda: get(self.port, "/")[0] == 404)

    def statuses(self, ids: list[str]) -> dict[str, tuple[str, int]]:
        found = self.database.rows("SELECT id, status, metadata->>'step' FROM stripe.invoices")
        return {id: (status, int(step)) for id, status, step in found}

    def visible(self, ids: list[str]) -> dict[str, str]:
        marks = ",".join(["%s"] * len(ids))
        return dict(self.database.rows(f"SELECT id, status FROM stripe.invoices WHERE id IN ({marks})", *ids))

    def importing(self) -> tuple[list[str], dict[str, str], Path]:
        return ["node", str(HERE / "sync_engine.cjs"), "import"], self._environment(), HERE

    def imported(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM stripe.invoices")[0][0])

    def version(self) -> str:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
        package = next(each for each in NODE if each.startswith(self.package))
        return f"{' '.join(package.rsplit('@', 1))}, node {node}"


def _node_environment(package: str, database: Database, stripe_port: int) -> dict[str, str]:
    return {
        "PEER_PACKAGE": package,
        "PEER_FOLDER": str(CACHE / "sync-engine"),
        "PEER_DATABASE": database.url,
        "PEER_STRIPE_PORT": str(stripe_port),
        "PEER_KEY": KEY,
        "PEER_SECRET": SECRET,
    }


class SupabaseSyncEngine(SyncEngine):
    name = "supabase"
    package = "@supabase/stripe-sync-engine"


class StripeSyncEngine(SyncEngine):
    """Makes its tables from Stripe's OpenAPI file, which it downloads unless STRIPE_OPENAPI names one here."""

    name = "stripe"
    package = "@stripe/sync-engine"

    @classmethod
    def make_tables(cls, database: Database) -> None:
        if not os.environ.get("STRIPE_OPENAPI"):
            raise Unavailable("it makes its tables from Stripe's OpenAPI file: name one by STRIPE_OPENAPI")
        super().make_tables(database)


PEERS: tuple[type[System], ...] = (DjStripe, SupabaseSyncEngine, StripeSyncEngine)
