"""Who works on an invoice, on its page: who has it, what was promised, with their forms; and both in lists."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import assignments, clock, colleagues, money, promises, recorded, request_origin
from invoices.admin import days
from invoices.admin.base import RecordAdmin
from invoices.admin.links import url_of
from invoices.admin.locale import locale_of
from invoices.models import Assignment, Invoice, Promise
from invoices.operations import Invalid, Refusal

COLLEAGUES_OFFERED = 100  # by the field for a name; others can be typed
HISTORY_SHOWN = 50
TONES = {
    gettext_noop("open"): "violet",
    gettext_noop("kept"): "green",
    gettext_noop("broken"): "red",
    gettext_noop("withdrawn"): "grey",
}
ENDED = {  # by the desk itself
    "kept": gettext_noop("The promise of {amount} by {day} was kept."),
    "broken": gettext_noop("The promise of {amount} by {day} was broken."),
    "withdrawn": gettext_noop("The promise of {amount} by {day} was withdrawn."),
}


class ShownPromise:
    """The last promise of an invoice, as it is to be judged now."""

    def __init__(self, row: Promise, invoice: Invoice) -> None:
        self.row = row
        self.state, self.because = promises.state_of(row, invoice, clock.now())
        self.tone = TONES[self.state]
        self.amount, self.day = money.text(row.amount, row.currency), days.in_words(row.day)


def panel(request: HttpRequest, invoice: Invoice, draft: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the part of the page is made of. `draft`: which form was sent and could not be kept, what was typed into it,
    and why."""
    may = request.user.has_perm
    if not (may(assignments.VIEW) or may(promises.VIEW)):
        return {}
    has_it = assignments.current(invoice.pk) if may(assignments.VIEW) else None
    last = promises.history(invoice.pk, 1) if may(promises.VIEW) else []
    promise = ShownPromise(last[0], invoice) if last else None
    is_owed = invoice.status == "open" and invoice.deleted_at is None and (invoice.amount_remaining or 0) > 0
    may_give = may(assignments.ADD) and may(assignments.VIEW) and invoice.deleted_at is None
    return {
        "assignment": has_it,
        "is_mine": has_it is not None and has_it.person_id == request.user.pk,
        "sees_assignment": may(assignments.VIEW),
        "may_give": may_give,
        "may_release": has_it is not None and may(assignments.CHANGE),
        "colleagues": list(colleagues.everyone()[:COLLEAGUES_OFFERED]) if may_give else [],
        "caution": caution(request, has_it),
        "promise": promise,
        "sees_promise": may(promises.VIEW),
        "may_promise": is_owed and may(promises.ADD) and not (last and last[0].state == promises.State.OPEN),
        "may_withdraw": bool(last) and last[0].state == promises.State.OPEN and may(promises.CHANGE),
        "amount": money.typed(invoice.amount_remaining or 0, invoice.currency or "usd", locale_of(request))
        if is_owed
        else "",
        "first_day": timezone.localdate(clock.now()),
        "last_day": promises.last_day(),
        "new": uuid.uuid4(),
        "draft": draft,
    }


def caution(request: HttpRequest, has_it: Assignment | None) -> str:
    """What who wants to act on the invoice should know: that a colleague has it. Empty: nobody else does."""
    if has_it is None or has_it.person_id == request.user.pk:
        return ""
    return _("{person} has this invoice. Speak to {person} before you act on it.").format(person=has_it.person)


def caution_for(request: HttpRequest, invoice: Invoice) -> str:
    """The same, for a page that shows nothing else of it."""
    return caution(request, assignments.current(invoice.pk)) if request.user.has_perm(assignments.VIEW) else ""


# --- forms ------------------------------------------------------------------------------------------------------------


