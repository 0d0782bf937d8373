"""The demo's secrets and environment variables. The secrets are random, and stay the same at every start."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

LOCALHOST = "127.0.0.1"


def load_secrets(folder: Path) -> dict[str, str]:
    """The secrets in the folder's `secrets.json`. Those that it lacks are made and written to it."""
    path = folder / "secrets.json"
    try:
        stored = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        stored = {}
    made = {
        "django_secret_key": secrets.token_urlsafe(48),
        "stripe_key": f"sk_test_{secrets.token_hex(12)}",
        "webhook_secret": f"whsec_{secrets.token_hex(16)}",
        "api_token": secrets.token_hex(32),
    } | {f"password_of_{name}": secrets.token_urlsafe(9) for name in ("agent", "manager", "auditor", "admin")}
    if made.keys() - stored.keys():
        stored = made | stored
        write_private(path, json.dumps(stored, indent=2))
    return stored


def demo_environment(
    folder: Path, port: int, sandbox_port: int, demo_secrets: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The variables with which any `manage.py` command works on the demo's data.

    `given` is this terminal's environment: its database and broker are used if it names them.
    """
    return {
        "DATA_DIR": str(folder),
        "DATABASE_URL": given.get("DATABASE_URL") or f"sqlite:///{quote(str(folder / 'invoices.sqlite3'))}",
        "CELERY_BROKER_URL": given.get("CELERY_BROKER_URL") or "embedded://",
        "DJANGO_PUBLIC_URL": f"http://{LOCALHOST}:{port}",
        "DJANGO_SECRET_KEY": demo_secrets["django_secret_key"],
        "STRIPE_SECRET_KEY": demo_secrets["stripe_key"],
        "STRIPE_API_BASE": f"http://{LOCALHOST}:{sandbox_port}",
        "STRIPE_WEBHOOK_SECRETS": demo_secrets["webhook_secret"],
        "STRIPE_REQUESTS_PER_SECOND": "0",
    }


def process_environment(demo: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the demo's processes: this terminal's, with the demo's variables over it.

    Two things of the terminal are kept out: variables of a real Stripe account, and proxies for local addresses.
    """
    without_stripe = {name: value for name, value in given.items() if not name.startswith("STRIPE_")}
    no_proxy = ",".join(filter(None, [given.get("NO_PROXY") or given.get("no_proxy"), "127.0.0.1,localhost"]))
    return (
        without_stripe
        | {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        | {"NO_PROXY": no_proxy, "no_proxy": no_proxy}
        | dict(demo)
    )


def shell_exports(demo: Mapping[str, str]) -> str:
    """The content of `<data-dir>/env`, for `. <data-dir>/env` in a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in demo.items())


def write_private(path: Path, text: str) -> None:
    """Writes the whole file at once, by a rename. Only this user may read it."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(content, indent=2) + "\n")
