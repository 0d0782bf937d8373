"""Stripe's state against the mirror's: what is equal, and bringing the mirror up to date by the ways that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from invoices import clock, mirror, sync
from invoices.models import MIRRORED, ScheduledRefetch
from tests.sandbox_process import SandboxProcess

PATHS = {
    "invoice": "invoices",
    "invoice_payment": "invoice_payments",
    "payment_intent": "payment_intents",
    "charge": "charges",
    "credit_note": "credit_notes",
    "refund": "refunds",
}


def at_stripe(sandbox: SandboxProcess, object: str) -> dict[str, dict[str, Any]]:
    """Everything of one kind as the sandbox has it now, by id; with all its lines, if it has lines."""
    client = sandbox.client()
    found: dict[str, dict[str, Any]] = {}
    after: dict[str, Any] = {}
    while True:
        page = json.loads(client.raw_request("get", f"/v1/{PATHS[object]}", limit=100, **after).body)
        for one in page["data"]:
            found[one["id"]] = one
            if one.get("lines", {}).get("has_more"):
                lines = client.raw_request("get", f"/v1/{PATHS[object]}/{one['id']}/lines", limit=100)
                one["lines"] |= {"data": json.loads(lines.body)["data"], "has_more": False}
        if not page["has_more"]:
            return found
        after = {"starting_after": page["data"][-1]["id"]}


def unequal(
    sandbox: SandboxProcess, object: str = "invoice", *, only: Callable[[dict[str, Any]], bool] = bool
) -> list[tuple[str, Any, Any]]:
    """(id, Stripe's content, the mirror's content) of each object that differs, in order of id.

    Content leaves out what changes by itself, as the mirror's own comparison does; `only` chooses objects by data.
    """
    theirs = {id: mirror.content(data) for id, data in at_stripe(sandbox, object).items() if only(data)}
    rows = MIRRORED[object].objects.filter(deleted_at=None)
    ours = {row.pk: mirror.content(row.data or {}) for row in rows if only(row.data or {})}
    ids = sorted(theirs.keys() | ours.keys())
    return [(id, theirs.get(id), ours.get(id)) for id in ids if theirs.get(id) != ours.get(id)]


def without_delivery_time(data: Any) -> dict[str, Any]:
    """An object without `webhooks_delivered_at`, which changes by itself when a webhook is answered."""
    return {name: value for name, value in (data or {}).items() if name != "webhooks_delivered_at"}


def make_all_due() -> None:
    """Every read of Stripe that is scheduled may begin now, also while this process leaves Stripe alone."""
    ScheduledRefetch.objects.filter(given_up_at=None).update(due_at=clock.now())
    sync.rest.end()


def drain(rounds: int = 12) -> None:
    """Processes all pending events and makes all scheduled reads, until none is left; fails after so many rounds."""
    for _ in range(rounds):
        sync.process_events()
        make_all_due()
        if not sync.perform_refetches():
            return
    raise AssertionError(f"reads are still scheduled after {rounds} rounds")
