"""What Stripe sent and we cannot read or store: recorded with its id and the reason, so that the run can go on."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from django.db import DataError, IntegrityError
from django.utils.translation import gettext_noop

from invoices import clock, gateway
from invoices.models import Drift, ReconciliationRun
from invoices.models.reading import member, storable, storable_json, text
from invoices.reconcile import explaining
from invoices.reconcile.compare import short
from invoices.reconcile.retry import with_retries
from invoices.snapshot import Snapshot

log = logging.getLogger(__name__)

MAX_SHOWN = 1000  # characters of something that is no object


class Unreadable(Exception):
    """What Stripe answers about an object is no answer."""


# What an object of a shape that nobody foresaw, or a value that the database refuses, makes our code or the database
# raise. Everything else is no fault of the object, and ends the run.
FAULT_OF_AN_OBJECT = (
    *(Unreadable, DataError, IntegrityError),
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError),
)


def retrieve(object: str, id: str, *, throttled: bool = False) -> list[Snapshot]:
    """As the gateway's. Raises GatewayError, and Unreadable where Stripe's answer is about this object alone, and will
    not get better."""
    try:
        return gateway.retrieve(object, id, throttled=throttled)
    except (gateway.AnotherObject, gateway.RefusedByStripe) as error:
        raise Unreadable(error.message) from error


def record_members(run: ReconciliationRun, object: str, members: list[Any]) -> Counter[str]:
    """Members of a list that are no objects with an id of a mirrored kind."""
    counts: Counter[str] = Counter()
    for one in members:
        if not isinstance(one, dict):
            reason = gettext_noop("The list holds {type} in place of an object.").format(type=type(one).__name__)
        elif not isinstance(one.get("id"), str):
            reason = gettext_noop("The object has no id.")
        elif not isinstance(one.get("object"), str):
            reason = gettext_noop("The object does not say of what kind it is.")
        else:
            reason = gettext_noop("Its id cannot be a key, or its kind is not mirrored.")
        counts += record(run, object, text(one, "id") or "", Unreadable(reason), one)
    return counts


def record_snapshot(run: ReconciliationRun, snapshot: Snapshot, error: Exception) -> Counter[str]:
    """An object that our code or the database refused."""
    return record(run, snapshot.object, snapshot.id, error, snapshot.data)


def record(run: ReconciliationRun, object: str, id: str, error: Exception, found: Any = None) -> Counter[str]:
    """Writes a drift row, which nothing has healed, and counts the object as failed. Again, it changes nothing."""
    reason = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
    log.warning("%s %r is left as it is: %s", object, id, reason)
    theirs = storable_json(short(found)) if isinstance(found, dict) else storable(repr(found), MAX_SHOWN)
    invoice = id if object == "invoice" else member(found, "invoice")
    row = {
        "kind": Drift.Kind.UNREADABLE,
        "object_type": storable(object, 64),
        "object_id": storable(id, 255),
        "invoice": storable(invoice, 255) if isinstance(invoice, str) else "",
        "reason": storable(reason, 2000),
    }
    with_retries(run, lambda: _write(run, row, None if found is None else theirs))
    return Counter(seen=1, failed=1)


def _write(run: ReconciliationRun, row: dict[str, Any], theirs: Any) -> None:
    if row["object_id"] and Drift.objects.filter(run=run, **row).exists():
        return
    found = Drift(run=run, theirs=theirs, found_at=clock.now(), **row)
    explaining.carry_over([found])
    found.save()
