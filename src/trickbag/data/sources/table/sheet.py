"""The cells of a table: a CSV file in any of the usual dialects, or a Parquet file."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.sources.table.vocabulary import role_of
from trickbag.errors import UserError, first_line
from trickbag.paths import TABLE, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["SUFFIXES", "Sheet", "is_image_name", "read_sheet"]

SUFFIXES = (".csv", ".tsv", ".parquet")
"""The extensions of tables, in lower case."""

_SEPARATORS = (",", "\t", ";", "|")
"""Where two of them divide a file equally well, the first one is taken."""

_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**20
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16, of whose mark this one begins with.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHERS = {
    b"PK\x03\x04": "a spreadsheet or another archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of Excel",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
PARQUET = b"PAR1"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The cells of a table as text, column by column, and the name of each column.

    `cells` are those of the rows, as they stand in the file, C columns of N; an empty text where
    there is none. `lines` are their places in the file: lines, or rows of a Parquet file, counted
    from 1; `header_line` is that of the first row. `long` are the rows with more cells than the
    first row has, by their place in `lines`. `separator` divides the cells of a line; it is empty
    for a Parquet file. Without `has_header` the names are made up, and the first row holds values.
    """

    names: tuple[str, ...]
    cells: tuple[Sequence[str], ...]
    lines: Sequence[int]
    header_line: int = 0
    long: tuple[int, ...] = ()
    separator: str = ","
    has_header: bool = True

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def place(self) -> str:
        """What `lines` counts."""
        return "line" if self.separator else "row"

    def column(self, number: int) -> list[str]:
        """Return the cells of a column, without blanks around them."""
        return [cell.strip() for cell in self.cells[number]]

    def without_header(self) -> Sheet:
        """Return the sheet with the first row among the others."""
        return replace(
            self,
            names=tuple(f"column {number}" for number in range(1, len(self.names) + 1)),
            cells=tuple([name, *cells] for name, cells in zip(self.names, self.cells, strict=True)),
            lines=[self.header_line, *self.lines],
            long=tuple(row + 1 for row in self.long),
            has_header=False,
        )


def is_image_name(text: str) -> bool:
    """Tell whether a text ends like the name of an image file."""
    _, dot, extension = text.rpartition(".")
    return f"{dot}{extension}".lower() in EXTENSIONS


def read_sheet(path: Path, title: str, form: str) -> Sheet:
    """Read a table; its first row becomes the names of the columns.

    The separator is a comma, a semicolon, a tab or `|`: the one that divides the first lines best,
    or the one of Excel's line `sep=;`. The text is UTF-8, or UTF-16 and UTF-32 with their mark.
    Rows without any text are left out. Raises UserError for what is no table; messages begin with
    `title` and end with `form`, what it must have.
    """
    try:
        with open_regular(path, TABLE) as file:
            start = file.read(8)
            file.seek(0)
            if start.startswith(PARQUET) or path.suffix.lower() == ".parquet":
                from trickbag.data.sources.table.parquet import read_parquet

                return read_parquet(file, title, form)
            for mark, kind in _OTHERS.items():
                if start.startswith(mark):
                    raise UserError(f"{title} is {kind}, not text", "save it as CSV UTF-8")
            encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "")
            # With this `newline` the ends of lines stay as they are, also within quotes.
            text = io.TextIOWrapper(file, encoding=encoding or "utf-8", newline="")
            return _read_text(text, title, form)
    except UnicodeError:
        raise UserError(f"{title} is not text in UTF-8", "save it as CSV UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{title} is not a CSV file: {error}") from None
    except OSError as error:
        raise UserError(f"{title} cannot be read: {error.strerror or first_line(error)}") from None


def _read_text(text: io.TextIOWrapper, title: str, form: str) -> Sheet:
    sample = _sample(text)
    if any("\0" in line for line in sample[:20]):
        raise UserError(
            f"{title} is not text in UTF-8: it has zero bytes, as UTF-16 has",
            "save it as CSV UTF-8",
        )
    # Excel's own mark of the separator: a first line `sep=;`.
    mark = (
        re.fullmatch(r'\s*"?sep=(.)"?[;,\t]*', sample[0].rstrip("\r\n"), re.I) if sample else None
    )
    skipped = 1 if mark else 0
    while skipped < len(sample) and _is_remark(sample[skipped]):
        skipped += 1
    separator = mark[1] if mark else separator_of(sample[skipped:])
    text.seek(0)
    lines: Iterator[str] = itertools.islice(text, skipped, None)
    rows, places = _rows(lines, separator)
    if len(places) and places[-1] - (places[-2] if len(places) > 1 else 0) > 1:
        _require_closed(text, places, skipped, separator, title)
    if not rows:
        raise UserError(f"{title} is empty", form)
    return _sheet(rows, [place + skipped for place in places] if skipped else places, separator)


