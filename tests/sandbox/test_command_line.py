"""`python -m sandbox`: options, errors at the start, and a clean end."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox_process import ROOT, SandboxError, SandboxProcess


def test_help_explains_itself() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "sandbox", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0
    for word in ("--port", "--state", "--webhook-url", "--webhook-secret", "--invoices", "--seed", "--key"):
        assert word in out.stdout


def test_a_taken_port_is_one_clear_line(stand_in: SandboxProcess) -> None:
    with pytest.raises(SandboxError, match=f"cannot listen on 127.0.0.1:{stand_in.port}"):
        SandboxProcess(port=stand_in.port).start()


def test_a_file_that_is_no_state_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(SandboxError, match="cannot use the state file") as caught:
        SandboxProcess(state=tmp_path / "notes.txt").start()
    assert "Traceback" not in str(caught.value)


def test_it_ends_at_once_and_cleanly() -> None:
    process = SandboxProcess().start()
    Shop(process).customer()
    begun = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - begun < 10  # not by being killed


def test_it_listens_on_the_loopback_address_only(stand_in: SandboxProcess) -> None:
    assert stand_in.url.startswith("http://127.0.0.1:")


def test_only_the_key_of_the_command_line_is_accepted() -> None:
    with SandboxProcess(key="sk_test_mine") as process:
        shop = Shop(process)
        assert shop.get("/v1/customers").status == 200
        other = shop.ask("GET", "/v1/customers", headers={"Authorization": "Bearer sk_test_sandbox"})
        assert other.status == 401


def test_any_test_key_is_accepted_by_default(shop: Shop) -> None:
    for key, status in (("sk_test_abc", 200), ("rk_test_abc", 200), ("pk_test_abc", 401), ("sk_live_abc", 401)):
        assert shop.ask("GET", "/v1/customers", headers={"Authorization": f"Bearer {key}"}).status == status


def test_the_status_page(shop: Shop) -> None:
    shop.process.faults(drop=0.25)
    shop.customer()
    with urllib.request.urlopen(shop.process.url + "/") as response:
        page = response.read().decode()
    for part in (shop.process.url, "sk_test_", "&#x27;drop&#x27;: 0.25", "Last deliveries"):
        assert part in page


def test_a_reply_is_sent_in_one_write(shop: Shop) -> None:
    """Head and body are one write: in two writes the second would wait 40 ms for an acknowledgement."""
    shop.customer()
    took = []
    for _ in range(50):
        begun = time.monotonic()
        shop.v1.customers.list()
        took.append(time.monotonic() - begun)
    assert min(took) < 0.04
