"""Log lines as they leave the process: JSON, through the formatter that is used in production."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from invoices.sight.logs import JsonFormatter


class Told:
    """What was logged since it began."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """All lines, or those with this message."""
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if message in ("", line["message"])]

    def one(self, message: str) -> dict[str, Any]:
        (line,) = self.lines(message)
        return line


@contextmanager
def listening(level: int = logging.DEBUG, formatter: logging.Formatter | None = None) -> Iterator[Told]:
    """Everything that is logged during the block, at this level or above."""
    told = Told()
    handler = logging.StreamHandler(told.stream)
    handler.setFormatter(formatter or JsonFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield told
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
