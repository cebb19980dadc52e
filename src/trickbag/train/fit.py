"""Train a recipe in a folder: start, resume, and end in order whatever stops the run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.dataset import prepare
from trickbag.errors import Note, RunFailed, Stopped, UserError, memory_failure
from trickbag.paths import exists, given_path
from trickbag.recipe import differences
from trickbag.train import checkpoint
from trickbag.train.checkpoint import Progress
from trickbag.train.claim import Claim, OpenedRun
from trickbag.train.compile_cache import CompileCache
from trickbag.train.folder.caller import PYTHON, Caller
from trickbag.train.folder.identity import trial_of
from trickbag.train.folder.log import RunLog, choose_log
from trickbag.train.folder.record import RunRecord, begin
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe
from trickbag.train.loaders import run_loaders
from trickbag.train.machine.determinism import determinism_failure
from trickbag.train.machine.device import choose_device
from trickbag.train.machine.isolation import isolated
from trickbag.train.machine.memory import PeakMemory
from trickbag.train.machine.parallel import World, process_world
from trickbag.train.machine.presence import Presence, present
from trickbag.train.machine.signals import StopSignal
from trickbag.train.plan.processes import divided_anew, division_note
from trickbag.train.plan.resolve import resolve
from trickbag.train.probe.prober import Prober
from trickbag.train.trainer import Trainer

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.train.plan.plan import Plan
    from trickbag.train.run import Run

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
    caller: Caller = PYTHON,
    restart_damaged: bool = False,
    lock_timeout_s: float = 0.0,
) -> Result:
    """Train a recipe with a seed, and return the result.

    `out` is the run's folder, by default a new one under `runs`. With `resume` the run goes on from
    the folder's last checkpoint, bit for bit as if it had never stopped; it starts if there is no
    checkpoint yet, and a finished run is left as it is. `log` shows the progress: by default on
    stderr, as a bar in a terminal or a notebook, else as lines; `RunLog()` shows nothing. A program
    with many runs can share between them `dataset`, the value of `prepare(recipe.data)`, and
    `compile_cache`. `caller` is named by messages that say how to go on. A damaged checkpoint,
    or damaged weights beside it, are refused; with `restart_damaged` it is removed, and the run
    starts anew, which a note says. While the run goes on no other process can train in the folder;
    `lock_timeout_s` is how long to wait for one that does.

    If a process group of `torch.distributed` exists, its processes train the run together: all of
    them call this alike, and the first one alone writes and logs. What ends one of them ends all.

    Raises UserError for a recipe, data or a folder that cannot be used or in which another process
    trains, RunFailed if the run cannot go on, and Stopped after SIGTERM or SIGINT, with a
    checkpoint saved.
    """
    with StopSignal() as stop, process_world() as world, contextlib.ExitStack() as held:
        log = (log or choose_log()) if world.is_main else RunLog()
        presence = held.enter_context(present()) if world.size == 1 else None
        try:
            claim = Claim(
                recipe=recipe,
                seed=seed,
                out=None if out is None else given_path(out, caller.out),
                resume=resume,
                caller=caller,
                stop=stop,
                lock_timeout_s=lock_timeout_s,
            )
            opened = claim.open(world, held)
            if opened.note is not None:
                log.note(f"note: {opened.note.text}")
            if resume and opened.recipe is None:
                log.note(
                    f"{opened.folder.path} holds no run yet: this {caller.call} starts one (recipe "
                    f"{recipe.name}, data {recipe.data.source}, seed {seed})"
                )
            call = _Call(
                recipe=_in_stored_order(recipe, opened.recipe),
                seed=seed,
                opened=opened,
                log=log,
                stop=stop,
                world=world,
                presence=presence,
                caller=caller,
                restart_damaged=restart_damaged,
            )
            try:
                return call.fit(dataset, compile_cache or CompileCache())
            except Stopped:
                raise
            except Exception as error:
                if world.is_main:
                    opened.release()
                if failure := memory_failure(error) or determinism_failure(error):
                    raise failure from error
                raise
        finally:
            log.stop()


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call of `fit` in a folder that has been opened."""

    recipe: Recipe
    seed: int
    opened: OpenedRun
    log: RunLog
    stop: StopSignal
    world: World
    presence: Presence | None
    caller: Caller
    restart_damaged: bool = False

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.opened.folder

    def fit(self, dataset: Dataset | None, compile_cache: CompileCache) -> Result:
        """Train, unless the folder holds the finished run."""
        world = self.world
        dataset = dataset or self._prepare()
        trial = trial_of(self.recipe, self.seed, dataset.fingerprint)
        _require_same_everywhere(world.all_gather(trial))
        if self.opened.recipe is not None:
            trial = _as_before(self.opened.recipe, trial)
            _require_same_trial(self.opened.recipe, trial, self.folder, self.caller)
        result = self.opened.result
        if result is not None and result.error is None:
            self.log.note(f"{self.folder.path} holds the finished run; left as it is")
            kept_last = self.recipe.training.keep == "last"
            return result.of_last_epoch() if result.is_of_version_1 and kept_last else result
        run_recipe = self._resolve(dataset, trial)
        try:
            plan = run_recipe.plan
            if plan.seed != self.seed:
                raise UserError(f"resolved.seed = {plan.seed}: must be {self.seed}")
        except UserError as error:
            raise UserError(
                f"cannot read {self.folder.recipe}: {error.reason}",
                f"start again in another {self.caller.out}",
            ) from error
        # A stored plan names the device that the run started on, which this machine may lack.
        choose_device(plan.device)
        world.compute_on(plan.device)
        if self.presence is not None:
            self.presence.settle(plan.threads if plan.device == "cpu" else 1)
        with isolated(plan.threads, plan.device, deterministic=plan.training.deterministic):
            return self._train(run_recipe, dataset, compile_cache)

    def _stop_before_training(self) -> None:
        caller = self.caller
        self.stop.stop_before_training(
            f"the same {caller.call} with {caller.resume} starts the run"
        )

    def _prepare(self) -> Dataset:
        def checking(done: int, total: int) -> None:
            self._stop_before_training()
            self.log.checking(done, total)

        try:
            # A source may have to be downloaded, or lie on a disk that is gone.
            with self.stop.interrupting():
                return self.world.rank_zero_first(
                    partial(
                        prepare,
                        self.recipe.data,
                        progress=checking,
                        annotations=self.recipe.task.annotations,
                    )
                )
        except KeyboardInterrupt:
            self._stop_before_training()
            raise

    def _resolve(self, dataset: Dataset, trial: dict[str, Any]) -> RunRecipe:
        """Return the recipe with its plan: that of the stored run, else a new one.

        The plan of a run that goes on with another number of processes is divided anew. Raises
        UserError if these cannot share a batch.
        """
        stored, world = self.opened.recipe, self.world

        def settled() -> tuple[Plan, list[Note]]:
            return resolve(
                self.recipe,
                dataset,
                self.seed,
                processes=world.size,
                local_processes=world.local_size,
                share=None if self.presence is None else self.presence.share,
            )

        def resolved() -> dict[str, Any]:
            plan, notes = settled()
            return RunRecipe(
                recipe=self.recipe.to_dict(),
                resolved=plan.to_stored(),
                notes=tuple(notes),
                trial=trial,
            ).to_dict()

        # A stored plan stays: settled anew, it could have other threads or another precision, and
        # the resumed run other bits.
        if stored is None or stored.resolved is None:
            return RunRecipe.from_dict(world.broadcast(resolved))
        plan, notes, processes = stored.resolved, stored.notes, stored.resolved.get("processes", 1)
        if processes != world.size:
            plan = world.broadcast(lambda: divided_anew(stored.resolved or {}, settled()[0]))
            notes = (*notes, division_note(processes, world.size))
        # The recipe as it is given now: paths are no part of the trial, and may have changed.
        return RunRecipe(
            recipe=self.recipe.to_dict(),
            resolved=_with_keep(plan, self.recipe.training.keep),
            notes=notes,
            trial=trial,
        )

    def _train(
        self, run_recipe: RunRecipe, dataset: Dataset, compile_cache: CompileCache
    ) -> Result:
        """Build the run, load its checkpoint, and train."""
        started = time.perf_counter()
        run, notes = self._build(run_recipe, dataset, compile_cache)
        if self.restart_damaged:
            notes += self._remove_damaged_checkpoint()
        self._stop_before_training()
        memory = PeakMemory(run.plan.device)
        record = RunRecord(
            folder=self.folder,
            run_recipe=run_recipe,
            dataset=dataset,
            plan=run.plan,
            notes=notes,
            started=started,
        )
        progress = _load_progress(run, record, self.caller)
        with run_loaders(run, dataset) as loaders:
            kind = Trainer if run.plan.training.probe is None else Prober
            trainer = kind(
                run=run,
                progress=progress,
                loaders=loaders,
                record=record,
                log=self.log,
                stop=self.stop,
                memory=memory,
                caller=self.caller,
            )
            try:
                return trainer.train()
            except RunFailed as error:
                if self.world.is_main:
                    with contextlib.suppress(RunFailed):  # a full disk may not take it either
                        record.fail(str(error))
                raise

    def _remove_damaged_checkpoint(self) -> list[Note]:
        note = self.world.broadcast(
            partial(checkpoint.remove_damaged, self.folder.checkpoint, self.folder.best)
        )
        if note is None:
            return []
        self.log.note(f"note: {note}")
        return [Note("damage", None, note)]

    def _build(
        self, run_recipe: RunRecipe, dataset: Dataset, compile_cache: CompileCache
    ) -> tuple[Run, list[Note]]:
        """Build the run and write what is known before its first step; return it with its notes."""
        folder, world = self.folder, self.world
        start = partial(begin, folder, run_recipe, dataset)
        begun = self.opened.has_plan

        def on_teacher_logits(done: int, total: int) -> None:
            nonlocal begun
            # Teachers can take hours, after which a run that was stopped keeps its plan.
            if world.is_main and not begun:
                start()
                begun = True
            self._stop_before_training()
            self.log.teacher_logits(done, total)

        run, build_notes = compile_cache.build(
            run_recipe.plan, self.recipe.tricks, dataset, on_teacher_logits, world
        )
        notes = [*dataset.notes, *run_recipe.notes, *build_notes]
        for note in notes:
            self.log.note(f"note: {note.text}")
        if self.opened.note is not None:  # shown already
            notes.append(self.opened.note)
        world.broadcast(start)
        if dataset.errors:
            self.log.note(f"left out {len(dataset.errors)} files: see {folder.data_errors}")
        return run, notes


