"""One action on many invoices: one operation for each. A batch goes on after a crash and can be cancelled."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from invoices import clock, interruption, throttle
from invoices.models import ApiToken, Batch, BatchItem, Code, Invoice, Operation
from invoices.operations import approval, eligibility, pauses, requesters
from invoices.operations.action import Action
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import unclaimed
from invoices.operations.decisions import end_unsent
from invoices.operations.refusals import Invalid, Refusal, in_english
from invoices.operations.request import execute
from invoices.sight import context
from invoices.thresholds import OPERATION_LEASE, REQUEST_EXPIRES
from invoices.wakeups import wake

log = logging.getLogger(__name__)

THREADS = 4  # invoices of one batch that are worked on at the same time
MAX_INVOICES = 10_000  # in one batch


class Begun(Enum):
    """Whether an item of a batch has begun."""

    YES = "its operation stands in the journal, whatever came of it"
    KEPT_BACK = "a pause began just before it: it begins when the pause has ended"
    BROKEN = "an error that nobody expected"


def start(
    action: str,
    invoices: Iterable[Invoice],
    *,
    actor: User,
    reason: str,
    batch_id: uuid.UUID | str,
    params: Mapping[str, Any] | None = None,
    ticket: str = "",
    token: ApiToken | None = None,
    idempotency_key: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Batch:
    """Journals the batch; the workers perform it, or it first waits for a second person, as one request over its sum. A
    form that is sent twice makes one batch; `is_new` says whether this call made it.

    `invoices` carry the status and the amount that the one who asks saw. `batch_id` comes from the form, or follows
    from the `idempotency_key` of the API's caller; `token`: with which the API was asked.

    Raises Invalid for a wrong parameter or a missing reason, Refusal without permission or while paused.
    """
    entry = ACTIONS[action]
    _check_asked(entry, actor, reason)
    cleaned = clean(entry, params or {})
    seen = list(invoices)
    _check_seen(entry, seen, cleaned)
    _fill_currencies(seen)
    items = [BatchItem(each.pk, each.status, each.amount_remaining, each.currency or "") for each in seen]
    return _make(
        entry,
        items,
        actor=actor,
        reason=reason,
        batch_id=batch_id,
        params=cleaned,
        ticket=ticket,
        token=token,
        idempotency_key=idempotency_key,
        address=address,
        request_id=request_id,
    )


def start_items(
    action: str,
    items: Sequence[BatchItem],
    *,
    actor: User,
    reason: str,
    batch_id: uuid.UUID | str,
    ticket: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Batch:
    """The same with parameters of its own for each item, such as the amount. An invoice may come more than once: its
    items are then performed one after the other. The caller has checked what the items are about.

    Raises Invalid for a wrong parameter or a missing reason, Refusal without permission or while paused.
    """
    entry = ACTIONS[action]
    _check_asked(entry, actor, reason)
    if len(items) > MAX_INVOICES:
        raise too_many(len(items))
    if len({each.operation_id(uuid.UUID(int=0)) for each in items}) < len(items):
        raise Invalid("invoices", _("An invoice is named twice. Open the list again."))
    cleaned = [each._replace(params=entry.clean(each.params or {})) for each in items]
    return _make(
        entry,
        cleaned,
        actor=actor,
        reason=reason,
        batch_id=batch_id,
        ticket=ticket,
        address=address,
        request_id=request_id,
    )


def _check_asked(action: Action, actor: User, reason: str) -> None:
    """Raises Invalid, Refusal."""
    if not reason.strip():
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    check_permission(action, actor)
    if refusal := eligibility.pause_refusal(action.name):
        raise refusal


def _make(
    action: Action,
    items: list[BatchItem],
    *,
    actor: User,
    reason: str,
    batch_id: uuid.UUID | str,
    params: Mapping[str, Any] | None = None,
    ticket: str = "",
    token: ApiToken | None = None,
    idempotency_key: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Batch:
    """Writes the batch, once. Raises Refusal where its id was used for something else."""
    cleaned = dict(params or {})
    waits = approval.need_of_batch(action, _asked_of(action, items, cleaned), actor=actor) is not None
    batch, is_new = Batch.objects.get_or_create(
        pk=uuid.UUID(str(batch_id)),
        defaults={
            "action": action.name,
            "items": items,
            "actor": actor,
            "reason": reason.strip(),
            "ticket": ticket.strip(),
            "params": cleaned,
            "token": token,
            "idempotency_key": idempotency_key,
            "address": address,
            "request_id": request_id,
            "created_at": clock.now(),
            "awaiting_approval": waits,
        },
    )
    batch.is_new = is_new
    if is_new:
        task = "announce_requests" if batch.awaiting_approval else "run_batches"
        transaction.on_commit(partial(wake, task), robust=True)
    # What a caller of the API saw is not told: of a key that comes again, `batch_by_token` compares what it asks for.
    elif token is None and (batch.actor_id, batch.action, batch.params, batch.items) != (
        actor.pk,
        action.name,
        cleaned,
        items,
    ):
        message = _("This page was sent before, with other input. Open the list again, and look at what came of that.")
        raise Refusal(Code.IDEMPOTENCY_KEY_REUSED, message)
    return batch


def check_permission(action: Action, actor: User) -> None:
    """Raises Refusal where this user may not do it, to many invoices as to one."""
    if not actor.has_perm(action.permission):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not {action}.").format(action=_(action.may)))


def clean(action: Action, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that hold for all of its invoices, as they will be stored. The amount comes from each invoice
    later. Here 1 takes its place, so that the others are checked now. Raises Invalid."""
    return action.clean({**action.bulk_params(amount_remaining=1), **params})


