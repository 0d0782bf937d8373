"""Management commands: inside the test's own process, or as a process of their own that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from tests.sandbox_process import ROOT, SandboxProcess


def run_command(name: str, *words: str) -> tuple[int, str]:
    """(exit status, standard output)."""
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(name, *words, stdout=output)
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return code, output.getvalue()


def database_url() -> str:
    """The tests' database, for a process of its own."""
    given = connection.settings_dict
    if connection.vendor == "postgresql":
        return f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT'] or 5432}/{given['NAME']}"
    return f"sqlite:///{given['NAME']}"


def start_command(sandbox: SandboxProcess, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """`python …` as a process of its own, on the tests' database and sandbox."""
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DATA_DIR": str(settings.DATA_DIR),
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_SECRET_KEY": sandbox.key,
        "STRIPE_REQUESTS_PER_SECOND": "0",
        **environment,
    }
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