def _is_remark(line: str) -> bool:
    """Tell whether a line at the beginning is a remark, and not names of columns behind a `#`."""
    cells = re.split(r"[,;|\t]", line)
    roles = [role_of(name) for cell in cells if (name := cell.strip(" #\r\n"))]
    return line.startswith("#") and not any(role and doubt < 2 for role, doubt in roles)


def _sample(text: io.TextIOWrapper) -> list[str]:
    sample: list[str] = []
    characters = 0
    # A line of what is no text may have no end.
    while len(sample) < _SAMPLE_LINES and characters < _SAMPLE_CHARACTERS:
        line = text.readline(_SAMPLE_CHARACTERS)
        if not line:
            break
        sample.append(line)
        characters += len(line)
    return sample


def _reader(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    # A blank behind a separator would hide the quote that follows.
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def separator_of(lines: Sequence[str]) -> str:
    """Return the separator of a table whose first lines are given.

    It is the one whose first row has the usual names of columns, or names of image files; then the
    one that divides most lines into as many cells as the first.
    """
    scores = {separator: _score(lines, separator) for separator in _SEPARATORS}
    # Of equal scores `max` takes the first.
    return max(scores, key=scores.__getitem__)


def _score(lines: Sequence[str], separator: str) -> tuple[bool, bool, float, int]:
    try:
        rows = [row for row in _reader(iter(lines), separator) if any(map(str.strip, row))]
    except csv.Error:
        return False, False, 0.0, 0
    if not rows or len(rows[0]) < 2:
        return False, False, 0.0, 0
    cells = [cell.strip() for cell in rows[0]]
    named = sum(bool(cell) and bool(role_of(cell)[0]) for cell in cells)
    images = any(map(is_image_name, cells))
    even = sum(len(row) == len(cells) for row in rows) / len(rows)
    return True, bool(named) or images, even, named


def _rows(lines: Iterator[str], separator: str) -> tuple[list[list[str]], list[int]]:
    """Return the rows that hold a text, and the lines on which they end."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    rows, places = [], []
    for row in reader:
        if row and (row[0].strip() or any(map(str.strip, row))):
            rows.append(row)
            places.append(reader.line_num)
    return rows, places


def _require_closed(
    text: io.TextIOWrapper, places: list[int], skipped: int, separator: str, title: str
) -> None:
    """Raise UserError if the quote of the last row, which has more than one line, is not closed.

    Such a quote has taken in all lines to the end of the file.
    """
    text.seek(0)
    start = (places[-2] if len(places) > 1 else 0) + skipped
    last = itertools.islice(text, start, places[-1] + skipped)
    try:
        for _ in csv.reader(last, delimiter=separator, skipinitialspace=True, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise UserError(
                f"{title} is not a CSV file: a quote that is opened behind line {start} is never "
                "closed"
            ) from None


def _sheet(rows: list[list[str]], places: list[int], separator: str) -> Sheet:
    header = [cell.strip() for cell in rows[0]]
    width = len(header)
    # What a program wrote that ends each line with a separator.
    while (
        width > 1
        and not header[width - 1]
        and not any(cell.strip() for row in rows for cell in row[width - 1 : width])
    ):
        width -= 1
    if all(len(row) == width for row in rows):
        cells: tuple[Sequence[str], ...] = tuple(zip(*rows[1:], strict=True))
        return _named_sheet(header, cells or ((),) * width, places, separator)
    long = [i for i, row in enumerate(rows[1:]) if any(map(str.strip, row[width:]))]
    if len(long) == len(rows) - 1 and _has_row_names(rows, width):
        header, width, long = ["", *header], width + 1, []
    cells = tuple(itertools.zip_longest(*(row[:width] for row in rows[1:]), fillvalue=""))
    cells += ((("",) * (len(rows) - 1)),) * (width - len(cells))
    sheet = _named_sheet(header[:width], cells, places, separator)
    return replace(sheet, long=tuple(long))


def _named_sheet(
    header: list[str], cells: tuple[Sequence[str], ...], places: list[int], separator: str
) -> Sheet:
    return Sheet(
        names=tuple(header),
        cells=cells,
        lines=places[1:],
        header_line=places[0],
        separator=separator,
    )


def _has_row_names(rows: list[list[str]], width: int) -> bool:
    """Tell whether each row begins with its number, which has no name above it, as R writes it."""
    return all(
        len(row) == width + 1 and row[0].strip() == str(number)
        for number, row in enumerate(itertools.islice(rows, 1, 51), 1)
    )
