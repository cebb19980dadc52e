"""What an executor runs: one trial, trained and evaluated in a folder of the study."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import DoesNotApply, Note, RunFailed
from trickbag.models.deleted_weights import DELETED_WEIGHTS
from trickbag.study.kept_weights import has_weights
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder

if TYPE_CHECKING:
    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.study.records.result import Evaluations
    from trickbag.study.trial import Trial
    from trickbag.train.compile_cache import CompileCache

__all__ = ["TrainTrial", "warm_up"]

_LOCK_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class TrainTrial:
    """Train a trial in `folder`/ID, going on from its checkpoint where there is an intact one.

    `dataset` is the data of all trials where it can be handed over; else each process prepares it
    for itself. Afterwards the kept weights have the `evaluations`. A trial that has finished is not
    trained again, unless they need weights that are deleted. Raises Stopped after SIGTERM or
    SIGINT with a checkpoint saved, and what `fit` and the evaluations raise where they fail; a
    trick that does not apply is a result.
    """

    folder: Path
    dataset: Dataset | None = None
    evaluations: Evaluations = field(default_factory=dict)

    def __call__(self, trial: Trial) -> Result:
        """Train and evaluate; return the result."""
        if not self.evaluations:
            return self._train(trial)
        from trickbag.study.trial_evaluation import evaluate_trial, is_main_process

        notes = self._restart_without_weights(trial) if is_main_process() else []
        result = self._train(trial)
        if result.status != "finished" or not is_main_process():
            return result
        return evaluate_trial(trial, result, self.folder / trial.id, self.evaluations, notes)

    def _restart_without_weights(self, trial: Trial) -> list[Note]:
        """Let a trial be trained anew that has finished, and whose weights are deleted."""
        run = RunFolder(self.folder / trial.id)
        if not run.result.is_file() or has_weights(run.path):
            return []
        result = Result.read(run.result)
        if result is None or result.status != "finished":
            return []
        # First the record: without it the run starts again, whatever stops this process.
        run.result.unlink()
        (run.path / DELETED_WEIGHTS).unlink(missing_ok=True)
        reason = "trained anew for an outcome that is measured on its weights, which were deleted"
        return [Note("weights", None, reason)]

    def _train(self, trial: Trial) -> Result:
        from trickbag.train.fit import fit
        from trickbag.train.folder.caller import COMMAND_LINE
        from trickbag.train.folder.log import RunLog

        out = self.folder / trial.id
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            result = fit(
                trial.recipe,
                trial.seed,
                out,
                resume=True,
                dataset=self.dataset or _prepared(trial.recipe.data, trial.recipe.task.annotations),
                log=RunLog(),
                caller=COMMAND_LINE,
                compile_cache=_compile_cache(),
                # Refused, it would fail the trial in every call of the study.
                restart_damaged=True,
                # A worker whose driver was killed may need a moment to end.
                lock_timeout_s=_LOCK_TIMEOUT_S,
            )
        except DoesNotApply as error:
            return Result(
                trial=trial.id,
                label=trial.label,
                seed=trial.seed,
                metrics={},
                error=str(error),
                status="does_not_apply",
            )
        # The id hashes the data's fingerprint, which each process without a shared data set takes
        # itself.
        if result.trial != trial.id:
            raise RunFailed(
                f"{out} holds the trial {result.trial}: the data have changed while the study ran"
            )
        return result


def warm_up() -> None:
    """Import what a trial needs, also what torch leaves until the first optimizer."""
    import importlib

    import torch

    importlib.import_module("trickbag.train.fit")
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@functools.cache
def _compile_cache() -> CompileCache:
    """Return what the trials of this process share of compiled steps."""
    from trickbag.train.compile_cache import CompileCache

    return CompileCache()


# One data set alone: a worker that goes through several studies does not keep them all in memory.
@functools.lru_cache(maxsize=1)
def _prepared(data: DataConfig, annotations: AnnotationKind) -> Dataset:
    """Prepare the data once for all trials of a process."""
    from trickbag.data.dataset import prepare

    return prepare(data, annotations=annotations)
