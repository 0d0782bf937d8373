"""The tables of what people and services did at the desk: operations, batches, pauses, sign-ins, tokens, e-mails."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Max
from django.utils.translation import gettext_noop

from invoices.models import ApiToken, Batch, Operation, TokenRecord
from invoices.operations import label_of, money_under_way
from invoices.record_tables.shape import (
    CURRENCY,
    NUMBER,
    Field,
    Seen,
    Shape,
    amount,
    choice,
    moment,
    person,
    plain,
    who,
)
from invoices.tables import Column, Kind


def at_stake(operation: Operation) -> int | None:
    """Minor units: what a second person would agree to; else the part that is charged; else what was left to pay when
    it was asked for."""
    asked = operation.approval_amount
    if asked is None:
        asked = money_under_way.part_of(operation)
    if asked is not None:
        return asked
    remaining = operation.expected.get("amount_remaining") if isinstance(operation.expected, dict) else None
    return remaining if isinstance(remaining, int) and not isinstance(remaining, bool) else None


OPERATIONS = Shape(
    gettext_noop("Operations"),
    [
        Field(Column("Action", Kind.TEXT), lambda seen: label_of(seen.row.action)),
        NUMBER,
        plain("State", "state"),
        plain("Code", "code"),
        plain("Decline code", "decline_code"),
        plain("Message", "message"),
        *who(),
        CURRENCY,
        *amount("Amount", at_stake),
        person("Asked by", "actor"),
        person("Decided by", "approver"),
        plain("Reason", "reason"),
        plain("Ticket", "ticket"),
        plain("Way in", "source"),
        moment("Asked", "created_at"),
        moment("Decided", "decided_at"),
        moment("Ended", "finished_at"),
        plain("Invoice id", "invoice"),
        Field(Column("Operation id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "action state code decline_code message currency approval_amount expected params reason ticket source created_at "
    "decided_at finished_at invoice customer actor__username approver__username".split(),
    invoice="invoice",
    customer="customer",
    related=("actor", "approver"),
)

SIGN_INS = Shape(
    gettext_noop("Sign-ins"),
    [
        moment("When", "at"),
        choice("What", "what"),
        plain("Account", "username"),
        plain("By", "by"),
        plain("Detail", "detail"),
        plain("Reason", "reason"),
        plain("Address", "address"),
        plain("Request", "request_id"),
    ],
    ["at", "what", "username", "by", "detail", "reason", "address", "request_id"],
)

MONTH_CLOSES = Shape(
    gettext_noop("Closed months"),
    [
        Field(Column("Month", Kind.TEXT), lambda seen: str(seen.row)),
        plain("Time zone", "time_zone"),
        plain("Closing", "number", Kind.NUMBER),
        person("Closed by", "closed_by"),
        moment("Closed", "closed_at"),
        plain("Reason", "reason"),
        plain("Journal position", "head_position", Kind.NUMBER),
        plain("Journal head", "head_hash"),
    ],
    "month time_zone number closed_at reason head_position head_hash closed_by__username".split(),
    related=("closed_by",),
)

_NOT_DONE = (Operation.State.FAILED, Operation.State.REFUSED, Operation.State.CANCELLED, Operation.State.EXPIRED)


def _outcomes(batches: Sequence[Batch]) -> dict[Any, Counter[str]]:
    """Of each batch: how many of its operations are in which state."""
    found: dict[Any, Counter[str]] = defaultdict(Counter)
    states = (
        Operation.objects.filter(batch__in=[batch.pk for batch in batches]).order_by().values_list("batch", "state")
    )
    for batch, state, count in states.annotate(count=Count("pk")):
        found[batch][state] = count
    return found


def _batch_state(seen: Seen) -> str:
    if seen.row.cancelled_at:
        return "cancelled"
    if seen.row.awaiting_approval:
        return "awaiting approval"
    return "finished" if seen.row.finished_at else "running"


def _count(label: str, *states: str) -> Field:
    return Field(Column(label, Kind.NUMBER), lambda seen: sum((seen.beside or {}).get(state, 0) for state in states))


BATCHES = Shape(
    gettext_noop("Batches"),
    [
        Field(Column("Action", Kind.TEXT), lambda seen: label_of(seen.row.action)),
        Field(Column("State", Kind.TEXT), _batch_state),
        Field(Column("Invoices", Kind.NUMBER), lambda seen: len(seen.row.items)),
        _count("Succeeded", Operation.State.SUCCEEDED),
        _count("Not done", *_NOT_DONE),
        _count("Money under way", Operation.State.PROCESSING),
        person("Asked by", "actor"),
        person("Decided by", "approver"),
        plain("Reason", "reason"),
        plain("Ticket", "ticket"),
        moment("Asked", "created_at"),
        moment("Decided", "decided_at"),
        moment("Ended", "finished_at"),
        Field(Column("Batch id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "action items awaiting_approval reason ticket created_at decided_at cancelled_at finished_at actor__username "
    "approver__username".split(),
    related=("actor", "approver"),
    beside=_outcomes,
    rows_at_once=10,  # each has up to ten thousand items
)

PAUSES = Shape(
    gettext_noop("Pauses"),
    [
        Field(
            Column("Action", Kind.TEXT), lambda seen: label_of(seen.row.action) if seen.row.action else "every action"
        ),
        plain("Reason", "reason"),
        person("Paused by", "paused_by"),
        moment("Since", "paused_at"),
        moment("Until", "ends_at"),
        person("Resumed by", "resumed_by"),
        moment("Resumed", "resumed_at"),
    ],
    "action reason paused_at ends_at resumed_at paused_by__username resumed_by__username".split(),
    related=("paused_by", "resumed_by"),
)


def _last_used(found: Sequence[ApiToken]) -> dict[Any, Any]:
    uses = TokenRecord.objects.filter(token__in=[token.pk for token in found], what=TokenRecord.What.USED)
    return dict(uses.order_by().values_list("token").annotate(last=Max("at")))


API_TOKENS = Shape(
    gettext_noop("API tokens"),
    [
        plain("Name", "name"),
        person("User", "user"),
        person("Created by", "created_by"),
        plain("Command run by", "shell_user"),
        Field(Column("For", Kind.TEXT), lambda seen: " ".join(seen.row.granted)),
        Field(Column("Last used (UTC)", Kind.MOMENT), lambda seen: seen.beside),
        moment("Created", "created"),
        moment("Expires", "expiry"),
        person("Revoked by", "revoked_by"),
        moment("Revoked", "revoked_at"),
        plain("Begins with", "token_key"),
    ],
    "name shell_user scopes read_only created expiry revoked_at token_key user__username created_by__username "
    "revoked_by__username".split(),
    related=("user", "created_by", "revoked_by"),
    beside=_last_used,
)

WEBHOOK_ENDPOINTS = Shape(
    gettext_noop("Webhook endpoints"),
    [
        plain("Address", "url"),
        plain("Description", "description"),
        Field(Column("Takes", Kind.TEXT), lambda seen: " ".join(seen.row.enabled_events)),
        person("Owner", "owner"),
        moment("Made", "created_at"),
        moment("Failing since", "failing_since"),
        moment("Disabled", "disabled_at"),
        plain("Disabled because", "disabled_because"),
        plain("Endpoint id", "pk"),
    ],
    "url description enabled_events created_at failing_since disabled_at disabled_because owner__username".split(),
    related=("owner",),
)

EMAILS = Shape(
    gettext_noop("E-mails"),
    [
        plain("Subject", "subject"),
        plain("To", "recipient"),
        choice("Tells", "kind"),
        plain("State", "state"),
        plain("Failed attempts", "attempts", Kind.NUMBER),
        plain("Last error", "error"),
        moment("Written", "written_at"),
        moment("Ended", "ended_at"),
        plain("About", "about"),
    ],
    "subject recipient kind state attempts error written_at ended_at about".split(),
)
