"""Fixtures: one sandbox process for the whole folder, emptied before every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.receiver import Receiver
from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="session")
def stand_in() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process
        assert process.errors.read_text() == "", "the sandbox had something to complain of"


@pytest.fixture
def shop(stand_in: SandboxProcess) -> Shop:
    stand_in.reset()
    stand_in.webhook(None)
    return Shop(stand_in)


@pytest.fixture
def receiver(shop: Shop) -> Iterator[Receiver]:
    """The receiver of the shop's webhooks."""
    listening = Receiver()
    shop.process.webhook(listening.url)
    yield listening
    shop.process.webhook(None)
    listening.shutdown()
    listening.server_close()