def too_many(number: int) -> Invalid:
    message = _("{number} invoices are too many at once; take at most {most}.")
    return Invalid("invoices", message.format(number=number, most=MAX_INVOICES))


def _check_seen(action: Action, seen: list[Invoice], params: Mapping[str, Any]) -> None:
    """A form could name an invoice twice, or an amount that no invoice has, and so make the sum small to which a second
    person would agree. Raises Invalid."""
    if len(seen) > MAX_INVOICES:
        raise too_many(len(seen))
    if len({each.pk for each in seen}) < len(seen):
        raise Invalid("invoices", _("An invoice is named twice. Open the list again."))
    for each in seen:
        if (each.amount_remaining or 0) < 0:
            message = _("{invoice} is named with an amount below zero. Open the list again.")
            raise Invalid("invoices", message.format(invoice=each.pk))
        action.clean({**params, **action.bulk_params(each.amount_remaining)})


def _fill_currencies(invoices: list[Invoice]) -> None:
    """From the mirror, because a form could name another currency than the invoice's, with a higher threshold."""
    for begin in range(0, len(invoices), 500):
        chunk = invoices[begin : begin + 500]
        known = dict(Invoice.objects.filter(pk__in=[each.pk for each in chunk]).values_list("pk", "currency"))
        for each in chunk:
            each.currency = known.get(each.pk)


def why_it_waits(batch: Batch) -> approval.Need | None:
    """Why the batch needs a second person, as it was confirmed."""
    action = ACTIONS[batch.action]
    return approval.need_of_batch(action, _asked_of(action, batch.items, batch.params), actor=batch.actor)


def _asked_of(
    action: Action, items: Iterable[BatchItem], params: Mapping[str, Any]
) -> Iterator[tuple[Invoice, Mapping[str, Any]]]:
    """Each item's invoice as it was confirmed, and the item's parameters."""
    for item in items:
        invoice = Invoice(
            pk=item.invoice, status=item.status, amount_remaining=item.amount_remaining, currency=item.currency
        )
        yield invoice, params_of(action, item, params)


