"""Train what a recipe says, to the end or until something stops it, in a folder that survives any of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.recipe import Recipe, differences
from trickbag.settings import read
from trickbag.train.device import choose_device
from trickbag.train.folder import RunFolder, fresh_folder
from trickbag.train.job import Job
from trickbag.train.log import RunLog
from trickbag.train.plan import Plan, resolve
from trickbag.train.record import Record
from trickbag.train.result import Result
from trickbag.train.signals import StopSignal
from trickbag.train.trial import trial_of
from trickbag.train.workshop import Workshop

__all__ = ["fit"]


def fit(
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    log: RunLog | None = None,
    dataset: Dataset | None = None,
    workshop: Workshop | None = None,
) -> Result:
    """Train a recipe with a seed in the folder `out` (a fresh one under `runs` where None); return the result.

    `resume` goes on from the folder's last checkpoint, bit for bit as if nothing had stopped the run, or starts where
    there is none yet; a finished run is left as it is. A caller with many runs may hand over what they share:
    `dataset`, which `prepare(recipe.data)` gave, and `workshop`, which keeps what was compiled. Raises UserError for
    what the recipe, the data or the folder do not allow, RunFailed where the run cannot go on, and Stopped after
    SIGTERM or SIGINT, with a checkpoint saved.
    """
    log = log or RunLog()
    new = False
    with StopSignal() as stop:
        try:
            name = f"{recipe.name}-{Path(recipe.data.source).stem or 'data'}".replace(":", "-")
            folder = RunFolder(Path(out) if out is not None else fresh_folder(name))
            new = folder.claim(resume=resume)
            stored = folder.read_json(folder.recipe)

            def checking(done: int, total: int) -> None:
                stop.stop_before_training()
                log.checking(done, total)

            dataset = dataset or prepare(recipe.data, progress=checking)
            trial = trial_of(recipe, seed, dataset.fingerprint)
            if stored is not None:
                _same_trial(stored, trial, folder)
            finished = folder.read_json(folder.result)
            if finished is not None and finished.get("error") is None:
                log.note(f"{folder.path} holds the finished run; left as it is")
                return Result(**finished, folder=str(folder.path))
            if stored is not None and "resolved" in stored:
                plan, notes = read(Plan, stored["resolved"], "resolved"), list(stored.get("notes", []))
                choose_device(plan.device)
            else:
                plan, notes = resolve(recipe, dataset, seed)
            record = Record(folder=folder, recipe=recipe, dataset=dataset, plan=plan, trial=trial, notes=notes)
            job = Job(
                recipe=recipe,
                dataset=dataset,
                plan=plan,
                record=record,
                log=log,
                stop=stop,
                workshop=workshop or Workshop(),
            )
            return job.run()
        except UserError:
            if new:
                folder.drop_if_empty()
            raise
        finally:
            log.stop()


def _same_trial(stored: dict[str, Any], trial: dict[str, Any], folder: RunFolder) -> None:
    if stored.get("trial") is None:
        raise UserError(f"{folder.recipe} is not the recipe of a run; choose another --out")
    changed = differences(trial, stored["trial"])
    if changed:
        raise UserError(f"{folder.path} holds another trial; these differ: {'; '.join(changed)}; choose another --out")
