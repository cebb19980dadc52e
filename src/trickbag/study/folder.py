"""A study's folder: its files, who may write them, and results that no crash may lose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.files import read_json, read_json_object, write_json, write_text
from trickbag.paths import exists
from trickbag.study.analysis.table import effects_csv
from trickbag.study.driver_lock import driver_lock
from trickbag.study.records.effect import effect_from_dict, effect_to_dict
from trickbag.study.records.study import StudyRecord
from trickbag.study.result_lines import appending, read_results

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    from trickbag.errors import Note
    from trickbag.study.analysis.effects import Effect
    from trickbag.study.records.result import StoredResult
    from trickbag.study.result_lines import Appender
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
    def decoded_for_tuning(self) -> Path:
        """Decoded images of the tuning trials, whose parts are others."""
        # Not in `decoded`: a process keeps what it has mapped by the folder's name.
        return self.path / "decoded-tuning"

    @property
    def holds_study(self) -> bool:
        """Whether a study was started in the folder."""
        return exists(self.study)

    def locked(self, caller: Caller) -> contextlib.AbstractContextManager[Note | None]:
        """Be the folder's only driver meanwhile, as `driver_lock` does."""
        return driver_lock(self.path, "study", caller, started=self.holds_study)

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
        """Read the results, as `result_lines.read_results` does."""
        return read_results(self.results)

    def appending(
        self, kept: Sequence[StoredResult], torn: bool
    ) -> contextlib.AbstractContextManager[Appender]:
        """Open the results to append to them, as `result_lines.appending` does."""
        return appending(self.results, kept, torn)

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
