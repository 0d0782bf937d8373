"""Writes a table as XLSX, piece by piece, in memory that does not grow with the rows.

The libraries that write XLSX keep all rows in memory (PyExcelerate), or in temporary files until the last one is known
(openpyxl, XlsxWriter). What a list needs of the format is little: inline texts, numbers, moments, one bold line. A file
that breaks off has no directory of its parts, which ZIP keeps at the end, so no program opens it as if it were whole.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from invoices.tables import Column, Kind, Table

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ROWS_PER_SHEET = 1_048_575  # Excel's limit, less the line of labels
BYTES_PER_SHEET = 1_500_000_000  # beyond 2 GiB a part needs ZIP64, which Excel opens with a warning only
CELL_LENGTH = 32_767  # UTF-16 units that Excel takes in one cell
EXACT_DIGITS = 15  # that a number has in Excel; a longer one is written as text, so that none of them is lost
ROWS_PER_PIECE = 200
COMPRESSION = 1  # a third larger than at the usual level, and three times as fast
EPOCH = datetime(1899, 12, 30, tzinfo=UTC)  # Excel's day 0, for moments after February 1900
FIRST_MOMENT = datetime(1900, 3, 1, tzinfo=UTC)

# What XML 1.0 cannot hold; and what Excel would take for its own way to write such a character.
ILLEGAL = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ESCAPED_BY_EXCEL = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

# Numbers of styles, in the order of `cellXfs` below.
LABEL, MOMENT, DAY, WHOLE = 1, 2, 3, 4
BY_DECIMALS = {0: 5, 2: 6, 3: 7}

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_FORMATS = (0, 0, 164, 165, 1, 3, 4, 166)  # of the styles: Excel's own numbers, and ours from 164 on
_STYLES = (
    f'{_HEAD}<styleSheet xmlns="{_MAIN}"><numFmts count="3">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm:ss"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd"/><numFmt numFmtId="166" formatCode="#,##0.000"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/>'
    '</fill></fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    f'<cellXfs count="{len(_FORMATS)}">'
    + "".join(
        f'<xf numFmtId="{number}" fontId="{int(style == LABEL)}" fillId="0" borderId="0" xfId="0" '
        'applyNumberFormat="1" applyFont="1"/>'
        for style, number in enumerate(_FORMATS)
    )
    + '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
_WIDTHS = {Kind.TEXT: 24, Kind.CURRENCY: 10, Kind.MOMENT: 20, Kind.DAY: 12}


class _Sink:
    """A file that hands on what is written to it. It has no `seek`, so the ZIP is written from the beginning to the
    end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def xlsx_pieces(table: Table) -> Iterator[bytes]:
    """The table as XLSX. A table longer than a sheet goes on in the next one, under the labels again."""
    sink = _Sink()
    # Not closed where the rows break off: closing writes the directory, which makes the file look whole.
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)
    rows, sheets = iter(table.rows), 0
    following: Sequence[Any] | None = None
    while not sheets or following is not None:
        sheets += 1
        first = [] if following is None else [following]
        with archive.open(f"xl/worksheets/sheet{sheets}.xml", "w") as part:
            part.write(_opening(table.columns).encode())
            size, following = 0, None
            lines: list[str] = []
            for number, row in enumerate(chain(first, rows)):
                if number >= ROWS_PER_SHEET or size >= BYTES_PER_SHEET:
                    following = row
                    break
                lines.append(_row(number + 2, table.columns, row))  # below the labels
                if len(lines) >= ROWS_PER_PIECE:
                    written = "".join(lines).encode()
                    size += len(written)
                    part.write(written)
                    lines = []
                    yield sink.taken()
            part.write("".join([*lines, "</sheetData></worksheet>"]).encode())
        yield sink.taken()
    for name, content in _around(_sheet_name(table.name), sheets):
        archive.writestr(name, content)
    archive.close()
    yield sink.taken()


