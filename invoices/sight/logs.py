"""Log lines: one JSON object a line, or text for people, each with its context and nothing that must not be told."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from invoices.sight import context, redaction, tracing

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# ASCII alone: no line break of any kind. One for all, because `json.dumps` would make a new one for every line.
_ENCODER = json.JSONEncoder(default=str)


def tell(log: logging.Logger, message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Writes one line: what happened, always in the same words, and the fields that say with what. Empty fields are
    left out. No field is ever a text that a person or Stripe wrote."""
    if not log.isEnabledFor(level):
        return
    log.log(
        level, message, extra={"fields": {name: value for name, value in fields.items() if value not in ("", None)}}
    )


class Formatter(logging.Formatter):
    """What both formats have in common: the members of a line."""

    def members(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redaction.scrubbed(message(record)),
        }
        fields = {**context.current(), **getattr(record, "fields", {})}
        if trace := tracing.current_trace():
            fields["trace"] = trace
        found |= {name: redaction.scrubbed_value(value) for name, value in fields.items() if name not in found}
        if record.exc_info and record.exc_info[1] is not None:
            found["exception"] = redaction.traceback_of(record.exc_info[1])
        return found


class JsonFormatter(Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _ENCODER.encode(self.members(record))


class TextFormatter(Formatter):
    """`time LEVEL logger message name=value …`; the lines of a traceback are indented."""

    def format(self, record: logging.LogRecord) -> str:
        found = self.members(record)
        head = f"{found.pop('time')} {found.pop('level')} {found.pop('logger')} {found.pop('message')}"
        trace = found.pop("exception", [])
        fields = "".join(f" {name}={value}" for name, value in found.items())
        return "\n    ".join(_printable(line) for line in [head + fields, *trace])


def _printable(text: str) -> str:
    """In one line, and without what steers a terminal."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)


def message(record: logging.LogRecord) -> str:
    """Errors among the arguments say one line. Never raises: Python would print the arguments as they are."""
    args = record.args
    if record.name == "celery.app.trace" and isinstance(args, dict):  # its text repeats the error, with its traceback
        return f"Task {args.get('name')} {args.get('description', 'ended')}"
    if isinstance(args, tuple):
        args = tuple(redaction.message_of(arg) if isinstance(arg, BaseException) else arg for arg in args)
    message = redaction.message_of(record.msg) if isinstance(record.msg, BaseException) else str(record.msg)
    try:
        return message % args if args else message
    except (TypeError, ValueError, KeyError):
        return message
