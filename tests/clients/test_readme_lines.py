"""The lines that the README gives to a service, word for word, but for the address and the token."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from invoices import refetch
from invoices.models import ApiToken
from tests.clients import environments
from tests.factories import invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()


@pytest.fixture
def open_ids(sandbox: SandboxProcess) -> list[str]:
    ids = [invoice_at(sandbox).id for _ in range(2)]
    for id in ids:
        refetch.refetch("invoice", id)
    return ids


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_lines_of_the_readme_pay_what_is_open(
    language: str, open_ids: list[str], live_server: Any, agent: User, tmp_path: Path
) -> None:
    [lines] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    lines = lines.replace("the token", ApiToken.objects.create(agent, name="a service")[1])
    if language == "python":
        script, interpreter = tmp_path / "service.py", [sys.executable]
        script.write_text(lines.replace("https://desk.example.com", live_server.url))
        command = [*interpreter, str(script)]
    else:
        at = urlsplit(live_server.url)
        script = tmp_path / "service.mjs"
        address = f'host: "{at.hostname}", port: {at.port}, protocol: "http"'
        script.write_text(lines.replace('host: "desk.example.com"', address))
        command = environments.node("node-23", script)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"{id} paid" for id in open_ids)


def test_the_readme_names_the_version_that_the_desk_has() -> None:
    named = set(re.findall(r"20\d\d-\d\d-\d\d\.[a-z]+", README))
    assert settings.STRIPE_API_VERSION in named