def save_promise(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """POST: records a promise."""
    invoice = _invoice(admin, request, object_id, promises.VIEW)
    given = {name: request.POST.get(name, "") for name in ("amount", "day", "note")}
    try:
        promises.record(
            invoice.pk,
            **{**given, "day": _iso(given["day"])},
            by=request.user,  # type: ignore[arg-type]  # signed in
            locale=locale_of(request),
            promise_id=_uuid(request.POST.get("new", "")),
            **request_origin.origin(request),
        )
    except Refusal as refusal:
        return _again(admin, request, invoice, "promise", given, refusal)
    messages.success(request, _("The promise is recorded."))
    return redirect(f"{url_of('invoice', invoice.pk)}#work")


def withdraw_promise(admin: RecordAdmin, request: HttpRequest, object_id: str, promise_id: uuid.UUID) -> HttpResponse:
    """POST: withdraws a promise."""
    invoice = _invoice(admin, request, object_id, promises.VIEW)
    promise = Promise.objects.filter(pk=promise_id, invoice=invoice.pk).first()
    if promise is None:
        raise Http404
    given = {"because": request.POST.get("because", "")}
    try:
        promises.withdraw(promise, by=request.user, **given)  # type: ignore[arg-type]  # signed in
    except Refusal as refusal:
        return _again(admin, request, invoice, "withdraw", given, refusal)
    messages.success(request, _("The promise is withdrawn."))
    return redirect(f"{url_of('invoice', invoice.pk)}#work")


def save_assignment(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """POST: takes the invoice, gives it to a colleague or releases it, by the button that was pressed."""
    invoice = _invoice(admin, request, object_id, assignments.VIEW)
    given = {name: request.POST.get(name, "") for name in ("person", "note")}
    what, typed = request.POST.get("what", ""), request.POST.get("seen", "")
    seen = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 19 else None
    by: Any = request.user
    try:
        if what == "release":
            assignments.release(invoice.pk, by=by, seen=seen)
        elif what == "take":
            origin = request_origin.origin(request)
            assignments.give(invoice.pk, by.get_username(), by=by, seen=seen, **origin)
        else:
            assignments.give(
                invoice.pk, given["person"], by=by, seen=seen, note=given["note"], **request_origin.origin(request)
            )
    except Refusal as refusal:
        return _again(admin, request, invoice, "assignment", given, refusal)
    messages.success(request, _changed_hands(what, given["person"]))
    return redirect(f"{url_of('invoice', invoice.pk)}#work")


def _changed_hands(what: str, person: str) -> str:
    """What became of the invoice, in words."""
    match what:
        case "release":
            return _("The invoice is released: nobody has it now.")
        case "take":
            return _("You have this invoice now.")
    return _("{person} has this invoice now.").format(person=person.strip())


def _invoice(admin: RecordAdmin, request: HttpRequest, object_id: str, permission: str) -> Invoice:
    if not admin.has_view_permission(request) or not request.user.has_perm(permission):
        raise PermissionDenied
    invoice: Invoice | None = admin.record(object_id)
    if invoice is None:
        raise Http404
    return invoice


# The field that a refusal is about, by form and parameter, as the template names it.
PLACES = {
    ("promise", "amount"): "promise-amount",
    ("promise", "day"): "promise-day",
    ("promise", "note"): "promise-note",
    ("assignment", "person"): "work-person",
    ("assignment", "note"): "work-note",
}


def _again(
    admin: RecordAdmin, request: HttpRequest, invoice: Invoice, form: str, given: dict[str, str], refusal: Refusal
) -> HttpResponse:
    """The page again, with what was typed and the reason beside its field, and on top too."""
    param = refusal.param if refusal.param in given else ""
    draft = {"form": form, **given, "param": param, "error": recorded.shown(refusal.message)}
    context = {**admin.page_context(request, invoice), "work": panel(request, invoice, draft)}
    # The form stands below the fold: the sentence leads to it.
    said = format_html('{} <a href="#{}">{}</a>', draft["error"], PLACES.get((form, param), "work"), _("To the form"))
    messages.error(request, said)
    return admin.show(request, admin.page_template, context, status=refusal.http_status)


def _iso(typed: str) -> str:
    """The day as `promises` takes it."""
    if not typed.strip():
        return ""
    try:
        return days.parse(typed).isoformat()
    except days.BadDay as error:
        raise Invalid("day", str(error)) from error


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- in lists, and in the timeline ------------------------------------------------------------------------------------


def prepare(rows: list[Invoice]) -> None:
    """Adds to the invoices of one page of a list who has each, and the promise that stands; by two queries."""
    ids = [row.pk for row in rows]
    having = assignments.current_of(ids)
    standing = {row.invoice: row for row in Promise.objects.filter(invoice__in=ids, state=promises.State.OPEN)}
    for row in rows:
        row.assignment, row.promise = having.get(row.pk), standing.get(row.pk)  # type: ignore[attr-defined]


def work_history(request: HttpRequest, invoice: Invoice) -> list[tuple[datetime, str, str]]:
    """What happened to the invoice's assignments and promises, newest first: when, who (empty: the desk itself), and
    what, in words. Only what this person may see."""
    found: list[tuple[datetime, str, str]] = []
    if request.user.has_perm(assignments.VIEW):
        found += _of_assignments(assignments.history(invoice.pk, HISTORY_SHOWN))
    if request.user.has_perm(promises.VIEW):
        for promise in promises.history(invoice.pk, HISTORY_SHOWN):
            found += _of_promise(promise)
    return sorted(found, key=lambda each: each[0], reverse=True)


def _of_assignments(rows: list[Assignment]) -> list[tuple[datetime, str, str]]:
    begun = {row.given_at for row in rows}
    found = []
    for row in rows:
        words = (
            _("took the invoice")
            if row.given_by_id == row.person_id
            else _("gave the invoice to {person}").format(person=row.person)
        )
        found.append((row.given_at, str(row.given_by), f"{words}: {row.note}" if row.note else words))
        if row.ended_at and row.ended_at not in begun:  # otherwise somebody else has it from that moment on
            words = (
                _("released the invoice, which {person} had").format(person=row.person)
                if row.ended_by_id != row.person_id
                else _("released the invoice")
            )
            found.append((row.ended_at, str(row.ended_by or ""), words))
    return found


def _of_promise(promise: Promise) -> list[tuple[datetime, str, str]]:
    said = {"amount": money.text(promise.amount, promise.currency), "day": days.in_words(promise.day)}
    words = _("recorded a promise to pay {amount} by {day}").format(**said)
    found = [(promise.recorded_at, str(promise.recorded_by), f"{words}: {promise.note}" if promise.note else words)]
    if promise.ended_at:
        because = f" {recorded.shown(promise.ended_because)}" if promise.ended_because else ""
        by = str(promise.ended_by or "")
        words = _("withdrew the promise of {amount} by {day}.") if by else _(ENDED[promise.state])
        found.append((promise.ended_at, by, f"{words.format(**said)}{because}"))
    return found


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perms((assignments.VIEW, promises.VIEW))


def in_list(row: Any) -> SafeString:
    """Who has the invoice, and below it `promised by 30 Nov 2026`, if a promise stands."""
    return format_html(
        '<span class="two"><span dir="auto">{}</span><small>{}</small></span>',
        row.assignment.person if row.assignment else "",
        _promise_in_words(row),
    )


def _promise_in_words(row: Any) -> str:
    if row.promise is None:
        return ""
    state = promises.state_of(row.promise, row, clock.now())[0]
    if state == promises.State.OPEN:
        return _("promised by {day}").format(day=days.in_words(row.promise.day))
    return _("promise broken") if state == promises.State.BROKEN else ""