def params_of(action: Action, item: BatchItem, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the operation of an item is told: what holds for the whole batch, and what is the item's own."""
    own = action.bulk_params(item.amount_remaining) if item.params is None else item.params
    return {**params, **own}


@in_english
def cancel(batch: Batch, by: User) -> bool:
    """Ends what has sent nothing: items that have not begun do not begin any more, and those that are ready or wait for
    a second person are cancelled. The gate stops what is on its way to its sending. False where it had ended."""
    with transaction.atomic():
        now = clock.now()
        goes_on = Batch.objects.filter(pk=batch.pk, finished_at=None, cancelled_at=None)
        # No job looks at a batch that waits for a second person: it has ended at once.
        waited = goes_on.filter(awaiting_approval=True).update(cancelled_at=now, cancelled_by=by, finished_at=now)
        ended = waited or goes_on.update(cancelled_at=now, cancelled_by=by)
        if ended:
            end_unsent(
                Operation.objects.filter(batch=batch),
                state=Operation.State.CANCELLED,
                code=Code.WITHDRAWN,
                message=_("The batch was cancelled by {person}.").format(person=by),
            )
    return bool(ended)


def approve(
    batch: Batch, *, approver: User, reason: str = "", address: str | None = None, request_id: str = ""
) -> None:
    """A second person agrees to the whole batch, with the amounts that were confirmed; the workers perform it. Raises
    Refusal."""
    _decide(batch, approver, awaiting_approval=False, confirmed_at=clock.now(), **_word(reason, address, request_id))
    wake("run_batches")


@in_english
def reject(batch: Batch, *, approver: User, reason: str, address: str | None = None, request_id: str = "") -> None:
    """A second person declines the whole batch, with a reason for the one who asked. Items that have begun are there
    where it was confirmed again: they end too, if they have sent nothing. Raises Invalid, Refusal."""
    if not reason.strip():
        raise Invalid("reason", _("Please say why: the person who asked will read it."))
    now = clock.now()
    ended = {"cancelled_at": now, "cancelled_by": approver, "finished_at": now}
    with transaction.atomic():
        _decide(batch, approver, **ended, **_word(reason, address, request_id))
        end_unsent(
            Operation.objects.filter(batch=batch),
            state=Operation.State.CANCELLED,
            code=Code.REJECTED,
            message=_("The batch was rejected by {person}: {reason}").format(person=approver, reason=reason.strip()),
        )


def _word(reason: str, address: str | None, request_id: str) -> dict[str, Any]:
    return {
        "decided_at": clock.now(),
        "decision_reason": reason.strip(),
        "decision_address": address,
        "decision_request_id": request_id,
    }


def _decide(batch: Batch, approver: User, **changes: Any) -> None:
    """Writes what a second person decided, if the batch still waits for one. Raises Refusal."""
    if refusal := requesters.decision_refusal(batch, approver):
        raise refusal
    waiting = Batch.objects.filter(pk=batch.pk, awaiting_approval=True, cancelled_at=None, finished_at=None)
    if not waiting.update(approver=approver, **changes):
        raise Refusal(Code.INVOICE_CHANGED, _("This batch no longer waits for a decision."))


def confirm_again(batch: Batch, by: User, token: ApiToken | None = None) -> bool:
    """The one who asked for it confirms a batch that has outlived its life, so that it goes on; a second person's word
    must be given again too. False where there is nothing to confirm. `token`: with which this is asked.

    Raises Refusal for anybody else, and for another token than that of the batch: before each sending the batch's own
    token is judged, and its maker counts as having asked, so no other may make it go on.
    """
    if token is not None and batch.token_id != token.pk:
        message = _("Only the token with which this batch was asked for can confirm it again.")
        raise Refusal(Code.PERMISSION_DENIED, message)
    if batch.actor_id != by.pk or not by.has_perm(ACTIONS[batch.action].permission):
        raise Refusal(
            Code.PERMISSION_DENIED, _("Only {person} can confirm this batch again.").format(person=batch.actor)
        )
    if clock.now() <= batch.must_be_confirmed_at:
        return False
    open_batch = Batch.objects.filter(pk=batch.pk, awaiting_approval=False, cancelled_at=None, finished_at=None)
    waits = why_it_waits(batch) is not None
    decision = {"approver": None, "decided_at": None, "decision_reason": ""}
    where = {"decision_address": None, "decision_request_id": ""}
    cleared = {**decision, **where, "announced_at": None} if waits else {}
    won = open_batch.update(confirmed_at=clock.now(), awaiting_approval=waits, **cleared)
    if won:
        wake("announce_requests" if waits else "run_batches")
    return bool(won)


def progress(batch: Batch) -> dict[str, int]:
    """The number of operations in each state; `waiting`: items that have not begun."""
    counts = dict(Operation.objects.filter(batch=batch).order_by().values_list("state").annotate(number=Count("pk")))
    counts["waiting"] = len(batch.items) - sum(counts.values())
    return counts


def run_due() -> int:
    """Goes on with every batch that is not finished and that no other process holds; how many."""
    expire()
    alive = ~_confirmed_before(clock.now() - timedelta(hours=settings.BATCH_LIFE_HOURS))
    to_be_ended = Q(cancelled_at__isnull=False)
    due = Batch.objects.filter(unclaimed(), alive | to_be_ended, finished_at=None, awaiting_approval=False)
    due = due.order_by("created_at")
    return sum(_run(id) for id in due.values_list("pk", flat=True) if not interruption.asked())


def expire() -> int:
    """Closes the batches on which nobody decided within REQUEST_EXPIRES since they were last confirmed; how many."""
    now = clock.now()
    waiting = Batch.objects.filter(awaiting_approval=True, cancelled_at=None, finished_at=None)
    old = waiting.filter(_confirmed_before(now - REQUEST_EXPIRES))
    with transaction.atomic():
        ids = list(old.select_for_update().values_list("pk", flat=True))
        end_unsent(
            Operation.objects.filter(batch__in=ids),
            state=Operation.State.EXPIRED,
            code=Code.EXPIRED,
            message=_("Nobody decided within {days} days.").format(days=REQUEST_EXPIRES.days),
        )
        return Batch.objects.filter(pk__in=ids).update(cancelled_at=now, finished_at=now)


def _confirmed_before(moment: datetime) -> Q:
    """Batches that were last confirmed, or else asked for, before this moment."""
    return Q(confirmed_at__lt=moment) | Q(confirmed_at=None, created_at__lt=moment)


def _run(id: uuid.UUID) -> bool:
    token = uuid.uuid4()
    if not Batch.objects.filter(unclaimed(), pk=id, finished_at=None, awaiting_approval=False).update(
        claim_token=token, claimed_until=clock.now() + OPERATION_LEASE
    ):
        return False
    batch = Batch.objects.select_related("actor", "token").get(pk=id)
    begun = set(Operation.objects.filter(batch=batch).values_list("pk", flat=True))
    left = [item for item in batch.items if item.operation_id(batch.pk) not in begun]
    ended, broken = True, False
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="batch") as pool:
        for items in _rounds(batch, left):
            if not _goes_on(batch, token):
                ended = False
                break
            came_to = list(pool.map(context.carried(partial(_perform_item, batch)), items))
            ended &= Begun.KEPT_BACK not in came_to
            broken |= Begun.BROKEN in came_to
    if not broken:
        _release(batch, token, ended=ended)
    return True  # where an item met an unexpected error, the claim lapses, and the batch is taken up again