def _opening(columns: Sequence[Column]) -> str:
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{_WIDTHS.get(column.kind, 16)}" customWidth="1"/>'
        for number, column in enumerate(columns, 1)
    )
    labels = "".join(
        _text(f"{_letters(number)}1", column.label, f' s="{LABEL}"') for number, column in enumerate(columns)
    )
    return (
        f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
        f'<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f'<cols>{widths}</cols><sheetData><row r="1">{labels}</row>'
    )


def _row(number: int, columns: Sequence[Column], values: Iterable[Any]) -> str:
    cells = [
        _cell(f"{_letters(index)}{number}", column.kind, value)
        for index, (column, value) in enumerate(zip(columns, values, strict=True))
        if value is not None and value != ""
    ]
    return f'<row r="{number}">{"".join(cells)}</row>'


def _cell(place: str, kind: Kind, value: Any) -> str:
    if kind is Kind.AMOUNT and isinstance(value, Decimal) and len(value.as_tuple().digits) <= EXACT_DIGITS:
        decimals = -int(value.as_tuple().exponent)
        return f'<c r="{place}" s="{BY_DECIMALS.get(decimals, 6)}"><v>{value:f}</v></c>'
    if kind in (Kind.MINOR, Kind.NUMBER) and isinstance(value, int) and len(str(abs(value))) <= EXACT_DIGITS:
        return f'<c r="{place}" s="{WHOLE}"><v>{value}</v></c>'
    if kind is Kind.MOMENT and isinstance(value, datetime):
        if value >= FIRST_MOMENT:
            since = value - EPOCH
            return f'<c r="{place}" s="{MOMENT}"><v>{since.days + since.seconds / 86400!r}</v></c>'
        return _text(place, value.astimezone(UTC).isoformat(timespec="seconds"))
    if kind is Kind.DAY and isinstance(value, date):
        days = (value - EPOCH.date()).days
        return f'<c r="{place}" s="{DAY}"><v>{days}</v></c>' if days > 60 else _text(place, value.isoformat())
    return _text(place, format(value, "f") if isinstance(value, Decimal) else str(value))


def _text(place: str, value: str, style: str = "") -> str:
    """An inline text. It is never a formula, whatever it begins with."""
    if not (len(value) <= CELL_LENGTH and value.isascii() and value.isprintable()):
        value = ILLEGAL.sub("\ufffd", value.replace("\r\n", "\n").replace("\r", "\n"))
        if len(value) * 2 > CELL_LENGTH and len(value.encode("utf-16-le")) // 2 > CELL_LENGTH:
            value = value.encode("utf-16-le")[: 2 * (CELL_LENGTH - 1)].decode("utf-16-le", "ignore") + "…"
    if "_x" in value:
        value = ESCAPED_BY_EXCEL.sub("_x005F_", value)
    return f'<c r="{place}" t="inlineStr"{style}><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def _letters(index: int) -> str:
    """0 → A, 25 → Z, 26 → AA."""
    return _LETTERS[index]


def _spelled(index: int) -> str:
    before, last = divmod(index, 26)
    return (_spelled(before - 1) if before else "") + chr(ord("A") + last)


_LETTERS = [_spelled(index) for index in range(26 * 27)]


def _sheet_name(name: str) -> str:
    """At most 25 characters, so that a number fits behind them, and none that Excel refuses."""
    return re.sub(r"[\[\]:*?/\\']", " ", ILLEGAL.sub("", name)).strip()[:25] or "Table"


def _around(name: str, sheets: int) -> Iterator[tuple[str, str]]:
    """The parts beside the sheets. They come last, because then the number of sheets is known."""
    numbers = range(1, sheets + 1)
    listed = "".join(
        f'<sheet name={quoteattr(name if number == 1 else f"{name} {number}")} sheetId="{number}" r:id="rId{number}"/>'
        for number in numbers
    )
    yield (
        "xl/workbook.xml",
        f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
    )
    yield "xl/styles.xml", _STYLES
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    yield (
        "xl/_rels/workbook.xml.rels",
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{links}<Relationship Id="rId{sheets + 1}" '
        f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    )
    yield (
        "_rels/.rels",
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    )
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_TYPES}.worksheet+xml"/>'
        for number in numbers
    )
    yield (
        "[Content_Types].xml",
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>{overrides}</Types>',
    )
