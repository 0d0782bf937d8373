"""Batches by token: `POST /v1/batches` makes one, `/v1/batches/preview` says before what it would do, and
`GET /v1/batches/:id?wait=` follows it; it can be cancelled, and confirmed again.

What may be done is not judged here: the same functions judge it as in the admin (invoices/operations/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from django.contrib.auth.models import User
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import operations, request_origin
from invoices.api import parameters
from invoices.api.actions import REASON_HEADER, TICKET_HEADER, idempotency_key, take_wait
from invoices.api.base import MAX_ID_LENGTH, require_permissions, require_scope
from invoices.api.decisions import error_of_refusal
from invoices.api.envelope import invalid
from invoices.api.schema import REASON, TICKET, body_of, describe, parameter_schema
from invoices.api.schema_shapes import INTEGER, TEXT, array, ref
from invoices.api.views import BatchView
from invoices.models import ApiToken, Batch
from invoices.operations import batch as batches
from invoices.operations import batch_by_token, eligibility, waiting
from invoices.operations.bulk_preview import BULK_ACTIONS, BulkPreview
from invoices.operations.request import MAX_REASON_LENGTH, MAX_TICKET_LENGTH

_ASKED: dict[str, Any] = {
    "action": {"type": "string", "enum": BULK_ACTIONS},
    "invoices": {
        **array({**TEXT, "minLength": 1, "maxLength": MAX_ID_LENGTH}),
        "minItems": 1,
        "maxItems": batches.MAX_INVOICES,
        "uniqueItems": True,
        "description": "Their ids",
    },
    "parameters": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            parameter.name: parameter_schema(parameter)
            for name in BULK_ACTIONS
            for parameter in operations.ACTIONS[name].parameters
            if parameter.name in (operations.ACTIONS[name].bulk_parameters or ())
        },
        "description": "Of the action, for all of its invoices: those that its form for many invoices asks for",
    },
}
_EXPECTED = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": INTEGER,
    "description": "What you believe to remain to pay on them, in minor units: `expected[eur]=12300`",
}


@dataclass(frozen=True)
class _Asked:
    """What a request asks for."""

    action: operations.Action
    invoices: list[str]
    params: dict[str, Any]


class MadeBatchView(BatchView):
    """`/v1/batches`, with the ways to make one and to act on it."""

    may_wait = True
    takes_long_lists = True

    def check_permissions(self, request: Request) -> None:
        """Of a POST the scope that the token needs is that of the action, which is not known here yet."""
        if request.method != "POST":
            super().check_permissions(request)
            return
        require_permissions(request, self.permission)

    @describe(
        "Batches",
        "Do one action to many invoices, each in an operation of its own",
        ref("batch"),
        body=body_of({**_ASKED, "expected": _EXPECTED}, ["action", "invoices", "expected"]),
        parameters=[REASON, TICKET],
        description="The workers carry it out, or a second person is asked first. Nothing is left out: where one of "
        "the invoices may not start, or a sum is another one, no batch is made. Needs the permission of the action.",
    )
    def create(self, request: Request) -> Response:
        nested = parameters.of_request(request)
        sums = _take_sums(nested)
        asked = _asked(request, nested)
        if not sums:
            raise invalid("Missing required param: expected.", "expected", "parameter_missing")
        token: Any = request.auth
        key = idempotency_key(request)
        headers = {"Idempotency-Key": key} if key else {}
        person: Any = request.user
        try:
            batch = batch_by_token.start(
                asked.action.name,
                asked.invoices,
                sums=sums,
                actor=person,
                token=token,
                idempotency_key=key,
                params=asked.params,
                reason=parameters.header_text(request, REASON_HEADER, MAX_REASON_LENGTH) or token.name,
                ticket=parameters.header_text(request, TICKET_HEADER, MAX_TICKET_LENGTH),
                **request_origin.origin(request),
            )
        except operations.Refusal as refusal:
            raise error_of_refusal(_named(refusal, asked.action), headers=headers) from refusal
        if not batch.is_new:
            headers |= {"Idempotent-Replayed": "true", "Original-Request": batch.request_id}
        return self._shown(batch, headers)

    @describe(
        "Batches",
        "What a batch would do, and to which invoices it would not; it changes nothing",
        ref("batch_preview"),
        body=body_of(_ASKED, ["action", "invoices"]),
        description="Needs the permission of the action.",
    )
    def preview(self, request: Request) -> Response:
        asked = _asked(request, parameters.of_request(request))
        person: Any = request.user
        try:
            found = batch_by_token.preview(asked.action, asked.invoices, asked.params, person)
        except operations.Refusal as refusal:
            raise error_of_refusal(_named(refusal, asked.action)) from refusal
        return Response(_preview_object(found))

    @describe("Batches", "End what has sent nothing", ref("batch"))
    def cancel(self, request: Request, id: str) -> Response:
        """Items that have not begun do not begin any more. One that has ended stays as it is."""
        return self._act(request, id, batches.cancel)

    @describe("Batches", "Confirm your own batch again, which has outlived its life", ref("batch"))
    def confirm(self, request: Request, id: str) -> Response:
        """What has not begun goes on. Where there is nothing to confirm, nothing changes."""
        return self._act(request, id, partial(batches.confirm_again, token=cast(ApiToken, request.auth)))

    def retrieve(self, request: Request, id: str) -> Response:
        nested = parameters.of_request(request)
        seconds = take_wait(request, nested, 0)
        parameters.refuse_unknown(parameters.flatten(nested), ())
        batch = self.find(id)
        waiting.until(lambda: found if (found := self.find(id)).finished_at else None, seconds)
        return self._shown(batch)

    def _act(self, request: Request, id: str, act: Callable[[Batch, Any], bool]) -> Response:
        parameters.refuse_unknown(parameters.flatten(parameters.of_request(request)), ())
        batch, person = self.find(id), cast(User, request.user)
        action = operations.ACTIONS[batch.action]
        require_scope(request, action.name)
        try:
            batches.check_permission(action, person)
            act(batch, person)
        except operations.Refusal as refusal:
            raise error_of_refusal(refusal) from refusal
        return self._shown(batch)

    def _shown(self, batch: Batch, headers: dict[str, str] | None = None) -> Response:
        return Response(self.to_content(self.find(str(batch.pk))), headers=headers)


def _asked(request: Request, nested: parameters.Nested) -> _Asked:
    """Takes the parameters of a batch. Raises ApiError, also where the token is not for the action."""
    ids = parameters.take_array(nested, "invoices")
    params = _take_object(nested, "parameters")
    values = parameters.flatten(nested)
    parameters.refuse_unknown(values, ("action",))
    name = values.get("action")
    if name is None:
        raise invalid("Missing required param: action.", "action", "parameter_missing")
    if name not in BULK_ACTIONS:
        raise invalid(f"Invalid action: must be one of {parameters.one_of(BULK_ACTIONS)}", "action")
    require_scope(request, name)
    require_permissions(request, "invoices.view_invoice")
    action = operations.ACTIONS[name]
    known = [parameter for parameter in action.parameters if parameter.name in (action.bulk_parameters or ())]
    given = {f"parameters[{each}]": value for each, value in params.items()}
    parameters.refuse_unknown(given, [f"parameters[{parameter.name}]" for parameter in known])
    for parameter in known:
        if parameter.required and parameter.name not in params:
            place = f"parameters[{parameter.name}]"
            raise invalid(f"Missing required param: {place}.", place, "parameter_missing")
    if not ids:
        raise invalid("Missing required param: invoices.", "invoices", "parameter_missing")
    for number, id in enumerate(ids):
        if len(id) > MAX_ID_LENGTH:
            raise invalid(f"Invalid string: an id has at most {MAX_ID_LENGTH} characters.", f"invoices[{number}]")
    return _Asked(action, ids, params)


def _take_object(nested: parameters.Nested, name: str) -> dict[str, Any]:
    """Removes an object from the parameters and returns its members. Raises ApiError."""
    value = nested.pop(name, {})
    if not isinstance(value, dict):
        raise invalid("Invalid object", name)
    parameters.flatten({name: value})  # refuses what cannot be stored
    return {member: each for member, each in value.items() if each is not None}


def _take_sums(nested: parameters.Nested) -> dict[str, int]:
    """`expected[eur]=12300`: minor units by currency. Raises ApiError."""
    sums: dict[str, int] = {}
    for name, value in _take_object(nested, "expected").items():
        if name.lower() in sums:
            raise invalid(f"The sum of {name.upper()} is told twice.", f"expected[{name}]")
        sums[name.lower()] = parameters.integer(value, f"expected[{name}]")
    return sums


def _named(refusal: operations.Refusal, action: operations.Action) -> operations.Refusal:
    """The parameter at fault, by the name that it has in the request."""
    if refusal.param in {parameter.name for parameter in action.parameters}:
        refusal.param = f"parameters[{refusal.param}]"
    return refusal


def _preview_object(found: BulkPreview) -> dict[str, Any]:
    paused = eligibility.pause_refusal(found.action.name)
    return {
        "object": "batch_preview",
        "action": found.action.name,
        "invoices": [invoice.pk for invoice in found.invoices],
        "left_alone": [
            {"code": str(group.code), "reason": group.reason, "invoices": group.ids} for group in found.groups
        ],
        "sums": found.sums,
        "approval": {"amount": found.need.amount, "reason": found.need.why} if found.need else None,
        "paused": paused.message if paused else None,
    }
