"""Train what a recipe says, to the end or until something stops it, in a folder that survives any
of that."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.recipe import Recipe, differences
from trickbag.settings import plain, read
from trickbag.train.compile_cache import CompileCache
from trickbag.train.folder.identity import trial_of
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.record import RunRecord
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder, fresh_folder
from trickbag.train.machine.device import choose_device
from trickbag.train.machine.parallel import World, joined
from trickbag.train.machine.signals import StopSignal
from trickbag.train.plan import Plan, resolve
from trickbag.train.trainer import Trainer

__all__ = ["fit"]


def fit(
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    log: RunLog | None = None,
    dataset: Dataset | None = None,
    compile_cache: CompileCache | None = None,
) -> Result:
    """Train a recipe with a seed in the folder `out` (a fresh one under `runs` where None); return the result.

    `resume` goes on from the folder's last checkpoint, bit for bit as if nothing had stopped the
    run, or starts where there is none yet; a finished run is left as it is. A caller with many runs
    may hand over what they share: `dataset`, which `prepare(recipe.data)` gave, and
    `compile_cache`, which keeps what was compiled. Raises UserError for what the recipe, the data
    or the folder do not allow, RunFailed where the run cannot go on, and Stopped after SIGTERM or
    SIGINT, with a checkpoint saved.

    Where there is a process group of `torch.distributed`, its processes train the run together and
    all call this alike; the first one alone writes and logs. What ends one of them ends them all.
    """
    new = False
    with StopSignal() as stop, joined() as world:
        log = (log if world.is_main else None) or RunLog()
        try:
            path, new, stored, finished = world.broadcast(lambda: _open(recipe, out, resume))
            folder = RunFolder(Path(path))

            def checking(done: int, total: int) -> None:
                stop.stop_before_training()
                log.checking(done, total)

            dataset = dataset or world.rank_zero_first(
                partial(prepare, recipe.data, progress=checking)
            )
            trial = trial_of(recipe, seed, dataset.fingerprint)
            _same_everywhere(world.all_gather(trial))
            if stored is not None:
                _same_trial(stored, trial, folder)
            if finished is not None and finished.get("error") is None:
                log.note(f"{folder.path} holds the finished run; left as it is")
                return Result(**finished, folder=str(folder.path))
            settled = world.broadcast(partial(_settle, stored, recipe, dataset, seed, world))
            plan, notes = read(Plan, settled["resolved"], "resolved"), settled["notes"]
            choose_device(plan.device)
            world.compute_on(plan.device)
            record = RunRecord(
                folder=folder, recipe=recipe, dataset=dataset, plan=plan, trial=trial, notes=notes
            )
            trainer = Trainer(
                recipe=recipe,
                dataset=dataset,
                plan=plan,
                record=record,
                log=log,
                stop=stop,
                compile_cache=compile_cache or CompileCache(),
                world=world,
            )
            return trainer.run()
        except UserError:
            if new and world.is_main:
                folder.drop_if_empty()
            raise
        finally:
            log.stop()


def _open(recipe: Recipe, out: str | Path | None, resume: bool) -> tuple[str, bool, Any, Any]:
    """Claim the folder; return its path, whether it is new, and the recipe and the result that it
    holds."""
    name = f"{recipe.name}-{Path(recipe.data.source).stem or 'data'}".replace(":", "-")
    folder = RunFolder(Path(out) if out is not None else fresh_folder(name))
    new = folder.claim(resume=resume)
    return str(folder.path), new, folder.read_json(folder.recipe), folder.read_json(folder.result)


def _settle(
    stored: dict[str, Any] | None, recipe: Recipe, dataset: Dataset, seed: int, world: World
) -> dict[str, Any]:
    """Return the plan and its notes as plain data: those of the run that is stored, else of the
    recipe."""
    if stored is None or "resolved" not in stored:
        plan, notes = resolve(recipe, dataset, seed, processes=world.size, here=world.local_size)
        return {"resolved": plain(plan), "notes": notes}
    count = stored["resolved"].get("processes", 1)
    if count != world.size:
        raise UserError(
            f"this run is trained by {count} processes, not {world.size}: start {count} (torchrun "
            f"--nproc-per-node), "
            "or choose another --out"
        )
    return {"resolved": stored["resolved"], "notes": list(stored.get("notes", []))}


def _same_everywhere(trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        changed = differences(trial, trials[0])
        if changed:
            raise UserError(
                "the processes of a run must train the same recipe on the same data; these differ: "
                + "; ".join(changed)
            )


def _same_trial(stored: dict[str, Any], trial: dict[str, Any], folder: RunFolder) -> None:
    if stored.get("trial") is None:
        raise UserError(f"{folder.recipe} is not the recipe of a run; choose another --out")
    changed = differences(trial, stored["trial"])
    if changed:
        raise UserError(
            f"{folder.path} holds another trial; these differ: {'; '.join(changed)}; choose "
            f"another --out"
        )
