"""Assignments: who has an invoice. It is taken, handed over, taken over and released; what was before stays."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from invoices import clock, colleagues, written
from invoices.models import Assignment, Code, Invoice
from invoices.models.work import MAX_NOTE_LENGTH
from invoices.operations import Invalid, Refusal

VIEW, ADD, CHANGE = "invoices.view_assignment", "invoices.add_assignment", "invoices.change_assignment"
RELEASED_AT_ONCE = 500  # by one look of the task


def current(invoice: str) -> Assignment | None:
    """Who has the invoice now; None if nobody does."""
    return Assignment.objects.filter(invoice=invoice, ended_at=None).select_related("person", "given_by").first()


def current_of(invoices: Iterable[str]) -> dict[str, Assignment]:
    """Invoice → who has it, for one page of a list, by one query."""
    found = Assignment.objects.filter(invoice__in=list(invoices), ended_at=None).select_related("person")
    return {assignment.invoice: assignment for assignment in found}


def history(invoice: str, most: int) -> list[Assignment]:
    """All of an invoice, newest first."""
    found = Assignment.objects.filter(invoice=invoice).select_related("person", "given_by", "ended_by")
    return list(found.order_by("-given_at", "-pk")[:most])


def give(
    invoice_id: str,
    to: str,
    *,
    by: User,
    seen: int | None,
    note: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Assignment:
    """From now on the colleague called `to` has the invoice, who may be `by`. `seen`: the id of the assignment that the
    page showed, None if it showed nobody.

    Raises Invalid, and Refusal: without permission, and where somebody else has got it meanwhile.
    """
    if not by.has_perm(ADD):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not take invoices or hand them over."))
    if not Invoice.objects.filter(pk=invoice_id).exists():
        raise Refusal(Code.RESOURCE_MISSING, _("No such invoice: '{id}'").format(id=invoice_id[:255]), param="invoice")
    if not to.strip():
        raise Invalid("person", _("Please say to whom."), "parameter_missing")
    person = colleagues.called(to)
    if person is None:
        raise Invalid(
            "person", _("No colleague who may see this invoice is called “{name}”.").format(name=to.strip()[:150])
        )
    note = written.clean(note, "note", most=MAX_NOTE_LENGTH)
    try:
        with transaction.atomic():
            before = Assignment.objects.select_for_update().filter(invoice=invoice_id, ended_at=None).first()
            if before is not None and before.person_id == person.pk:
                return before  # sent twice, or somebody else has handed it to the same person
            _check_seen(before, seen)
            now = clock.now()
            if before is not None:
                Assignment.objects.filter(pk=before.pk).update(ended_at=now, ended_by=by)
            return Assignment.objects.create(
                invoice=invoice_id,
                person=person,
                given_by=by,
                given_at=now,
                note=note,
                address=address,
                request_id=request_id,
            )
    except IntegrityError:  # another one came first, at the same moment
        first = current(invoice_id)
        if first is not None and first.person_id == person.pk:
            return first
        _check_seen(first, seen)
        raise Refusal(Code.INVOICE_CHANGED, _("Somebody else changed who has this invoice. Look again.")) from None


def release(invoice_id: str, *, by: User, seen: int | None) -> None:
    """Nobody has it from now on. Raises Refusal: without permission, and where somebody else has got it meanwhile."""
    if not by.has_perm(CHANGE):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not release invoices."))
    with transaction.atomic():
        before = Assignment.objects.select_for_update().filter(invoice=invoice_id, ended_at=None).first()
        if before is not None:
            _check_seen(before, seen)
            Assignment.objects.filter(pk=before.pk).update(ended_at=clock.now(), ended_by=by)


def _check_seen(found: Assignment | None, seen: int | None) -> None:
    """Two people at once: the second one hears who has it."""
    if found is not None and found.pk != seen:
        said = (
            _("{person} has this invoice now. Nothing was changed; speak to {person} first.")
            if found.given_by_id == found.person_id
            else _("{person} has this invoice now, from {giver}. Nothing was changed; speak to {person} first.")
        )
        raise Refusal(
            Code.INVOICE_CHANGED,
            said.format(person=found.person, giver=found.given_by),
        )


def release_settled() -> int:
    """Releases invoices of which nothing is to be done any more: paid, void or deleted ones. How many."""
    over = Q(status__in=("paid", "void")) | Q(deleted_at__isnull=False)
    rows = Assignment.objects.filter(Exists(Invoice.objects.filter(over, pk=OuterRef("invoice"))), ended_at=None)
    ended = 0
    for pk in list(rows.order_by("pk").values_list("pk", flat=True)[:RELEASED_AT_ONCE]):
        ended += Assignment.objects.filter(pk=pk, ended_at=None).update(ended_at=clock.now())
    return ended
