"""One action on many invoices: an operation each, resumable after a crash, cancellable for what has not begun."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, Q

from invoices import budget, clock
from invoices.models import Action, Batch, Invoice, Operation
from invoices.operations import brake
from invoices.operations.catalog import ACTIONS
from invoices.operations.refusals import Invalid, Refusal
from invoices.operations.request import execute

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
AT_ONCE = 4
MOST = 10_000


def start(
    action: str,
    invoices: Iterable[Invoice],
    *,
    actor: User,
    reason: str,
    batch_id: uuid.UUID | str,
    params: Mapping[str, Any] | None = None,
    ticket: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Batch:
    """Journals what was confirmed, invoice by invoice as it was seen. Sent twice, it is the same batch.

    Raises Invalid for a wrong parameter or a missing reason, Refusal without permission or while paused.
    """
    spec = ACTIONS[action]
    if not reason.strip():
        raise Invalid("reason", "Please say why: the reason stands in the journal.")
    if not actor.has_perm(spec.permission):
        raise Refusal("permission_denied", f"You may not {spec.label.lower()} invoices.")
    if refusal := brake.refusal(action):
        raise refusal
    given = dict(params or {})
    if spec.action == Action.ATTACH_OUT_OF_BAND_PAYMENT:
        given.setdefault("amount", 1)  # each invoice's own: what remains of it
    cleaned = spec.clean(given)
    items = [[invoice.pk, invoice.status, invoice.amount_remaining] for invoice in invoices]
    if len(items) > MOST:
        raise Invalid("invoices", f"{len(items)} invoices are too many at once; take at most {MOST}.")
    batch, _ = Batch.objects.get_or_create(
        pk=uuid.UUID(str(batch_id)),
        defaults={
            "action": action,
            "items": items,
            "actor": actor,
            "reason": reason.strip(),
            "ticket": ticket.strip(),
            "params": cleaned,
            "address": address,
            "request_id": request_id,
            "created_at": clock.now(),
        },
    )
    return batch


def item_id(batch: Batch, invoice: str) -> uuid.UUID:
    """The id of this batch's operation on this invoice: however often it is taken up, it is the same operation."""
    return uuid.uuid5(batch.pk, invoice)


def cancel(batch: Batch, by: User) -> bool:
    """What has not begun is not begun any more. Whether it was still under way."""
    return bool(
        Batch.objects.filter(pk=batch.pk, finished_at=None, cancelled_at=None).update(
            cancelled_at=clock.now(), cancelled_by=by
        )
    )


def progress(batch: Batch) -> dict[str, int]:
    """How many of its operations are in which state; `waiting` have not begun."""
    counts = dict(Operation.objects.filter(batch=batch).order_by().values_list("state").annotate(number=Count("pk")))
    counts["waiting"] = len(batch.items) - sum(counts.values())
    return counts


def run_due() -> int:
    """Takes up every batch that is not finished and that no living process has; how many."""
    free = Q(claimed_until=None) | Q(claimed_until__lt=clock.now())
    ids = list(Batch.objects.filter(free, finished_at=None).order_by("created_at").values_list("pk", flat=True))
    return sum(_run(id) for id in ids)


def _run(id: uuid.UUID) -> bool:
    token = uuid.uuid4()
    free = Q(claimed_until=None) | Q(claimed_until__lt=clock.now())
    if not Batch.objects.filter(free, pk=id, finished_at=None).update(
        claim_token=token, claimed_until=clock.now() + LEASE
    ):
        return False
    batch = Batch.objects.select_related("actor").get(pk=id)
    begun = set(Operation.objects.filter(batch=batch).values_list("invoice", flat=True))
    left = [item for item in batch.items if item[0] not in begun]
    ended = True
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="batch") as pool:
        for start_at in range(0, len(left), AT_ONCE):
            if not _goes_on(batch, token):
                ended = False
                break
            list(pool.map(lambda item: _one(batch, item), left[start_at : start_at + AT_ONCE]))
    _release(batch, token, ended=ended)
    return True


def _goes_on(batch: Batch, token: uuid.UUID) -> bool:
    """Renews the claim; no when it was cancelled, paused, or taken over."""
    mine = Batch.objects.filter(pk=batch.pk, claim_token=token, cancelled_at=None)
    return bool(mine.update(claimed_until=clock.now() + LEASE)) and not brake.standing(batch.action).exists()


def _release(batch: Batch, token: uuid.UUID, *, ended: bool) -> None:
    mine = Batch.objects.filter(pk=batch.pk, claim_token=token)
    mine.update(claim_token=None, claimed_until=None)
    if ended:
        Batch.objects.filter(pk=batch.pk).update(finished_at=clock.now())
    else:
        Batch.objects.filter(pk=batch.pk, cancelled_at__isnull=False).update(finished_at=clock.now())


def _one(batch: Batch, item: list[Any]) -> None:
    invoice, status, remaining = item
    params = dict(batch.params)
    if batch.action == Action.ATTACH_OUT_OF_BAND_PAYMENT:
        params["amount"] = remaining
    try:
        with budget.kept():
            budget.turn()
            execute(
                batch.action,
                invoice,
                actor=batch.actor,
                source=Operation.Source.ADMIN,
                params=params,
                reason=batch.reason,
                ticket=batch.ticket,
                expected={"status": status, "amount_remaining": remaining},
                operation_id=item_id(batch, invoice),
                address=batch.address,
                request_id=batch.request_id,
                batch=batch,
            )
    except Refusal as refusal:
        log.info("Batch %s: %s was refused: %s", batch.pk, invoice, refusal.message)
    finally:
        connection.close()  # the thread's own
