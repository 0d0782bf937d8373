"""What many tests need: a sandbox that stands for Stripe, people of each group, and the way events arrive."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from invoices import gateway, sync
from invoices.models.groups import create_groups
from tests.sandbox_process import SandboxProcess

SECRET = "whsec_sandbox"


@pytest.fixture(scope="session")
def _sandbox_process() -> Iterator[SandboxProcess]:
    with SandboxProcess(webhook_secret=SECRET) as process:
        yield process


@pytest.fixture
def sandbox(_sandbox_process: SandboxProcess, settings: Any) -> Iterator[SandboxProcess]:
    """Stripe, empty and without faults, real time, and no webhooks until a test says where to."""
    _sandbox_process.reset()
    _sandbox_process.clear_faults()
    _sandbox_process.clock(real=True)
    _sandbox_process.webhook(None)
    settings.STRIPE_API_BASE = _sandbox_process.url
    settings.STRIPE_SECRET_KEY = _sandbox_process.key
    yield _sandbox_process
    _sandbox_process.clear_faults()


def sign(body: bytes, secret: str = SECRET, at: int | None = None) -> str:
    """A `Stripe-Signature` header for these bytes."""
    stamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


@pytest.fixture
def post_event(client: Client) -> Callable[..., Any]:
    """Posts a body, signed, to the webhook door."""

    def post(event: dict[str, Any] | bytes, **options: Any) -> Any:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return client.post(
            "/webhooks/stripe",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": sign(body, **options)},
        )

    return post


@pytest.fixture
def deliver(sandbox: SandboxProcess, post_event: Callable[..., Any]) -> Callable[[], int]:
    """Brings every event of the sandbox that has not been brought yet, oldest first, and processes them."""
    brought: set[str] = set()

    def bring() -> int:
        events = list(gateway.walk("/v1/events"))
        new = [event for event in reversed(events) if event["id"] not in brought]
        for event in new:
            assert post_event(event).status_code == 200
            brought.add(event["id"])
        sync.process_events()
        return len(new)

    return bring


def _person(username: str, group: str | None) -> User:
    create_groups()  # a flushed database has no permissions
    user = User.objects.create_user(username, f"{username}@example.com", "a long enough password", is_staff=True)
    if group:
        user.groups.add(Group.objects.get(name=group))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def agent(db: None) -> User:
    return _person("agent", "Support agent")


@pytest.fixture
def manager(db: None) -> User:
    return _person("manager", "Billing manager")


@pytest.fixture
def auditor(db: None) -> User:
    return _person("auditor", "Auditor")
