"""Explains differences that no run healed: which are left for somebody to look at, and which somebody explained.

An explanation belongs to a difference, not to the run that found it: a later run that finds the same one, with the same
values on both sides, finds it explained. With another value it is another difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from invoices import clock, written
from invoices.models import Code, Drift, DriftExplanation, ReconciliationRun
from invoices.operations import Invalid, Refusal

PERMISSION = "invoices.explain_drift"
RECENT = timedelta(days=7)  # what is older was compared again by many runs since
MAX_LENGTH = 2000  # characters
MOST_AT_ONCE = 500
What = DriftExplanation.What


def left(now: datetime) -> Q:
    """The differences of the last week that no run healed and nobody explained: somebody has to look at them."""
    return Q(healed_at=None, explanation=None, found_at__gte=now - RECENT)


def explained(now: datetime) -> Q:
    """Those of the last week that no run healed, and that somebody explained."""
    return Q(healed_at=None, explanation__isnull=False, found_at__gte=now - RECENT)


def fate(row: Drift) -> str:
    """What became of a difference, in a word of English, for e-mails and the shell."""
    return "healed" if row.healed_at else "left, explained" if row.explanation_id else "left"


def explain(
    pk: int,
    text: str,
    *,
    by: User,
    with_others: bool = False,
    address: str | None = None,
    request_id: str = "",
) -> list[DriftExplanation]:
    """Writes why a difference is as it is. `with_others`: the same of every other difference of its invoice that the
    same run left.

    Raises Invalid beside its field, and Refusal: without permission, or where the difference was healed.
    """
    with transaction.atomic():
        drift = _locked(pk, by)
        cleaned = _cleaned(text)
        rows = [drift, *(_others(drift) if with_others else [])]
        made = [
            DriftExplanation.objects.create(
                drift=row,
                what=What.EXPLAINED,
                text=cleaned,
                written_by=by,
                written_at=clock.now(),
                address=address,
                request_id=request_id[:255],
            )
            for row in rows
        ]
        for row, explanation in zip(rows, made, strict=True):
            _set(row, explanation)
    return made


def take_back(pk: int, text: str, *, by: User, address: str | None = None, request_id: str = "") -> DriftExplanation:
    """The explanation of a difference holds no longer: it is left again. Raises Invalid, Refusal."""
    with transaction.atomic():
        drift = _locked(pk, by)
        cleaned = _cleaned(text)
        if drift.explanation_id is None:
            raise Refusal(Code.INVOICE_CHANGED, _("Nobody has explained this difference."))
        made = DriftExplanation.objects.create(
            drift=drift,
            what=What.TAKEN_BACK,
            text=cleaned,
            written_by=by,
            written_at=clock.now(),
            address=address,
            request_id=request_id[:255],
        )
        _set(drift, None)
    return made


def others(drift: Drift) -> int:
    """How many other differences of its invoice the same run left that nobody has explained."""
    return len(_others(drift))


def explains_all(run: ReconciliationRun) -> bool:
    """Whether somebody explained every difference that a proof of equality found and nobody healed."""
    rows = run.drift.filter(healed_at=None)
    kinds = (run.report or {}).get("kinds", {}).values()
    awaited = any(kind.get("found", {}).get("not_imported") for kind in kinds)
    if awaited or rows.filter(explanation=None).exists():
        return False
    # Each object that differs has a row: more objects than rows have would be differences that nobody could explain.
    return 0 < run.failed <= rows.order_by().values("object_type", "object_id").distinct().count()


def carry_over(found: Sequence[Drift]) -> None:
    """Gives differences that were just found, and are not stored yet, the explanations that the same ones have."""
    unhealed = [row for row in found if row.healed_at is None and row.object_id]
    ids = {row.object_id for row in unhealed}
    unhealed_before = Drift.objects.filter(object_id__in=ids, healed_at=None)
    about = set(unhealed_before.filter(explanation__isnull=False).values_list("object_id", flat=True)) if ids else ()
    known: dict[tuple[str, ...], Any] = {}
    for row in Drift.objects.filter(object_id__in=about, healed_at=None).order_by("found_at", "pk") if about else ():
        known[_difference(row)] = row.explanation_id  # the newest says whether it is explained today
    for row in unhealed:
        row.explanation_id = known.get(_difference(row))


def _difference(row: Drift) -> tuple[str, ...]:
    """What makes two findings the same difference."""
    sides = (json.dumps(side, sort_keys=True, default=str) for side in (row.ours, row.theirs))
    return row.kind, row.object_type, row.object_id, row.field, *sides


def _same(drift: Drift) -> Iterable[Drift]:
    rows = Drift.objects.filter(object_id=drift.object_id, healed_at=None)
    return [row for row in rows if _difference(row) == _difference(drift)] if drift.object_id else [drift]


def _others(drift: Drift) -> list[Drift]:
    rows = Drift.objects.filter(run=drift.run_id, invoice=drift.invoice, healed_at=None, explanation=None)
    return list(rows.exclude(pk=drift.pk).order_by("pk")[:MOST_AT_ONCE]) if drift.invoice else []


def _set(drift: Drift, explanation: DriftExplanation | None) -> None:
    Drift.objects.filter(pk__in=[row.pk for row in _same(drift)]).update(explanation=explanation)


def _locked(pk: int, by: User) -> Drift:
    """Locked, so that two people who write at once write one after the other."""
    if not by.has_perm(PERMISSION):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not explain differences."))
    drift = Drift.objects.select_for_update(no_key=True).get(pk=pk)
    if drift.healed_at is not None:
        raise Refusal(Code.INVOICE_CHANGED, _("This difference was healed: there is nothing to explain."))
    return drift


def _cleaned(text: str) -> str:
    cleaned = written.clean(text, "text", most=MAX_LENGTH, called=_("The explanation"))
    if not cleaned:
        raise Invalid("text", _("Please say why: the explanation stands in the journal."))
    return cleaned