def _rounds(batch: Batch, items: Sequence[BatchItem]) -> Iterator[list[BatchItem]]:
    """The items that are worked on at the same time: up to THREADS of them, never two of one invoice, which takes one
    operation at a time, and never two charges of one customer. The second would not know yet that the customer's card
    is being declined for the first."""
    customer_of: dict[str, str | None] = {}
    if ACTIONS[batch.action].charges(batch.params):
        ids = [item.invoice for item in items]
        customer_of = dict(Invoice.objects.filter(pk__in=ids).values_list("pk", "customer_id"))
    lanes: dict[str, deque[BatchItem]] = {}
    for item in items:
        lanes.setdefault(customer_of.get(item.invoice) or item.invoice, deque()).append(item)
    while lanes:
        taken = list(islice(lanes, THREADS))
        yield [lanes[lane].popleft() for lane in taken]
        for lane in taken:
            if not lanes[lane]:
                del lanes[lane]


def _goes_on(batch: Batch, token: uuid.UUID) -> bool:
    """Renews the claim. False where the batch was cancelled or has outlived its life, its action is paused, another
    process took it over, or this one is to end."""
    if interruption.asked() or clock.now() > batch.must_be_confirmed_at:
        return False
    mine = Batch.objects.filter(pk=batch.pk, claim_token=token, cancelled_at=None)
    return bool(mine.update(claimed_until=clock.now() + OPERATION_LEASE)) and pauses.of_action(batch.action) is None


def _release(batch: Batch, token: uuid.UUID, *, ended: bool) -> None:
    mine = Batch.objects.filter(pk=batch.pk, claim_token=token)
    mine.update(claim_token=None, claimed_until=None)
    if ended:
        Batch.objects.filter(pk=batch.pk, finished_at=None).update(finished_at=clock.now())
    else:
        Batch.objects.filter(pk=batch.pk, cancelled_at__isnull=False, finished_at=None).update(finished_at=clock.now())


def _perform_item(batch: Batch, item: BatchItem) -> Begun:
    """Runs in a thread of the pool. A refusal is journalled, and the other items go on; also after an error that nobody
    expected."""
    params = params_of(ACTIONS[batch.action], item, batch.params)
    try:
        throttle.wait()  # for the action itself; the reads before it wait for slots of their own
        execute(
            batch.action,
            item.invoice,
            actor=User.objects.get(pk=batch.actor_id),  # afresh: what he may do can have changed since the last item
            source=batch.source,
            token=batch.token,
            params=params,
            reason=batch.reason,
            ticket=batch.ticket,
            expected={"status": item.status, "amount_remaining": item.amount_remaining},
            operation_id=item.operation_id(batch.pk),
            address=batch.address,
            request_id=batch.request_id,
            batch=batch,
            throttled=True,
        )
        return Begun.YES
    except Refusal as refusal:
        log.info("Batch %s: %s was refused: %s", batch.pk, item.invoice, refusal.message)
        return Begun.KEPT_BACK if refusal.code == Code.ACTIONS_PAUSED else Begun.YES
    except Exception:
        log.exception("Batch %s: %s could not be performed.", batch.pk, item.invoice)
        return Begun.BROKEN
    finally:
        connection.close()  # each thread has its own
