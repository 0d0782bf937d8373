"""Refusals: the exceptions, and the HTTP status of each code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from invoices import recorded
from invoices.models import Code

if TYPE_CHECKING:
    from invoices.models import Operation

P = ParamSpec("P")
R = TypeVar("R")

# The HTTP status with which the API answers each code.
HTTP_STATUS: dict[str, int] = {
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_MISSING: 404,
    Code.PARAMETER_INVALID: 400,
    Code.INVOICE_NOT_OPEN: 400,
    Code.INVOICE_CHANGED: 409,
    Code.ATTEMPTED_RECENTLY: 400,
    Code.APPROVAL_REQUIRED: 400,
    Code.OPERATION_IN_PROGRESS: 409,
    Code.IDEMPOTENCY_KEY_REUSED: 400,
    Code.OUTCOME_UNKNOWN: 409,
    Code.STRIPE_UNAVAILABLE: 503,
    Code.NOT_APPLIED: 502,
    Code.STRIPE_REFUSED: 400,
    Code.CARD_DECLINED: 402,
    Code.AUTHENTICATION_REQUIRED: 402,
    Code.EXPIRED: 400,
    Code.REJECTED: 400,
    Code.WITHDRAWN: 400,
    Code.ACTIONS_PAUSED: 503,
}


class Refusal(Exception):
    """An action that we refuse.

    `code` is stable, `message` is for people. `param` names the parameter at fault, if one is. `operation` is the one
    that stands in the way, or the journal row of this refusal. `until` (aware, UTC) is when the reason ends by itself,
    where that is known. `error` is Stripe's 429, where that is the reason.
    """

    stripe_code = ""  # the code with which Stripe itself refused it, if it did

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        operation: Operation | None = None,
        until: datetime | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.operation, self.until = code, message, param, operation, until
        self.error = error

    @property
    def http_status(self) -> int:
        """The HTTP status of this refusal."""
        return HTTP_STATUS[self.code]


class Invalid(Refusal):
    """A parameter that is missing, unknown or not allowed. It is shown beside its field."""

    def __init__(self, param: str, message: str, stripe_code: str = "") -> None:
        super().__init__(Code.PARAMETER_INVALID, message, param=param)
        self.stripe_code = stripe_code


def in_english(function: Callable[P, R]) -> Callable[P, R]:
    """Everything that the function says is made in English, because the journal keeps it. The one who asked hears a
    refusal in the language of the page all the same."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with recorded.in_english():
                return function(*args, **kwargs)
        except Refusal as refusal:
            refusal.message = recorded.shown(refusal.message)
            raise

    return call
