"""Checks of ours for schemathesis, which imports this file by `SCHEMATHESIS_HOOKS`. See schemathesis.toml."""

import re
from typing import Any

import schemathesis

# Why a request may be refused that the description allows: a schema of OpenAPI cannot say it.
BEYOND_A_SCHEMA = re.compile(
    r"""
    Invalid\ object                                  # created=… beside created[gte]=…
    | Received\ both\ starting_after\ and\ ending_before
    | (unknown\ parameters?|required\ param):\ parameters\[  # of a batch: each action takes others
    | so\ nothing\ was\ started                       # a batch of what may not start, or of other sums
    | You\ may\ only\ specify\ one\ of\ these\ parameters
    | No\ such\                                      # a cursor, or an object that a parameter names
    | This\ property\ cannot\ be\ expanded
    | Missing\ required\ param:\ payment\[type\]
    | looks\ through\ many\ invoices                 # a filter without an index
    | has\ a\ character\ that\ cannot\ be\ stored    # NUL, half a surrogate pair
    | Idempotency\ keys\ must\ be\ printable
    | printable\ characters                          # of a header
    | Invalid\ Invoice-Desk-Not-Before                # a moment to come
    | We\ were\ unable\ to\ parse\ your\ search         # a language has a grammar, not a schema
    | Invalid\ page
    | search                                         # what a query may ask for: fields, operators, how much is read
    | lies\ (in\ the\ future|too\ far\ in\ the\ past)
    """,
    re.VERBOSE,
)


@schemathesis.check
def valid_data_is_refused_only_for_what_no_schema_says(ctx: Any, response: Any, case: Any) -> None:
    """In a 400 for data that the description allows; an action's own refusal names its operation or a code of ours."""
    if response.status_code != 400 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    error = response.json()["error"]
    if case.method == "POST" and (
        "operation" in error or error.get("code") in ("invoice_not_open", "resource_missing")
    ):
        return
    assert BEYOND_A_SCHEMA.search(error["message"]), f"refused, and the description allows it: {error['message']}"


@schemathesis.check
def a_method_that_is_not_described_is_answered_as_at_stripe(ctx: Any, response: Any, case: Any) -> None:
    described = {method.upper() for method in case.operation.schema[case.operation.path]}
    if response.request.method not in {*described, "HEAD", "OPTIONS"}:
        assert response.status_code in (401, 403, 404), f"{response.request.method} is answered {response.status_code}"
        assert response.json()["error"]["type"] == "invalid_request_error"


@schemathesis.hook
def map_query(ctx: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Waits for nothing: an answer may be held for longer than a request of these tests may take."""
    return {**query, "wait": 0} if query and isinstance(query.get("wait"), int) else query


@schemathesis.hook
def filter_query(ctx: Any, query: dict[str, Any] | None) -> bool:
    """Leaves out addresses that the tests' web server does not take: 64 KB, when each character is percent-encoded."""
    return sum(len(str(value).encode()) * 3 for value in (query or {}).values()) < 50_000
