"""Contradictions: an event of Stripe's, about a request of ours, that says otherwise than the journal.

A final operation is not rewritten. What contradicts it is recorded beside it, shown, counted, and e-mailed once. The
rule is `_found`. It is asked when an event has been processed (`look_at`), and when an operation becomes final after
its events came (`look_back`). An event is about our request if it carries its idempotency key, or if it names the
charge that the operation made and that a bank decided on.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from invoices import clock, emails, recorded
from invoices.models import Code, Contradiction, Email, Event, Operation, OutcomeBy, RecordedCall
from invoices.models.reading import expandable_id, member
from invoices.operations import money_under_way
from invoices.operations.action import Call
from invoices.operations.actions import ACTIONS, label_of
from invoices.operations.eligibility import OVERRIDE_PERMISSION
from invoices.operations.evidence import CHARGE_FAILED
from invoices.operations.refusals import Invalid, Refusal

log = logging.getLogger(__name__)

State = Operation.State
PERMISSION = OVERRIDE_PERMISSION  # the same as for saying what came of an operation
OUR_KEY = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.")
MAX_EMAILS_AT_ONCE = 100

# --- when it is asked -------------------------------------------------------------------------------------------------


def look_at(events: Sequence[Event]) -> None:
    """Records what these events contradict. Called in the transaction that processes them.

    The operations are locked: one that becomes final at the same moment waits, and then sees the events itself.
    """
    bases = {match[1] for event in events if (match := OUR_KEY.match(event.idempotency_key))}
    ours = Q(pk__in=bases) | Q(key_base__in=bases)
    if ended := money_under_way.invoices_of(events):
        # Money under way is locked too, because these events have settling look at it: all locks in one order.
        ours |= Q(invoice__in=ended, state__in=[State.PROCESSING, State.SUCCEEDED, State.FAILED])
    if not bases and not ended:
        return
    locked = Operation.objects.select_for_update(no_key=True).filter(ours).order_by("pk")
    _look({operation.stripe_key_base for operation in locked})


def look_back(operation: Operation) -> None:
    """Records what contradicts an operation that has just become final. Called in the transaction that made it so,
    after the row was written: an event that comes meanwhile waits for the row, and is then judged by `look_at`."""
    _look({operation.stripe_key_base})


def _look(bases: set[uuid.UUID]) -> None:
    sharing: dict[uuid.UUID, list[Operation]] = {}
    for operation in Operation.objects.filter(Q(pk__in=bases) | Q(key_base__in=bases)).order_by("created_at"):
        sharing.setdefault(operation.stripe_key_base, []).append(operation)
    # Of operations with the same keys the newest counts: the others ended before anything was applied. While one of
    # them has not ended, nothing is judged.
    ended = [same for same in sharing.values() if all(each.state in Operation.FINAL for each in same)]
    judged = [same[-1] for same in ended if same[-1].action in ACTIONS]  # not of an action that is no longer there
    keys = {_key(operation, call) for operation in judged for call in ACTIONS[operation.action].calls}
    intents = {call.payment_intent for operation in judged for call in operation.calls if call.charge}
    about = Q(idempotency_key__in=keys) | Q(object_id__in=intents, type__in=money_under_way.ENDINGS)
    events = list(Event.objects.filter(about).exclude(state=Event.State.IGNORED).order_by("created", "received_at"))
    with recorded.in_english():  # the journal keeps what it says
        for operation in judged if events else ():
            _record(operation, _found(operation, events))


def _key(operation: Operation, call: Call) -> str:
    return f"{operation.stripe_key_base}-{call.name}"


def _record(operation: Operation, found: Iterable[tuple[Event, str]]) -> None:
    known = list(Event.objects.filter(pk__in=operation.contradictions.values("event")))  # those that are not archived
    for event, message in found:
        if any(_tells_the_same(event, other) for other in known):
            continue
        Contradiction.objects.bulk_create(
            [Contradiction(operation=operation, event=event, message=message)], ignore_conflicts=True
        )
        known.append(event)
        log.error("Operation %s is contradicted by Stripe's event %s: %s", operation.pk, event.pk, message)


def _tells_the_same(event: Event, other: Event) -> bool:
    """Whether both events tell of one thing: Stripe sends several for one request, and sometimes one of them twice."""
    if event.request_id or other.request_id:
        return event.request_id == other.request_id
    return event.object_id == other.object_id


# --- the rule ---------------------------------------------------------------------------------------------------------


def _found(operation: Operation, events: Sequence[Event]) -> Iterator[tuple[Event, str]]:
    """The events that contradict this final operation, each with what the journal and what Stripe says."""
    action = ACTIONS[operation.action]
    recorded = {call.name: call for call in operation.calls}
    charges = action.charges(operation.params)
    for call in action.calls:
        is_last = call is action.calls[-1]
        sent = recorded.get(call.name)
        of_charge = _of_charge(sent, events) if sent else []
        ours = [event for event in events if event.idempotency_key == _key(operation, call) or event in of_charge]
        telling = call.effect.events + ((money_under_way.SUCCEEDED,) if charges and is_last else ())
        effects = [event for event in ours if event.type in telling]
        if not _was_applied(operation, sent, is_last=is_last):
            for event in effects:
                yield event, _told(operation, event, _("Stripe says that our request took effect ({type} of {id})."))
            was_under_way = sent is not None and (sent.result is not None or sent.charge)
            for event in (event for event in ours if charges and event.type == money_under_way.PROCESSING):
                if not was_under_way:
                    said = _("Stripe says that the money is on its way ({type} of {id}).")
                    yield event, _told(operation, event, said)
            continue
        for event in (event for event in ours if charges and is_last and event.type in CHARGE_FAILED):
            said = _("Stripe says that our charge did not go through ({type} of {id}).")
            yield event, _told(operation, event, said)
        for event in _second(effects, _request_id(operation, sent) if is_last else ""):
            said = _("Stripe says that our request took effect a second time ({type} of {id}).")
            yield event, _told(operation, event, said)


def _of_charge(sent: RecordedCall, events: Sequence[Event]) -> list[Event]:
    """The events that name the charge of this call. Stripe sends them without our key when a bank has decided."""
    if not sent.charge:
        return []
    return [event for event in events if event.object_id == sent.payment_intent and _charge_in(event) == sent.charge]


def _charge_in(event: Event) -> str | None:
    """The charge whose end this event of a PaymentIntent tells of."""
    intent = member(json.loads(event.body), "data", "object")
    if event.type == money_under_way.FAILED:
        return expandable_id(intent, "last_payment_error", "charge") or expandable_id(intent, "latest_charge")
    return expandable_id(intent, "latest_charge")


def _was_applied(operation: Operation, sent: RecordedCall | None, *, is_last: bool) -> bool:
    """Whether the journal says that this call took effect by our request. An earlier call of several may have,
    although the operation failed."""
    if operation.state == State.SUCCEEDED:
        return operation.outcome_by != OutcomeBy.SOMEONE_ELSE
    return not is_last and sent is not None and sent.result is not None


def _request_id(operation: Operation, sent: RecordedCall | None) -> str:
    """Stripe's id of the request that took effect, as the journal has it. Empty where it is not known: a repeated
    answer has an id of its own."""
    return "" if sent is None or sent.replayed else operation.stripe_request_id


def _second(effects: Sequence[Event], request_id: str) -> Iterator[Event]:
    """The events of a second effect. Each effect is one request of Stripe's, whose id all its events carry, and one
    object of a kind."""
    first_of_type: dict[str, Event] = {}
    for event in effects:
        request_id = request_id or event.request_id
        first = first_of_type.setdefault(event.type, event)
        if (event.request_id and event.request_id != request_id) or event.object_id != first.object_id:
            yield event


def _journal(operation: Operation) -> str:
    """What the journal says, as a sentence."""
    if operation.outcome_by == OutcomeBy.PERSON:
        said = _("The journal says of “{action}”: a manager decided that it did not take effect.")
        if operation.state == State.SUCCEEDED:
            said = _("The journal says of “{action}”: a manager decided that it took effect.")
    elif operation.outcome_by == OutcomeBy.SOMEONE_ELSE:
        said = _("The journal says of “{action}”: done by someone else; our request changed nothing.")
    elif operation.code in Code.values:
        said = _("The journal says of “{action}”: {word} ({sentence}).")
    else:
        said = _("The journal says of “{action}”: {word}.")
    return said.format(
        action=_(label_of(operation.action)),
        word=operation.get_state_display(),
        sentence=Code(operation.code).label.lower() if operation.code in Code.values else "",
    )


def _told(operation: Operation, event: Event, said: str) -> str:
    """What the journal says, and what Stripe says with this event."""
    return f"{_journal(operation)} {said.format(type=event.type, id=event.object_id)}"


# --- what a person did about it ---------------------------------------------------------------------------------------


def unresolved() -> Q:
    """The contradictions about which nobody has done anything yet."""
    return Q(resolved_at=None)


def resolve(id: int, *, by: User, reason: str) -> Contradiction:
    """Notes what a manager did about it. Raises Invalid without a reason; Refusal without permission, or if somebody
    was faster."""
    if not reason.strip():
        raise Invalid("reason", _("Please say what you found and did: it stands beside the operation."))
    if not by.has_perm(PERMISSION):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not resolve contradictions."))
    open_one = Contradiction.objects.filter(unresolved(), pk=id)
    if not open_one.update(resolved_at=clock.now(), resolved_by=by, resolution=reason.strip()):
        raise Refusal(Code.INVOICE_CHANGED, _("Somebody else has resolved it meanwhile."))
    return Contradiction.objects.get(pk=id)


# --- telling people ---------------------------------------------------------------------------------------------------


def announce() -> int:
    """Writes the e-mails to finance and the managers about each contradiction that they have not heard of; of how
    many. While nobody has an address, it waits."""
    waiting = Contradiction.objects.filter(announced_at=None).order_by("pk")
    if not waiting.exists() or not (people := _people()):
        return 0
    return sum(_announce(each, people) for each in waiting.select_related("operation")[:MAX_EMAILS_AT_ONCE])


def _announce(contradiction: Contradiction, people: list[str]) -> bool:
    with transaction.atomic():  # that they were told, and what they are told
        unheard = Contradiction.objects.filter(pk=contradiction.pk, announced_at=None)
        if not unheard.update(announced_at=clock.now()):
            return False
        emails.write(Email.Kind.CONTRADICTION, contradiction.pk, *_email(contradiction), people)
    return True


def _people() -> list[str]:
    managers = User.objects.with_perm(PERMISSION, include_superusers=True).values_list("email", flat=True)
    return sorted({email for email in [*managers, *settings.FINANCE_EMAILS] if email})


def _email(contradiction: Contradiction) -> tuple[str, str]:
    """Subject and text."""
    operation = contradiction.operation
    number = operation.before.get("number") or operation.invoice
    link = settings.PUBLIC_URL + reverse("admin:invoices_operation_page", args=[operation.pk])
    return (
        f"Stripe contradicts the journal: {label_of(operation.action)} {number}",
        f"{contradiction.message}\n\nLook at the invoice at Stripe first. Do not repeat the action before that.\n\n"
        f"The operation, and where to note what you did: {link}\nStripe's event: {contradiction.event_id}\n",
    )
