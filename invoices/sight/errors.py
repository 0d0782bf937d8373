"""Reports errors to Sentry where SENTRY_DSN is set. Of an event only what is named here leaves the process."""

from __future__ import annotations

import logging
from typing import Any

from invoices.sight import context, redaction

TIMEOUT_SECONDS = 2  # for which a process that ends waits for its last report
_EVENT_MEMBERS = ("event_id", "timestamp", "platform", "level", "logger", "environment", "release", "sdk")
_FRAME_MEMBERS = ("filename", "module", "function", "lineno", "in_app")
_FIELDS = ("request_id", "user", "task", "operation", "event", "invoice", "run", "stripe_request_id", "trace")


def start(dsn: str, *, environment: str) -> None:
    """Whatever is logged as an error is reported, with its traceback. Without a DSN nothing is imported."""
    if not dsn:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        server_name="",
        auto_session_tracking=False,
        default_integrations=False,
        auto_enabling_integrations=False,
        shutdown_timeout=TIMEOUT_SECONDS,
        # Everything that fails is logged: requests by Django and the API, tasks by Celery, the rest by ourselves.
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        before_send=only_what_may_leave,
        before_breadcrumb=lambda crumb, hint: None,
    )


def only_what_may_leave(event: Any, hint: dict[str, Any]) -> Any:
    """The event, made anew: no request, no person, no variables, and texts as our log writes them."""
    kept = {name: event[name] for name in _EVENT_MEMBERS if name in event}
    error = (hint.get("exc_info") or (None, None, None))[1]
    fields = {**context.current(), **getattr(hint.get("log_record"), "fields", {})}
    kept["tags"] = {name: redaction.scrubbed(str(fields[name])) for name in _FIELDS if fields.get(name)}
    if record := hint.get("log_record"):
        from invoices.sight import logs

        kept["logentry"] = {"formatted": redaction.scrubbed(logs.message(record)), "message": None}
    values = (event.get("exception") or {}).get("values") or []
    chain = _chain(error)
    kept["exception"] = {
        "values": [_exception(value, chain.get(value.get("type", ""))) for value in values],
    }
    if not values:
        del kept["exception"]
    return kept


def _chain(error: BaseException | None) -> dict[str, BaseException]:
    found: dict[str, BaseException] = {}
    while error is not None and type(error).__name__ not in found:
        found[type(error).__name__] = error
        error = error.__cause__ or error.__context__
    return found


def _exception(value: dict[str, Any], error: BaseException | None) -> dict[str, Any]:
    """One error of the chain. Of an error that we do not have in our hands, only the class is told."""
    frames = (value.get("stacktrace") or {}).get("frames") or []
    kept: dict[str, Any] = {
        "type": value.get("type"),
        "module": value.get("module"),
        "value": redaction.message_of(error) if error is not None else "",
    }
    if frames:
        kept["stacktrace"] = {"frames": [{name: each.get(name) for name in _FRAME_MEMBERS} for each in frames]}
    return kept
