"""The whole system, running: `manage.py demo` on free ports and a folder that goes away."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def demo(invoices: int = 20) -> Iterator[dict[str, Any]]:
    """What demo.json says, once all is up; ends every process afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        ports = ["--port", str(_free()), "--sandbox-port", str(_free())]
        command = [sys.executable, "manage.py", "demo", "--data-dir", folder, "--invoices", str(invoices), *ports]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield _wait_for(Path(folder) / "demo.json")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(file: Path) -> dict[str, Any]:
    for _ in range(1200):
        if file.exists():
            return dict(json.loads(file.read_text()))
        time.sleep(0.1)
    raise SystemExit("The demo did not come up.")
