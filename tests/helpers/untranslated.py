"""Texts that are shown in one language only: in templates, and on pages made in a pseudo-language that marks what
went through gettext.

    python -m tests.helpers.untranslated [part of a template's path]

lists the texts of templates that stand outside `{% translate %}` and `{% blocktranslate %}`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

from django.utils import translation

from invoices import recorded

HOUSE = Path(__file__).parents[2]
BEGIN, END = "⟦", "⟧"
SPOKEN = ("title", "aria-label", "placeholder", "alt", "data-confirm", "data-placeholder", "label")
LETTERS = re.compile(r"[^\W\d_]{2,}")

# --- templates --------------------------------------------------------------------------------------------------------

_NOT_TEXT = re.compile(
    r"\{%\s*comment\b.*?endcomment\s*%\}|\{#.*?#\}|\{%\s*block(?:translate|trans)\b.*?endblock(?:translate|trans)\s*%\}"
    r"|<span[^>]*\bmaterial-symbols-outlined\b[^>]*>.*?</span>"  # the names of icons
    r"|\{%\s*block bodyclass\s*%\}.*?\{%\s*endblock\s*%\}"
    r"|<script\b.*?</script>|<style\b.*?</style>|<code>.*?</code>|<!--.*?-->|<!DOCTYPE[^>]*>|\{%.*?%\}|\{\{.*?\}\}",
    re.DOTALL,
)


def bare_texts(template: str) -> Iterator[tuple[int, str]]:
    """Line and text of what a template shows without asking for its translation."""
    blank: Callable[[re.Match[str]], str] = lambda found: re.sub(r"[^\n]", "\x00", found[0])  # noqa: E731
    bare = _NOT_TEXT.sub(blank, template)
    for attribute in re.finditer(rf'\b({"|".join(SPOKEN)})="([^"]*)"', bare):
        if LETTERS.search(unescape(attribute[2].replace("\x00", " "))):
            yield bare.count("\n", 0, attribute.start()) + 1, attribute[2].replace("\x00", "")
    # A `>` may stand in an expression of Alpine's inside an attribute, so attributes with values go first.
    text = re.sub(r'[\w:@.-]+="[^"]*"', blank, bare)
    text = re.sub(r"<[^<>]*>", blank, text)
    for number, line in enumerate(text.split("\n"), 1):
        for part in line.split("\x00"):
            if LETTERS.search(unescape(part)):
                yield number, part.strip()
    # The default of a value is a text too.
    for found in re.finditer(r"\|(?:default|default_if_none|pluralize|add):\"([^\"]*)\"", template):
        if re.search(r"[A-Z][a-z]| ", found[1]):
            yield template.count("\n", 0, found.start()) + 1, found[0]


def templates() -> list[Path]:
    return sorted(path for path in (HOUSE / "templates").rglob("*") if path.is_file())


# --- pages ------------------------------------------------------------------------------------------------------------


@contextmanager
def pseudo_language() -> Iterator[set[tuple[str | None, str]]]:
    """For the time of the block everything that gettext gives stands between two marks. Gives the contexts and texts
    that were asked for."""
    asked: set[tuple[str | None, str]] = set()
    real: Any = translation._trans  # type: ignore[attr-defined]
    names = ("gettext", "ngettext", "pgettext", "npgettext")
    functions = {name: getattr(real, name) for name in names}

    def marked(name: str) -> Callable[..., str]:
        def call(*args: Any) -> str:
            if args[0] == "how Django's date filter writes it":  # what it gives is a format
                return str(functions[name](*args))
            asked.add((args[0], args[1]) if name in {"pgettext", "npgettext"} else (None, args[0]))
            found = str(functions[name](*args))
            return f"{BEGIN}{found}{END}" if found else found

        return call

    with ExitStack() as patches:
        for name in names:
            patches.enter_context(mock.patch.object(real, name, marked(name)))
        # What the journal keeps is shown by its message of the catalog, which in English is not looked for.
        patches.enter_context(mock.patch.object(recorded, "in_english", lambda: translation.override("en")))
        patches.enter_context(mock.patch.object(recorded, "ENGLISH", ""))
        patches.enter_context(mock.patch.object(recorded, "_shown", lambda text, _: text and f"{BEGIN}{text}{END}"))
        yield asked


class _Shown(HTMLParser):
    """The texts of a page that stand outside the marks."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: list[str] = []
        self.depth, self.outside = 0, []  # type: int, list[str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style", "code", "pre", "svg"}:
            self.silent.append(tag)
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        # The names of icons, what people wrote, and the text in the customer's language.
        if {"material-symbols-outlined", "written"} & set(classes) or given.get("id") == "customer-words":
            self.silent.append(tag)
        for name, value in attrs:
            button = tag == "input" and name == "value" and given.get("type") in {"submit", "button"}
            if value and (name in SPOKEN or button):
                self._outside(value, 0)

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.depth = self._outside(data, self.depth)

    def _outside(self, text: str, depth: int) -> int:
        kept = ""
        for letter in text:
            if letter == BEGIN:
                depth += 1
                kept += " "
            elif letter == END:
                depth = max(depth - 1, 0)
            elif depth == 0:
                kept += letter
        kept = " ".join(kept.split())
        if LETTERS.search(kept):
            self.outside.append(kept)
        return depth


def outside(html: str) -> list[str]:
    """The texts that a page of the pseudo-language shows and that did not go through gettext, in their order."""
    parser = _Shown()
    parser.feed(html)
    return parser.outside


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for path in templates():
        if wanted in str(path):
            for line, text in bare_texts(path.read_text()):
                print(f"{path.relative_to(HOUSE)}:{line}: {text}")
