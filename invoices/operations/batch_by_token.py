"""A batch that a program asks for by token: the same as the admin's, with the sums told instead of typed.

The id of the batch follows from the user and the idempotency key. So a request that is sent again, because a process
was killed or the reply was lost, finds the batch that it made, and makes no second one.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User

from invoices.models import ApiToken, Batch
from invoices.operations import batch as batches
from invoices.operations.action import Action
from invoices.operations.actions import ACTIONS
from invoices.operations.bulk_preview import BulkPreview, preview_of_ids
from invoices.operations.refusals import Invalid, Refusal
from invoices.operations.request import batch_id_of_key, batch_of_key, key_reused, made_by_key

REASONS_NAMED = 5  # in the sentence that refuses a batch


def preview(action: Action, invoices: Sequence[str], params: Mapping[str, Any], actor: User) -> BulkPreview:
    """What the batch would do, and to which invoices not; it changes nothing. Raises Invalid, Refusal."""
    batches.check_permission(action, actor)
    cleaned = batches.clean(action, params)
    _check_ids(invoices)
    found = preview_of_ids(action, invoices, cleaned)
    found.ask_approval(actor)
    return found


def start(
    action: str,
    invoices: Sequence[str],
    *,
    sums: Mapping[str, int],
    actor: User,
    token: ApiToken,
    idempotency_key: str = "",
    params: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Batch:
    """Journals the batch of these invoices, or returns the one that this key has made (then `is_new` is false).

    `sums`: what the caller believes to remain on them, in minor units by currency. `asked` is what `batch.start` takes
    besides. Nothing is left out in silence: where one of the invoices may not start, or the sums differ, no batch is
    made.

    Raises Invalid, and Refusal: without permission, while paused, where the key was used for something else.
    """
    entry = ACTIONS[action]
    batches.check_permission(entry, actor)
    cleaned = batches.clean(entry, params or {})

    def made() -> Batch | None:
        """What this key has made. Raises Refusal where that was something else."""
        if not idempotency_key:
            return None
        found = batch_of_key(actor, idempotency_key)
        if found is None:
            if made_by_key(actor, idempotency_key) is not None:
                raise key_reused(idempotency_key)
            return None
        its = (found.action, found.params, [item.invoice for item in found.items], found.sums)
        if its != (action, cleaned, list(invoices), dict(sums)):
            raise key_reused(idempotency_key)
        return found

    if earlier := made():
        return earlier
    try:
        _check_ids(invoices)
        found = preview_of_ids(entry, invoices, cleaned)
        _check_invoices(found)
        _check_sums(found, sums)
        batch = batches.start(
            action,
            found.invoices,
            actor=actor,
            token=token,
            idempotency_key=idempotency_key,
            batch_id=batch_id_of_key(actor, idempotency_key) if idempotency_key else uuid.uuid4(),
            params=params,
            **asked,
        )
    except Refusal:
        if earlier := made():  # by the same request, sent twice at once: its invoices are being worked on already
            return earlier
        raise
    return batch if batch.is_new else made() or batch


def _check_ids(invoices: Sequence[str]) -> None:
    """Raises Invalid."""
    if not invoices:
        raise Invalid("invoices", "Name at least one invoice.", "parameter_missing")
    if len(invoices) > batches.MAX_INVOICES:
        raise batches.too_many(len(invoices))
    twice = [id for id, number in Counter(invoices).items() if number > 1]
    if twice:
        raise Invalid("invoices", f"An invoice is named twice: '{twice[0][:100]}'.")


def _check_invoices(found: BulkPreview) -> None:
    """Raises Invalid where one of them may not start."""
    if not found.left_alone:
        return
    named = [f"'{id[:100]}': {group.reason}" for group in found.groups for id in group.ids][:REASONS_NAMED]
    more = f" And {found.left_alone - len(named)} more." if found.left_alone > len(named) else ""
    raise Invalid(
        "invoices",
        f"To {found.left_alone} of these {found.matched} invoices it would not be done, so nothing was started. Leave "
        f"them out; the preview names all of them. {' '.join(named)}{more}",
    )


def _check_sums(found: BulkPreview, told: Mapping[str, int]) -> None:
    """Raises Invalid where the sums are not what the caller believes."""
    for currency in sorted(found.sums.keys() | told.keys()):
        amount = found.sums.get(currency, 0)
        if told.get(currency) != amount or currency not in found.sums:
            is_so = " and ".join(f"expected[{each}]={sum}" for each, sum in found.sums.items())
            raise Invalid(
                f"expected[{currency}]",
                f"The sums are not those that you expect, so nothing was started. What remains to pay on these "
                f"invoices is {is_so}, in minor units. Look at them again, then ask with these.",
            )
