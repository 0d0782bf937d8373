"""Environments of other clients, installed below `.clients/` once on a machine, in locked versions with their hashes.

Where something cannot be installed, because there is no network or no Node, the tests of that client are skipped, and
they say why. A package with another hash fails them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".clients"
INSTALL_SECONDS, RUN_SECONDS = 240, 60


def python(name: str) -> list[str]:
    """The Python of the environment that `<name>/requirements.txt` locks; `sys.executable` for the SDK of the desk."""
    if not name:
        return [sys.executable]
    folder = _installed(name, "requirements.txt", _install_python)
    return [str(folder / "bin" / "python")]


def node(name: str, script: Path) -> list[str]:
    """Node with this script, which finds the packages that `<name>/package-lock.json` locks."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("THE NODE SDKS ARE NOT TRIED: there is no node and npm here (Debian: apt install nodejs npm)")
    folder = _installed(name, "package-lock.json", _install_node)
    return ["node", str(shutil.copy(script, folder))]


def run(command: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """What the client prints: what came of each step of its scenario."""
    # None of our own settings, and no proxy between the client and this machine.
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "NO_PROXY": "127.0.0.1,localhost"}
    done = subprocess.run(
        command,
        input=json.dumps(given),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _installed(name: str, lock: str, install: Any) -> Path:
    """The folder of the environment. Its name has the hash of the lock file, so that a new version is a new one."""
    locked = (HERE / name / lock).read_bytes()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = CACHE / f"{name}-{hashlib.sha256(locked + version.encode()).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several pytest workers may want it at once
        if not (folder / ".installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(HERE / name, folder)
            (folder / ".installed").touch()
    return folder


def _install_python(source: Path, folder: Path) -> None:
    _must([sys.executable, "-m", "venv", "--without-pip", str(folder)], source.name)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-input"]
    options = ["--no-deps", "--require-hashes", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    _must([*pip, *options, "-r", str(source / "requirements.txt")], source.name)


def _install_node(source: Path, folder: Path) -> None:
    folder.mkdir()
    for file in ("package.json", "package-lock.json"):
        shutil.copy(source / file, folder)
    _must(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], source.name, folder)


def _must(command: list[str], name: str, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} IS NOT TRIED: it could not be installed within {INSTALL_SECONDS} s")
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        assert not any(word in said for word in ("HASH", "EINTEGRITY", "EUSAGE")), said
        first = next((line for line in said.splitlines() if re.search("(?i)error", line)), said[-200:])
        pytest.skip(f"{name} IS NOT TRIED: it could not be installed (is there a network?): {first.strip()}")
