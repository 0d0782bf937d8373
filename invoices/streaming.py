"""Sends a long document piece by piece, and writes CSV lines that a spreadsheet can open without harm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse


def streamed(pieces: Iterator[str], content_type: str, name: str) -> StreamingHttpResponse:
    """A download called `name`."""
    return StreamingHttpResponse(
        pieces,
        content_type=f"{content_type}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


class Echo:
    """A file for csv.writer that keeps nothing: `write` returns the line."""

    def write(self, line: str) -> str:
        return line


def cell(value: Any) -> str:
    """The value as text. A spreadsheet would execute a text that begins like a formula, so such a text gets an
    apostrophe."""
    text = str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else text