def _as_before(stored: RunRecipe, trial: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's identity without `training.keep` if the stored run was begun before it."""
    recipe = trial["recipe"]
    if "keep" in (stored.recipe.get("training") or {}) or "keep" not in recipe["training"]:
        return trial
    training = {name: value for name, value in recipe["training"].items() if name != "keep"}
    return {**trial, "recipe": {**recipe, "training": training}}


def _with_keep(resolved: Mapping[str, Any], keep: str) -> dict[str, Any]:
    """Return a stored plan with `training.keep`, which a run that was begun before it lacks."""
    return {**resolved, "training": {"keep": keep, **resolved.get("training", {})}}


def _in_stored_order(recipe: Recipe, stored: RunRecipe | None) -> Recipe:
    """Return the recipe with its tricks in the order of the stored run.

    Their order is no part of a trial's identity, but hooks are called in it.
    """
    tricks = stored.recipe.get("tricks") if stored is not None else None
    return recipe.in_order_of(tricks) if isinstance(tricks, Mapping) else recipe


def _load_progress(run: Run, record: RunRecord, caller: Caller) -> Progress:
    """Load the last checkpoint if there is one; return where the run is."""
    progress, folder, world = Progress.start(run.device), record.folder, run.world
    if world.broadcast(lambda: exists(folder.checkpoint)):
        way_out = f"start again in another {caller.out}"
        world.broadcast(partial(checkpoint.require_weights, folder.best, way_out=way_out))
        progress = checkpoint.restore(folder.checkpoint, run, record.identity, way_out=way_out)
    world.broadcast(lambda: record.cut_back(progress.epoch))
    world.broadcast_tensors([*run.network.parameters(), *run.network.buffers()])
    return progress


def _require_same_everywhere(trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        changed = differences(trial, trials[0])
        if changed:
            raise UserError(
                "the processes of a run must train the same recipe on the same data; "
                f"these differ: {'; '.join(changed)}"
            )


def _require_same_trial(
    stored: RunRecipe, trial: dict[str, Any], folder: RunFolder, caller: Caller
) -> None:
    way_out = f"choose another {caller.out}"
    if stored.trial is None:
        raise UserError(f"{folder.recipe} is not the recipe of a run", way_out)
    if not stored.has_plan:  # nothing but recipe and seed is known of it
        trial = {key: value for key, value in trial.items() if key in stored.trial}
    changed = differences(trial, stored.trial)
    if changed:
        raise UserError(
            f"{folder.path} holds another trial; these differ: {'; '.join(changed)}",
            way_out,
        )
