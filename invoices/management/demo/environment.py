"""The demo's secrets and environment variables. The secrets are random, and stay the same at every start.

Nothing that the terminal has exported configures the demo: it may be the environment of a production desk. `manage.py`
calls `leave_the_shell` before Django reads its settings.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import uuid
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

LOCALHOST = "127.0.0.1"
PREPARED = "INVOICE_DESK_DEMO"  # the variable that holds our process id once our environment is the demo's
# What a program needs of the terminal: where things are, language, time zone.
KEPT = set("PATH HOME USER LOGNAME SHELL TERM LANG LANGUAGE TZ TMPDIR VIRTUAL_ENV COLUMNS".split())
KEPT_BEGINNINGS = ("LC_", "PYTHON", "LD_", "DYLD_", "COVERAGE_")
SETTINGS = Path(__file__).absolute().parents[3] / "backoffice" / "settings.py"
left_out: list[str] = []  # the variables of the settings that this terminal has exported


def leave_the_shell(environ: MutableMapping[str, str]) -> None:
    """Takes everything out of the environment that could configure the demo, before the settings are read."""
    if environ.get(PREPARED) == str(os.getpid()):
        return  # the environment is the demo's own
    ours = setting_names()
    for name in sorted(environ):
        if name not in KEPT and not name.startswith(KEPT_BEGINNINGS):
            del environ[name]
            if name in ours:
                left_out.append(name)


def setting_names() -> set[str]:
    """The variables that the settings read, each also with `_FILE`, which names a file with the value."""
    names = set(re.findall(r'\w\(\s*"([A-Z][A-Z0-9_]+)"', SETTINGS.read_text()))
    return names | {f"{name}_FILE" for name in names}


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
        "demo_id": secrets.token_hex(12),
    } | {
        f"password_of_{name}": secrets.token_urlsafe(9) for name in ("agent", "manager", "auditor", "finance", "admin")
    }
    if made.keys() - stored.keys():
        stored = made | stored
        write_private(path, json.dumps(stored, indent=2))
    return stored


def demo_environment(
    folder: Path,
    port: int,
    sandbox_port: int,
    demo_secrets: Mapping[str, str],
    database: str | None = None,
    broker: str | None = None,
    chosen: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables with which any `manage.py` command works on the demo's data. `chosen` are further ones."""
    return dict(chosen or {}) | {
        "DATA_DIR": str(folder),
        "DATABASE_URL": database or f"sqlite:///{quote(str(folder / 'invoices.sqlite3'))}",
        "CELERY_BROKER_URL": broker or "embedded://",
        "DJANGO_PUBLIC_URL": f"http://{LOCALHOST}:{port}",
        "DJANGO_SECRET_KEY": demo_secrets["django_secret_key"],
        "STRIPE_SECRET_KEY": demo_secrets["stripe_key"],
        "STRIPE_PASS_THROUGH_KEY": demo_secrets["stripe_key"].replace("sk_test_", "rk_test_", 1),
        "STRIPE_API_BASE": f"http://{LOCALHOST}:{sandbox_port}",
        "STRIPE_WEBHOOK_SECRETS": demo_secrets["webhook_secret"],
        "STRIPE_REQUESTS_PER_SECOND": "0",
        "WEB_PROCESSES": "1",
        "WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",  # services to try it with run on this machine
    }


def process_environment(demo: Mapping[str, str], terminal: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the demo's processes: what `leave_the_shell` kept of the terminal's, and the demo's."""
    return (
        dict(terminal)
        | {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        | dict(demo)
    )


def shell_exports(demo: Mapping[str, str]) -> str:
    """The content of `<data-dir>/env`, for `. <data-dir>/env` in a shell, whatever that shell had set before."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in demo.items())
    return f"unset {' '.join(sorted(setting_names()))}\n{exports}"


def write_private(path: Path, text: str) -> None:
    """Writes the whole file at once, by a rename. Only this user may read it."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(content, indent=2) + "\n")
