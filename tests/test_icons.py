"""The icons that are shown are in the font that is served: third_party/icons.txt names them, cut_fonts.py cuts it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import unfold
from fontTools.ttLib import TTFont

from invoices.admin import site

HOUSE = Path(__file__).resolve().parent.parent
THEME = Path(unfold.__file__).parent
FONT = HOUSE / "third_party/fonts/unfold/fonts/material-symbols/Material-Symbols-Outlined.woff2"
NAMED = set((HOUSE / "third_party/icons.txt").read_text().split())
# What stands in an element of the icon font; the text between template tags is one name or several.
SHOWN = re.compile(r"material-symbols-outlined(?:[^>{]|{[%{].*?[%}]})*>(.*?)</", re.DOTALL)
TAGS = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
IN_STYLES = re.compile(r'content:\s*"([a-z_\\]{3,})"')
UNKNOWN_TO_THE_FONT = {"navigate_before", "navigate_next", "file_upload"}  # of parts of the theme that we do not use

ADD = "Name it in third_party/icons.txt, and run `.venv/bin/python third_party/cut_fonts.py`."


def in_templates(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.rglob("*.html"):
        for shown in SHOWN.finditer(path.read_text()):
            for name in TAGS.sub(" ", shown[1]).split():
                if re.fullmatch(r"[a-z][a-z0-9_]+", name):
                    found[name] = str(path)
    return found


@pytest.mark.parametrize("folder", [HOUSE / "templates", THEME / "templates", THEME / "contrib/filters/templates"])
def test_the_icons_of_templates_are_named(folder: Path) -> None:
    missing = {name: path for name, path in in_templates(folder).items() if name not in NAMED | UNKNOWN_TO_THE_FONT}
    assert not missing, ADD


def test_the_icons_of_the_menu_and_of_style_sheets_are_named() -> None:
    shown = {icon for _, entries in site.MENU for _, icon, _ in entries}
    for path in (THEME / "static/unfold/css/styles.css", HOUSE / "invoices/static/invoices/desk.css"):
        shown |= {name.replace("\\", "") for name in IN_STYLES.findall(path.read_text())}
    assert len(shown) > 20 and shown - UNKNOWN_TO_THE_FONT <= NAMED, ADD


def test_the_font_has_them_and_no_others() -> None:
    glyphs = set(TTFont(FONT).getGlyphOrder())
    assert glyphs >= NAMED, ADD
    assert len(glyphs) < len(NAMED) + 60  # letters, and a few more


def test_no_font_is_heavy() -> None:
    for path in (HOUSE / "third_party/fonts").rglob("*.woff2"):
        assert path.stat().st_size < 40_000, path
