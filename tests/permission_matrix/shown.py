"""Where a page leads: its links, its forms and what it asks for by itself."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.method = "GET"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.method = given.get("method", "get").upper()
            self.found.append((self.method, given.get("action", "")))
        if tag == "a" and "href" in given:
            self.found.append(("GET", given["href"]))
        if "formaction" in given:
            self.found.append((given.get("formmethod", self.method).upper(), given["formaction"]))
        self.found += [(name[3:].upper(), given[name]) for name in ("hx-get", "hx-post") if name in given]


def places(html: str, page: str) -> Iterator[tuple[str, str]]:
    """The method and the path of each place of this desk to which the page leads, once."""
    reader = _Reader()
    reader.feed(html)
    for method, address in dict.fromkeys(reader.found):
        to = urlsplit(urljoin(f"http://testserver{page}", address))
        if to.netloc == "testserver":
            yield method, to.path
