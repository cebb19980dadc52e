"""Files: written atomically, read with errors that name the file and the line.

A file is written beside its place, flushed to disk, then renamed, so that a crash cannot tear it.
What is read back is opened by one function, `paths.open_regular`, which takes regular files alone.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trickbag.errors import RunFailed, UserError, shown
from trickbag.paths import RECORD, TABLE, FileKind, open_text, read_bytes
from trickbag.text import as_utf8

__all__ = [
    "json_numbers",
    "named_warnings",
    "parse_json",
    "parse_json_object",
    "read_csv",
    "read_json",
    "read_json_object",
    "read_text",
    "replacing",
    "require_shallow",
    "sync_folder",
    "utf8_path",
    "write_json",
    "write_text",
]


@contextlib.contextmanager
def named_warnings(path: Path) -> Iterator[None]:
    """Put a file's name before the warnings that libraries give while they read it.

    Those of a file that is refused are left out: the error names it. For the main thread alone, as
    Python keeps what to do with warnings for the whole process.
    """
    with warnings.catch_warnings(record=True) as caught:
        yield
    for item in caught:
        warnings.warn(f"{path}: {item.message}", item.category, stacklevel=4)


@contextlib.contextmanager
def replacing(path: Path, keeps: Callable[[], str] = str) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    Raises RunFailed if the disk is full or the folder cannot be written. The file at `path` is then
    intact, and the message ends with the text of `keeps`, which is called only then.
    """
    temporary: Path | None = None
    try:
        # In the same folder: a rename to another file system fails.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # `mkstemp` lets only the owner read; other files get the permissions of the umask.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        # The rename itself reaches the disk only with the folder.
        sync_folder(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise RunFailed(f"cannot write {path}: {reason}{keeps()}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    # There is no other way to read it than to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[str]:
    """Give the path as text in UTF-8, for libraries that take no other; valid within the block.

    It means the same file or folder. Raises OSError if a path in other bytes cannot be opened.
    """
    text = str(path)
    if as_utf8(text) == os.fsencode(text):
        yield text
        return
    # Only Linux has names in other bytes, and there this folder names what is open.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically; what that cannot hold is written as escapes."""
    with replacing(path) as file:
        file.write(as_utf8(text))


def write_json(path: Path, data: Any) -> None:
    """Write plain data as indented JSON, atomically; raises ValueError for NaN and infinity.

    Any text is read back as it was, also the names of files that are not UTF-8.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path, kind: FileKind = RECORD) -> str | None:
    """Read a text file in UTF-8; None if there is none, UserError if it cannot be read."""
    data = read_bytes(path, kind)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is not UTF-8 text: {error.reason}") from error


_DEEPEST = 64
"""Levels of lists and objects in JSON and YAML: the deepest files of the product have ten."""

_MOST_VALUES = 2_000_000
"""Values in a recipe or record: references to itself let a short YAML text stand for more."""


def require_shallow(data: object) -> None:
    """Raise ValueError for plain data that are nested too deep, without end, or too many.

    Whoever goes on with them may then descend into them, and show them.
    """
    level, depth, values = [data], 0, 0
    while level:
        parts = [each for each in level if isinstance(each, dict | list)]
        # Counted before they are listed: references can stand for more than the memory holds.
        depth, values = depth + 1, values + sum(map(len, parts))
        if depth > _DEEPEST:
            raise ValueError(f"nested deeper than {_DEEPEST} levels")
        if values > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values")
        level = [
            item for part in parts for item in (part.values() if isinstance(part, dict) else part)
        ]


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole_number(text: str) -> int | None:
    # JSON has whole numbers beyond the range of floats too.
    number = int(text)
    return number if abs(number) <= sys.float_info.max else None


def parse_json(text: str, place: object, line: int | None = None) -> Any:
    """Parse JSON; numbers that are infinite or none, which some tools write, become None.

    Raises UserError if it is damaged; the message names `place`, such as the file, and the line,
    which is `line` for a text that is one of many.
    """
    try:
        data = json.loads(
            text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole_number
        )
        if text.count("[") + text.count("{") > _DEEPEST:
            require_shallow(data)
        return data
    except json.JSONDecodeError as error:
        where = f"line {line or error.lineno}"
        raise UserError(f"cannot read {place}: {where} is damaged: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or thousands of brackets within each other.
        where = f"line {line or 1}"
        raise UserError(f"cannot read {place}: {where} is damaged: too long or too deep") from error


def parse_json_object(text: str, place: object, line: int | None = None) -> dict[str, Any]:
    """Parse a JSON object, as `parse_json`."""
    data = parse_json(text, place, line)
    if not isinstance(data, dict):
        raise UserError(
            f"cannot read {place}: line {line or 1} is damaged: it must be a JSON object"
        )
    return data


def read_json(path: Path) -> Any:
    """Read a JSON file, as `parse_json`; None if there is none."""
    text = read_text(path)
    return None if text is None else parse_json(text, path)


def read_json_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that holds an object, as `parse_json`; None if there is none."""
    text = read_text(path)
    return None if text is None else parse_json_object(text, path)


def json_numbers(data: Mapping[str, Any], place: object) -> dict[str, float | None]:
    """Return the values of a JSON object, which must be numbers or null; infinite ones become None.

    Raises UserError for another value; the message begins with `place`.
    """
    for key, value in data.items():
        # bool is a subclass of int.
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise UserError(f"{place}: {key} = {shown(value)}: must be a number or null")
    # JSON has whole numbers beyond the range of floats too.
    return {
        key: value if value is None or abs(value) <= sys.float_info.max else None
        for key, value in data.items()
    }


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of the named columns of each row of a CSV file.

    Blank lines are left out. Raises UserError if the file is missing or damaged; the message names
    the line.
    """
    try:
        with open_text(path, TABLE) as file:
            # Otherwise csv reads a torn file, whose last quote is open, without an error.
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if missing := [column for column in columns if column not in header]:
                raise UserError(
                    f"cannot read {path}: line 1 has no column {missing[0]!r}; "
                    f"it must have {','.join(columns)}"
                )
            places = [header.index(column) for column in columns]
            for row in rows:
                if row and len(row) != len(header):
                    raise UserError(
                        f"cannot read {path}: line {rows.line_num} has {len(row)} fields, "
                        f"the header {len(header)}"
                    )
                if row:
                    yield rows.line_num, [row[place] for place in places]
    except csv.Error as error:
        raise UserError(f"cannot read {path}: line {rows.line_num} is damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
