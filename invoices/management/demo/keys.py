"""The demo's secrets and the environment made of them: random, kept in the data folder, the same at every start."""

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

HERE = "127.0.0.1"


def kept_secrets(folder: Path) -> dict[str, str]:
    """What the folder holds, and what it lacks made now."""
    path = folder / "secrets.json"
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        kept = {}
    made = {
        "django_secret_key": secrets.token_urlsafe(48),
        "stripe_key": f"sk_test_{secrets.token_hex(12)}",
        "webhook_secret": f"whsec_{secrets.token_hex(16)}",
        "api_token": secrets.token_hex(32),
    } | {f"password_of_{name}": secrets.token_urlsafe(9) for name in ("agent", "manager", "auditor", "admin")}
    if made.keys() - kept.keys():
        kept = made | kept
        write_private(path, json.dumps(kept, indent=2))
    return kept


def environment(
    folder: Path, port: int, sandbox_port: int, kept: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The variables with which any `manage.py` command works on the demo's data; the database and broker if given."""
    return {
        "DATA_DIR": str(folder),
        "DATABASE_URL": given.get("DATABASE_URL") or f"sqlite:///{quote(str(folder / 'invoices.sqlite3'))}",
        "CELERY_BROKER_URL": given.get("CELERY_BROKER_URL") or "embedded://",
        "DJANGO_PUBLIC_URL": f"http://{HERE}:{port}",
        "DJANGO_SECRET_KEY": kept["django_secret_key"],
        "STRIPE_SECRET_KEY": kept["stripe_key"],
        "STRIPE_API_BASE": f"http://{HERE}:{sandbox_port}",
        "STRIPE_WEBHOOK_SECRETS": kept["webhook_secret"],
        "STRIPE_REQUESTS_PER_SECOND": "0",
    }


def whole_environment(demo: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """For our processes: what this terminal has, without what would lead them to another account or through a proxy."""
    rest = {name: value for name, value in given.items() if not name.startswith("STRIPE_")}
    around = ",".join(filter(None, [given.get("NO_PROXY") or given.get("no_proxy"), "127.0.0.1,localhost"]))
    return (
        rest
        | {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        | {"NO_PROXY": around, "no_proxy": around}
        | dict(demo)
    )


def shell_file(demo: Mapping[str, str]) -> str:
    """For `. <data-dir>/env` in a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in demo.items())


def write_private(path: Path, text: str) -> None:
    """All of it or nothing of it, for this user's eyes only."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(content, indent=2) + "\n")
