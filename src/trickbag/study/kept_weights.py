"""Which trials of a study keep their weights, and what becomes of those of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trickbag.models.deleted_weights import DELETED_WEIGHTS, DeletedWeights
from trickbag.train.folder.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trickbag.study.records.result import StoredResult
    from trickbag.study.trial_plan import TrialPlan

__all__ = ["KeepWeights", "TrialWeights", "has_weights", "kept_trials"]

KeepWeights = Literal["none", "full", "all"]
"""The trials that keep their weights once they have finished; full: those of the full recipe."""


def kept_trials(keep: KeepWeights, trial_plan: TrialPlan, full: str | None) -> frozenset[str]:
    """Return the ids of the trials that keep their weights.

    `full` is the label of the variant that is the whole recipe. A trial that it shares with another
    variant is one of them.
    """
    cells = trial_plan.ids.items()
    return frozenset(
        trial
        for (_, label), ids in cells
        for trial in ids.values()
        if keep == "all" or (keep == "full" and label == full)
    )


@dataclass(frozen=True, kw_only=True)
class TrialWeights:
    """Frees the disk of what finished trials leave and nobody needs.

    `folder` holds the folders of the trials, of which `trials` keep their weights by the setting
    `keep`. A result with all metrics is there before anything is deleted.
    """

    folder: Path
    keep: KeepWeights
    trials: frozenset[str]

    def mark(self, result: StoredResult) -> None:
        """Note in the folder of a finished trial that its weights are to be deleted.

        Called before its result is stored: whatever stops the driver after that, the next one knows
        which weights were to go, and which were kept.
        """
        run = RunFolder(self.folder / result.trial)
        if result.trial not in self.trials and any(file.exists() for file in run.weights):
            DeletedWeights(keep_weights=self.keep, seed=result.seed).write(run.path)

    def free(self, trial: str) -> None:
        """Delete the checkpoint of a finished trial, and its weights where they are marked."""
        run = RunFolder(self.folder / trial)
        # Half of a trial's bytes, which nothing needs any more.
        run.checkpoint.unlink(missing_ok=True)
        if _marked(run):
            for file in run.weights:
                file.unlink(missing_ok=True)

    def free_finished(self, finished: Iterable[str]) -> list[str]:
        """Free the disk for trials that finished before; return what a person should know.

        Weights that an earlier setting has kept stay: whoever asked for them may need them.
        """
        stay = gone = 0
        for trial in finished:
            self.free(trial)
            run = RunFolder(self.folder / trial)
            stay += trial not in self.trials and any(file.exists() for file in run.weights)
            gone += trial in self.trials and _marked(run)
        notes = []
        if stay:
            notes.append(
                f"the weights of trials that finished before stay ({stay}): --keep-weights "
                f"{self.keep} is for trials that finish from now on"
            )
        if gone:
            notes.append(
                f"the weights of trials that finished before are deleted already ({gone}): "
                f"--keep-weights {self.keep} is for trials that finish from now on"
            )
        return notes


def has_weights(folder: Path) -> bool:
    """Tell whether the folder of a trial holds its kept weights."""
    return RunFolder(folder).best.is_file()


def _marked(run: RunFolder) -> bool:
    return (run.path / DELETED_WEIGHTS).exists()
