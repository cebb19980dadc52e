"""What an executor runs: one trial, trained in a folder of the study."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import DoesNotApply, RunFailed
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.study.trial import Trial
    from trickbag.train.compile_cache import CompileCache

__all__ = ["TrainTrial", "warm_up"]

_LOCK_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class TrainTrial:
    """Train a trial in `folder`/ID, going on from its checkpoint where there is an intact one.

    `dataset` is the data of all trials where it can be handed over; else each process prepares it
    for itself. Raises Stopped after SIGTERM or SIGINT with a checkpoint saved, and what `fit`
    raises where the run fails; a trick that does not apply is a result.
    """

    folder: Path
    dataset: Dataset | None = None

    def __call__(self, trial: Trial) -> Result:
        """Train; return the result."""
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
                dataset=self.dataset or _prepared(trial.recipe.data),
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
def _prepared(data: DataConfig) -> Dataset:
    """Prepare the data once for all trials of a process."""
    from trickbag.data.dataset import prepare

    return prepare(data)
