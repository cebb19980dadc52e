"""The lines of `results.jsonl`: results of trials, appended so that no crash may lose one."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, BinaryIO

from trickbag.errors import RunFailed, UserError
from trickbag.files import parse_json, write_text
from trickbag.paths import TABLE, read_bytes
from trickbag.study.records.result import StoredResult
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Appender", "appending", "read_results"]


def read_results(file: Path) -> tuple[list[StoredResult], str | None]:
    """Read a file of results; a torn last line is left out, and the second value names it.

    Raises UserError where another line is damaged: that is no trace of a crash.
    """
    data = read_bytes(file, TABLE)
    if data is None:
        return [], None
    # In bytes: a torn line can end within a character. `str.splitlines` splits at others too,
    # such as U+2028, that a text in a line may hold.
    lines = data.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    results: list[StoredResult] = []
    for number, line in enumerate(lines, 1):
        try:
            results.append(_parse(line))
        except UserError as error:
            # A crash can cut the last line; one that lacks its line break alone is whole.
            if number == len(lines):
                return results, (
                    f"line {number} of {file} was torn and is dropped; its trial runs "
                    f"again: {_start(line)}"
                )
            raise UserError(
                f"line {number} of {file} is damaged ({error.reason}): {_start(line)}",
                "take the line out to run its trial again",
            ) from error
    return results, None


@contextlib.contextmanager
def appending(path: Path, kept: Sequence[StoredResult], torn: bool) -> Iterator[Appender]:
    """Open a file of results to append to it.

    Where the last line was torn, the file is first written again with the results that are
    `kept`.
    """
    if torn:
        write_text(path, "".join(_line(result) for result in kept))
    try:
        file = path.open("ab")
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        # A crash may have cut off the line break alone.
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")
        yield Appender(file)


class Appender:
    """Appends results, each on the disk before the call returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self, result: StoredResult) -> None:
        """Append one result; RunFailed where the disk does not take it."""
        try:
            self._file.write(as_utf8(_line(result)))
            self._file.flush()
            # Otherwise a machine that loses its power may lose what the driver counts as done.
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFailed(f"cannot write {self._file.name}: {error.strerror or error}") from error


def _line(result: StoredResult) -> str:
    return json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def _parse(line: bytes) -> StoredResult:
    """Return the result of a line; UserError where it holds none."""
    try:
        data = parse_json(line.decode(), "it")
    except (UnicodeDecodeError, UserError) as error:
        raise UserError("it is not JSON") from error
    if not isinstance(data, dict):
        raise UserError("it is no JSON object")
    return StoredResult.from_dict(data)


def _start(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
