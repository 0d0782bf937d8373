"""Sends a long document piece by piece, and writes CSV lines that a spreadsheet can open without harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse

TEXTS = ("text/", "application/json", "application/x-ndjson")


def streamed(pieces: Iterator[str] | Iterator[bytes], content_type: str, name: str) -> StreamingHttpResponse:
    """A download called `name`, of texts or of bytes."""
    return StreamingHttpResponse(
        pieces,
        content_type=f"{content_type}; charset=utf-8" if content_type.startswith(TEXTS) else content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


class Echo:
    """A file for csv.writer that keeps nothing: `write` returns the line."""

    def write(self, line: str) -> str:
        return line


# With these a formula begins: also as Chinese and Japanese keyboards have them, which Excel takes for the same.
FORMULA_MARKS = "=+\\-@＝＋－＠"
# A spreadsheet that expects semicolons or tabs, as in Germany, would begin a cell behind each of them.
INNER_FORMULA = re.compile(f"(?<!^)([;\t\r\n])(?=[{FORMULA_MARKS}])")
FORMULA = re.compile(f"[{FORMULA_MARKS}\t\r\n]")


def cell(value: Any) -> str:
    """The value as text. A spreadsheet would execute a text that begins like a formula, so such a text gets an
    apostrophe."""
    text = INNER_FORMULA.sub(r"\1'", str(value))
    return f"'{text}" if FORMULA.match(text) else text
