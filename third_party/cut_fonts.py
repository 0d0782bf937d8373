"""Cuts the theme's fonts to what the desk shows: the icons of icons.txt, and the letters of European languages.

    .venv/bin/python third_party/cut_fonts.py      # writes third_party/fonts; after a change of icons.txt or the theme

Text in other scripts is shown in a font of the reader's own machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import unfold
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

HERE = Path(__file__).resolve().parent
THEME = Path(unfold.__file__).parent / "static/unfold/fonts"
CUT = HERE / "fonts/unfold/fonts"  # the theme's own paths: STATICFILES_DIRS has it served in their place
ICON_FONT = "material-symbols/Material-Symbols-Outlined.woff2"
TEXT_FONTS = ("Regular", "Medium", "SemiBold", "Bold")
# Latin with what European languages add, then what our texts and amounts have: dashes, quotes, arrows, currencies.
LETTERS = [
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    *range(0x218, 0x21C),
    *range(0x2010, 0x2027),
    *(0x202F, 0x2030, 0x2032, 0x2033, 0x2039, 0x203A, 0x2044, 0x2122, 0x2190, 0x2191, 0x2192, 0x2193, 0x2212, 0x2248),
    *(0x2260, 0x2264, 0x2265, 0x00D7),
    *range(0x20A0, 0x20C1),
]


def icons() -> list[str]:
    """The icons that the desk shows, by name."""
    return (HERE / "icons.txt").read_text().split()


def main() -> None:
    cut_icons()
    for weight in TEXT_FONTS:
        options = _options(["kern", "mark", "mkmk", "ccmp", "locl", "calt", "tnum", "case"])
        _cut(f"inter/Inter-{weight}.woff2", Subsetter(options), unicodes=LETTERS)
    for folder in ("inter", "material-symbols"):
        shutil.copy(THEME / folder / "LICENSE", CUT / folder / "LICENSE")


def cut_icons() -> None:
    options = _options(["rlig", "liga"])
    options.layout_closure = False  # the letters that spell the names would bring every other icon with them
    letters = [ord(letter) for letter in "abcdefghijklmnopqrstuvwxyz0123456789_ "]
    known = set(TTFont(THEME / ICON_FONT).getGlyphOrder())
    if unknown := [icon for icon in icons() if icon not in known]:
        raise SystemExit(f"The theme's font has no such icon: {', '.join(unknown)}")
    _cut(ICON_FONT, Subsetter(options), unicodes=letters, glyphs=icons())


def _options(features: list[str]) -> Options:
    options = Options()
    options.flavor = "woff2"
    options.layout_features = features
    options.glyph_names = True  # by which a test finds them
    options.hinting = False
    options.desubroutinize = True
    return options


def _cut(name: str, subsetter: Subsetter, **what: list[int] | list[str]) -> None:
    font = TTFont(THEME / name, recalcTimestamp=False)
    subsetter.populate(**what)
    subsetter.subset(font)
    font.flavor = "woff2"
    (CUT / name).parent.mkdir(parents=True, exist_ok=True)
    font.save(CUT / name)


if __name__ == "__main__":
    main()
