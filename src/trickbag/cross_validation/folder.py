"""The folder of a cross-validation: its files, and who may write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.study.driver_lock import driver_lock
from trickbag.train.folder.fold_runs import is_cross_validation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trickbag.errors import Note
    from trickbag.train.folder.caller import Caller

__all__ = ["CrossValidationFolder"]


@dataclass(frozen=True)
class CrossValidationFolder:
    """The files of one cross-validation. The driver that holds the lock is their only writer."""

    path: Path

    @property
    def results(self) -> Path:
        """A line for each result of a run, in the order in which they came in."""
        return self.path / "results.jsonl"

    @property
    def trials(self) -> Path:
        """The runs' own folders, by id."""
        return self.path / "trials"

    @property
    def out_of_fold(self) -> Path:
        """The out-of-fold predictions."""
        return self.path / "oof.csv"

    @property
    def result(self) -> Path:
        """The metrics of all images, and those of each fold."""
        return self.path / "result.json"

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def locked(self, caller: Caller) -> AbstractContextManager[Note | None]:
        """Be the folder's only driver meanwhile, as `driver_lock` does."""
        started = is_cross_validation(self.path)
        return driver_lock(self.path, "cross-validation", caller, started=started)
