"""A study's folder: its files, who may write them, and results that no crash may lose."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from trickbag.errors import RunFailed, UserError
from trickbag.files import parse_json, read_json, read_json_object, write_json, write_text
from trickbag.locks import locked_folder, refusal
from trickbag.paths import TABLE, exists, is_folder, read_bytes
from trickbag.study.analysis.table import effects_csv
from trickbag.study.records.effect import effect_from_dict, effect_to_dict
from trickbag.study.records.result import StoredResult
from trickbag.study.records.study import StudyRecord
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from trickbag.errors import Note
    from trickbag.study.analysis.effects import Effect
    from trickbag.train.folder.caller import Caller

__all__ = ["StudyFolder"]


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study.

    The driver that holds the lock is their only writer, but for `trials`.
    """

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
        """Whether a study was started in the folder."""
        return exists(self.study)

    @contextlib.contextmanager
    def locked(self, caller: Caller) -> Iterator[Note | None]:
        """Create the folder and be its only driver meanwhile; the lock ends with its process.

        Gives a note where the disk has no locks. Raises UserError where the folder cannot be
        created or locked, holds something else, or another driver works in it.
        """
        # Hidden files may be there: a file manager's, or the lock of a study that never began.
        if is_folder(self.path) and not self.holds_study and any(self._foreign()):
            raise UserError(
                f"{self.path} is not empty and holds no study", f"choose another {caller.out}"
            )

        def refuse(holder: str) -> NoReturn:
            raise refusal(holder, self.path, caller.out)

        with locked_folder(self.path, refuse) as note:
            # Of a driver that was killed while it wrote.
            for leftover in self.path.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    leftover.unlink()
            yield note

    def _foreign(self) -> Iterator[Path]:
        return (entry for entry in self.path.iterdir() if not entry.name.startswith("."))

    def read_study(self) -> StudyRecord | None:
        """Read `study.json`; None where there is none, UserError where it is damaged."""
        data = read_json_object(self.study)
        if data is None:
            return None
        try:
            return StudyRecord.from_dict(data, str(self.study))
        except UserError as error:
            raise UserError(f"cannot read {error.reason}") from error

    def write_study(self, record: StudyRecord) -> None:
        """Write `study.json`."""
        write_json(self.study, record.to_dict())

    def read_results(self) -> tuple[list[StoredResult], str | None]:
        """Read the results; a torn last line is left out, and the second value names it.

        Raises UserError where another line is damaged: that is no trace of a crash.
        """
        data = read_bytes(self.results, TABLE)
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
                        f"line {number} of {self.results} was torn and is dropped; its trial runs "
                        f"again: {_start(line)}"
                    )
                raise UserError(
                    f"line {number} of {self.results} is damaged ({error.reason}): {_start(line)}",
                    "take the line out to run its trial again",
                ) from error
        return results, None

    @contextlib.contextmanager
    def appending(self, kept: Sequence[StoredResult], torn: bool) -> Iterator[Appender]:
        """Open the results to append to them.

        Where the last line was torn, the file is first written again with the results that are
        `kept`.
        """
        if torn:
            write_text(self.results, "".join(_line(result) for result in kept))
        try:
            file = self.results.open("ab")
        except OSError as error:
            raise RunFailed(f"cannot write {self.results}: {error.strerror or error}") from error
        with file:
            # A crash may have cut off the line break alone.
            if file.tell() and not self.results.read_bytes().endswith(b"\n"):
                file.write(b"\n")
            yield Appender(file)

    def read_effects(self) -> tuple[Effect, ...] | None:
        """Read `effects.json`; None where there is none, UserError where it is damaged."""
        data = read_json(self.effects)
        if data is None:
            return None
        if not isinstance(data, list):
            raise UserError(f"cannot read {self.effects}: must be a list of effects")
        try:
            return tuple(
                effect_from_dict(entry, f"{self.effects}: effect {i}")
                for i, entry in enumerate(data, 1)
            )
        except UserError as error:
            raise UserError(f"cannot read {error.reason}") from error

    def write_effects(self, effects: Sequence[Effect]) -> None:
        """Write `effects.json` and `effects.csv`."""
        entries = [effect_to_dict(effect) for effect in effects]
        write_json(self.effects, entries)
        write_text(self.table, effects_csv(entries))


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
