"""An action is one entry: a file in a copy of the project brings form, endpoint, schema, permission and settling."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("backoffice", "invoices", "sandbox", "templates", "tests", "docs")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project as it is, with the made-up action."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part)  # with what is compiled, so that it is not compiled once more
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tests/new_action/update_due_date.py", tmp_path / "invoices/operations/actions")
    shutil.copy(ROOT / "tests/new_action/checks.py", tmp_path / "tests/test_new_action_checks.py")
    return tmp_path


def test_one_file_brings_all_that_an_action_needs(copy: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = {**os.environ, "DATA_DIR": str(copy / "data")}
    played = subprocess.run(
        [*command, "tests/test_new_action_checks.py"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert played.returncode == 0, played.stdout[-5000:]
    assert "7 passed" in played.stdout


def test_an_entry_that_leaves_something_out_cannot_be_written() -> None:
    """Neither an action that says nothing of its undoing, nor a call that does not say how its effect is recognised."""
    from invoices.operations.action import Action, Call

    with pytest.raises(TypeError, match="undo"):
        type("Half", (Action,), {"name": "half", "label": "Half", "may": "halve", "position": 1, "done_word": "halved"})
    with pytest.raises(TypeError, match="effect"):
        Call("half", "/v1/invoices/{invoice}/half", lambda operation, results: {})  # type: ignore[call-arg]
