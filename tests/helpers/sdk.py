"""What Stripe's SDK raises."""

from __future__ import annotations

from typing import Any

import pytest
import stripe


def raised(caught: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error. Typed as Any: the SDK calls optional what an answer of the API always has, such as `error`."""
    return caught.value
