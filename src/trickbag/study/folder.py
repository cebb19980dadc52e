"""A study's folder: the names of its files, who may write them, and the results that no crash may
lose."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trickbag.errors import RunFailed, UserError
from trickbag.files import write_json, write_text
from trickbag.train.folder.result import Result
from trickbag.train.folder.upgrade import upgraded_result

__all__ = ["StoredResult", "StudyFolder"]

StoredResult = dict[str, Any]
"""A line of `results.jsonl`: what `result.json` holds, and the name of the network as `model`."""

_KEYS = frozenset({field.name for field in dataclasses.fields(Result)} - {"folder"} | {"warnings"})


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study. The driver that holds the lock is their only writer, but for
    `trials`."""

    path: Path

    @property
    def study(self) -> Path:
        """What is studied: recipe, design, networks, seeds, variants."""
        return self.path / "study.json"

    @property
    def results(self) -> Path:
        """A line for each result of a trial, in the order in which they came in."""
        return self.path / "results.jsonl"

    @property
    def trials(self) -> Path:
        """The trials' own folders, by id."""
        return self.path / "trials"

    @property
    def effects(self) -> Path:
        """The effects, as JSON."""
        return self.path / "effects.json"

    @property
    def table(self) -> Path:
        """The effects, as CSV."""
        return self.path / "effects.csv"

    @property
    def decoded(self) -> Path:
        """Decoded images that the trials share while the study runs."""
        return self.path / "decoded"

    @property
    def holds_study(self) -> bool:
        """Tell whether a study was started here."""
        return self.study.is_file()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and be its only driver meanwhile; the lock ends with the process that holds it.

        Raises UserError where the folder cannot be made, holds something else, or another driver
        works in it.
        """
        from filelock import FileLock, Timeout

        if self.path.is_dir() and not self.holds_study and any(self._foreign()):
            raise UserError(f"{self.path} is not empty and holds no study; choose another --out")
        new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {self.path}: {error.strerror or error}"
            ) from error
        try:
            with FileLock(self.path / ".lock", timeout=0):
                for leftover in self.path.glob(
                    ".*.tmp"
                ):  # of a driver that was killed while it wrote
                    leftover.unlink(missing_ok=True)
                yield
        except Timeout:
            raise UserError(
                f"another `trickbag study` works in {self.path}: wait for it, stop it, or choose "
                f"another --out"
            ) from None
        finally:
            if new and not self.holds_study:
                self._drop_empty()

    def _foreign(self) -> Iterator[Path]:
        return (entry for entry in self.path.iterdir() if not entry.name.startswith("."))

    def _drop_empty(self) -> None:
        with contextlib.suppress(OSError):
            (self.path / ".lock").unlink(missing_ok=True)
            self.path.rmdir()

    def read_study(self) -> dict[str, Any] | None:
        """Read `study.json`; None where there is none, UserError where it is damaged."""
        try:
            data = json.loads(self.study.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"cannot read {self.study}: {error}") from error
        if not isinstance(data, dict) or "layouts" not in data:
            raise UserError(f"cannot read {self.study}: it is not what a study writes")
        return data

    def write_study(self, data: dict[str, Any]) -> None:
        """Write `study.json`."""
        write_json(self.study, data)

    def read_results(self) -> tuple[list[StoredResult], str | None]:
        """Read the results; a torn last line is left out, and the second value names it.

        Raises UserError where another line is damaged: that is no trace of a crash.
        """
        try:
            data = self.results.read_bytes()
        except FileNotFoundError:
            return [], None
        except OSError as error:
            raise UserError(f"cannot read {self.results}: {error.strerror or error}") from error
        *lines, last = data.split(b"\n")
        found: list[StoredResult] = []
        for number, line in enumerate(lines, 1):
            result = _parse(line)
            if result is None:
                if number == len(lines) and not last:
                    return found, self._torn(number, line)
                raise UserError(
                    f"line {number} of {self.results} is damaged: {_start(line)}; "
                    "take the line out to run its trial again"
                )
            found.append(result)
        if not last:
            return found, None
        whole = _parse(last)  # a crash can cut just the end of the line off
        return (
            ([*found, whole], None)
            if whole is not None
            else (found, self._torn(len(lines) + 1, last))
        )

    def _torn(self, number: int, line: bytes) -> str:
        return (
            f"line {number} of {self.results} was torn and is dropped; its trial runs again: "
            f"{_start(line)}"
        )

    @contextlib.contextmanager
    def appending(self, kept: list[StoredResult], torn: bool) -> Iterator[Appender]:
        """Open the results to append to them; where the last line was torn, the file is first
        written whole again."""
        if torn:
            write_text(self.results, "".join(_line(result) for result in kept))
        try:
            file = self.results.open("ab")
        except OSError as error:
            raise RunFailed(f"cannot write {self.results}: {error.strerror or error}") from error
        with file:
            if file.tell() and not self.results.read_bytes().endswith(b"\n"):
                file.write(b"\n")
            yield Appender(file)

    def write_effects(self, effects: list[dict[str, Any]], table: str) -> None:
        """Write `effects.json` and `effects.csv`."""
        write_json(self.effects, effects)
        write_text(self.table, table)


class Appender:
    """Appends results, each on the disk before the call returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self, result: StoredResult) -> None:
        """Append one result; RunFailed where the disk does not take it."""
        try:
            self._file.write(_line(result).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFailed(f"cannot write {self._file.name}: {error.strerror or error}") from error


def _line(result: StoredResult) -> str:
    return json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n"


def _parse(line: bytes) -> StoredResult | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    result = upgraded_result(data)
    return result if result.keys() >= _KEYS else None


def _start(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
