"""The runs of a cross-validation, one for each fold, by its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from trickbag.data.config import MAX_FOLDS
from trickbag.data.cores import MAX_THREADS
from trickbag.errors import UserError, shown
from trickbag.files import read_json_object, write_json
from trickbag.paths import exists
from trickbag.ranges import AtLeast, Between, Seed
from trickbag.settings import Settings, plain, read
from trickbag.train.folder.run_folder import RunFolder

__all__ = ["FOLDS", "FoldsRecord", "fold_runs", "is_cross_validation"]

FOLDS = "cross_validation.json"
"""The file that tells that a folder holds a cross-validation."""


@dataclass(frozen=True, kw_only=True)
class FoldsRecord(Settings):
    """What the folder of a cross-validation says of it.

    - recipe: plain data, with `data.folds`, as it was given. seed: that of every fold.
    - data: the fingerprint. threads, device: those of every run.
    - trials: the ids of the runs, by fold from 0; each lies in `trials/ID`.
    - command: what a person typed to begin it, empty for a call from Python.
    """

    schema: Literal[1] = 1
    version: str
    command: str = ""
    recipe: Any
    seed: Annotated[int, Seed]
    folds: Annotated[int, Between(2, MAX_FOLDS)]
    data: str
    threads: Annotated[int, AtLeast(1, MAX_THREADS)]
    device: str
    trials: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.recipe, dict):
            raise UserError(f"foldsrecord.recipe = {shown(self.recipe)}: must be a JSON object")
        if len(self.trials) != self.folds:
            raise UserError(f"{self.folds} folds, and {len(self.trials)} trials")

    @classmethod
    def read(cls, folder: Path) -> FoldsRecord | None:
        """Read the record of a folder; None where there is none, UserError where it is damaged."""
        data = read_json_object(folder / FOLDS)
        if data is None:
            return None
        try:
            return read(cls, data, "cross-validation")
        except UserError as error:
            raise UserError(f"cannot read {folder / FOLDS}: {error.reason}") from error

    def write(self, folder: Path) -> None:
        """Write the record, as a whole or not at all."""
        write_json(folder / FOLDS, plain(self))

    def run_folders(self, folder: Path) -> list[Path]:
        """Return the folder of each fold's run, which need not be there."""
        return [folder / "trials" / trial for trial in self.trials]


def is_cross_validation(folder: Path) -> bool:
    """Tell whether a folder holds a cross-validation."""
    return exists(folder / FOLDS)


def fold_runs(folder: Path) -> list[Path] | None:
    """Return the runs of all folds; None where the folder is no cross-validation.

    Raises UserError where a fold is not trained, and for a damaged record.
    """
    record = FoldsRecord.read(folder)
    if record is None:
        return None
    runs = record.run_folders(folder)
    # A run has weights before its end, and its result at the end.
    missing = [
        str(fold)
        for fold, run in enumerate(map(RunFolder, runs))
        if not (run.best.is_file() and run.result.is_file())
    ]
    if missing:
        raise UserError(
            f"{folder} is a cross-validation of {record.folds} folds, and these are not trained: "
            f"{', '.join(missing)}",
            f"trickbag train --resume --out {folder} goes on",
        )
    return runs
