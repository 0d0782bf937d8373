"""What Stripe's SDK raises."""

from __future__ import annotations

from typing import Any

import pytest
import stripe


def raised(caught: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error. Typed as Any: the SDK calls optional what an answer of the API always has, such as `error`."""
    return caught.value


def refusal(client: stripe.StripeClient, path: str, params: dict[str, Any]) -> tuple[Any, ...]:
    """The status, code, parameter and sentence with which this read is refused."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.raw_request("get", path, **params)
    error = raised(caught)
    return error.http_status, error.code, error.param, error.user_message
