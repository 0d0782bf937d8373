"""Every reason for which we say no, with its stable code; and what an invalid parameter looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoices.models import Operation

# Our codes and the HTTP status that the API answers with. Nothing is refused with a code that does not stand here.
STATUS = {
    "permission_denied": 403,
    "resource_missing": 404,
    "parameter_invalid": 400,
    "invoice_not_open": 400,
    "invoice_changed": 409,
    "attempted_recently": 400,
    "approval_required": 400,
    "operation_in_progress": 409,
    "idempotency_key_reused": 400,
    "outcome_unknown": 409,
    "stripe_unavailable": 503,
    "not_applied": 502,
    "stripe_refused": 400,
    "card_declined": 402,
    "authentication_required": 402,
    "expired": 400,
    "rejected": 400,
    "withdrawn": 400,
    "actions_paused": 503,
}


class Refusal(Exception):
    """We do not do this. `code` is stable, `message` is for people, `param` names the field, if it is one's fault."""

    def __init__(
        self, code: str, message: str, *, param: str | None = None, operation: Operation | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.operation = code, message, param, operation

    @property
    def status(self) -> int:
        """The HTTP status of this refusal."""
        return STATUS[self.code]


class Invalid(Refusal):
    """A parameter that cannot be: said beside its field, and not journalled, since nothing was asked for yet."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__("parameter_invalid", message, param=param)
