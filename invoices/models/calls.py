"""The calls of an operation, as the journal stores them: what was sent to Stripe, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from invoices.models.fields import ObjectField


@dataclass(frozen=True, slots=True)
class CallResult:
    """What of Stripe's answer is kept: the object that the call changed or made."""

    id: str
    object: str  # Stripe's name of its kind, such as "invoice"
    status: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> CallResult:
        """From an object of Stripe's, or from what the journal stored of one."""
        return cls(str(data.get("id") or ""), str(data.get("object") or ""), data.get("status"))


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One request to Stripe of an operation. It is stored and committed before it is sent, and sent again verbatim."""

    name: str  # which of the action's calls
    path: str  # such as "/v1/invoices/in_123/pay"
    params: dict[str, Any]  # exactly as sent; their order counts too
    key: str  # Stripe's Idempotency-Key
    not_before: int  # Stripe's clock, seconds since 1970: the call was first sent after this moment
    sendings: int = 0  # how often it was sent; a 429 that we waited for, and the sending after it, count as one
    first_sent_at: datetime | None = None  # database's clock; None until it is sent
    sent_at: datetime | None = None  # the last sending
    answered_at: datetime | None = None  # the last answer, or the moment at which waiting for one ended
    status: int | None = None  # HTTP status of that answer; None where there was none
    request_id: str = ""  # Stripe's Request-Id of that answer
    replayed: bool = False  # Stripe repeated the answer that it had given to this key before
    result: CallResult | None = None  # set once the call is known to have taken effect
    found: bool = False  # the result was found by looking for it: the answer itself never came
    error: dict[str, Any] | None = None  # Stripe's error, without objects and secrets
    # Stripe repeated a 5xx under this key. So the request that was sent first has ended, and a read that begins from
    # now on shows whether it took effect. False also where nobody knows. Stored as "ended".
    first_request_ended: bool = False
    evidence: str = ""  # the id of Stripe's event that proves what came of it
    # The charge that it made, where a bank decides on it days later, and the PaymentIntent of it. Later attempts at the
    # same invoice reuse the PaymentIntent; each makes a charge of its own.
    payment_intent: str = ""
    charge: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RecordedCall:
        """As it stands in the database. Members that are absent get their defaults, so that every row can be shown."""
        moments = {name: _moment(stored.get(name)) for name in ("first_sent_at", "sent_at", "answered_at")}
        result = stored.get("result")
        return cls(
            name=stored.get("name") or "",
            path=stored.get("path") or "",
            params=stored.get("params") or {},
            key=stored.get("key") or "",
            not_before=stored.get("not_before") or 0,
            sendings=stored.get("sendings") or 0,
            status=stored.get("status"),
            request_id=stored.get("request_id") or "",
            replayed=bool(stored.get("replayed")),
            result=CallResult.of(result) if result else None,
            found=bool(stored.get("found")),
            error=stored.get("error"),
            first_request_ended=bool(stored.get("ended")),
            evidence=stored.get("evidence") or "",
            payment_intent=stored.get("payment_intent") or "",
            charge=stored.get("charge") or "",
            **moments,
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored: without the members that say nothing yet."""
        stored: dict[str, Any] = {
            "name": self.name,
            "path": self.path,
            "params": self.params,
            "key": self.key,
            "not_before": self.not_before,
            "sendings": self.sendings,
        }
        for name in ("first_sent_at", "sent_at", "answered_at"):
            moment = getattr(self, name)
            if moment is not None:
                stored[name] = moment.isoformat()
        if self.answered_at is not None or self.status is not None:
            stored["status"] = self.status
        if self.answered_at is not None or self.request_id:
            stored["request_id"] = self.request_id
        if self.result is not None:
            stored["result"] = {"id": self.result.id, "object": self.result.object, "status": self.result.status}
        for name in ("replayed", "found", "error"):
            if getattr(self, name):
                stored[name] = getattr(self, name)
        if self.first_request_ended:
            stored["ended"] = True
        for name in ("evidence", "payment_intent", "charge"):
            if getattr(self, name):
                stored[name] = getattr(self, name)
        return stored


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


class CallsField(ObjectField):
    """A list of `RecordedCall`, kept as text.

    Text and not jsonb: jsonb forgets the order of members, and Stripe refuses a repeated idempotency key whose
    parameters are not the same to the byte.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return [RecordedCall.from_json(each) for each in super().from_db_value(value, expression, connection) or []]

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        return [each if isinstance(each, RecordedCall) else RecordedCall.from_json(each) for each in found or []]

    def get_prep_value(self, value: Any) -> str | None:
        return super().get_prep_value([each.to_json() for each in self.to_python(value)])
