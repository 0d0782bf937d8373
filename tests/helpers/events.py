"""Events as Stripe sends them: the JSON of one, and the signature of its bytes."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

from django.conf import settings

from tests.factories import InvoiceObject

WEBHOOK_SECRET = "whsec_sandbox"


def sign(body: bytes, secret: str = WEBHOOK_SECRET, at: int | None = None) -> str:
    """A `Stripe-Signature` header for these bytes; `at` is its moment in Unix seconds, now by default."""
    stamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def stripe_event(found: Any = None, **changes: Any) -> dict[str, Any]:
    """An `invoice.updated` of this object, an open invoice by default, in the API version that we pin."""
    return {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.updated",
        "api_version": settings.STRIPE_API_VERSION,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": InvoiceObject() if found is None else found},
        "request": {"id": "req_1", "idempotency_key": "key_1"},
    } | changes
