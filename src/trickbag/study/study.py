"""Run a study: the driver, which alone writes the study's folder and can be killed at any
moment."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from trickbag.errors import Stopped, UserError
from trickbag.models.config import model_config
from trickbag.recipe import Recipe, digest
from trickbag.settings import plain
from trickbag.study.analysis.effects import Effect, require_outcome, to_dict
from trickbag.study.analysis.table import effects_csv
from trickbag.study.designs.applicability import inapplicable
from trickbag.study.designs.design import Design, LeaveOneOut, longer_training
from trickbag.study.extend import SCHEMA, continued, same_processes
from trickbag.study.folder import StoredResult, StudyFolder
from trickbag.study.log import StudyLog
from trickbag.study.task import TrainTrial
from trickbag.study.trial_plan import StudyProgress, TrialPlan
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.study.executors import Executor
    from trickbag.train.folder.result import Result
    from trickbag.tricks.trick import TeacherSpec, Trick

__all__ = ["SEEDS", "Findings", "Study", "Work", "findings", "plain_layouts"]


SEEDS = 5
"""The seeds of a study that does not say how many."""


def _require_a_file_each(tricks: Iterable[Trick]) -> None:
    """Raise UserError where trials would keep different answers of a teacher in one file."""
    kept: dict[Path, TeacherSpec] = {}
    for trick in tricks:
        try:
            spec = trick.teachers()
        except UserError:
            continue  # it has no teacher: a trial says so
        if spec is None or spec.cache is None or spec.view == "online":
            continue
        if spec.view == "replay":
            raise UserError(
                f"{trick.name}.cache = {spec.cache}: with view=replay each seed of a study has "
                f"answers of its own, "
                "and they do not go into one file; leave cache out"
            )
        first = kept.setdefault(Path(spec.cache).expanduser().absolute(), spec)
        if (first.teachers, first.top) != (spec.teachers, spec.top):
            raise UserError(
                f"{trick.name}.cache = {spec.cache}: levels with other teachers, or another top, "
                f"have answers of "
                "their own, and they do not go into one file; leave cache out"
            )


@dataclass(frozen=True, kw_only=True)
class Findings(Sequence[Effect]):
    """What a study found: its effects, in design order, as a sequence.

    `results` has a flat dict for each trial that ended (`pandas.DataFrame(findings.results)` is a
    table): `label`, `model`, `seed`, `trial`, `error`, and each metric by its name. `folder` is
    where the study lies.
    """

    effects: tuple[Effect, ...]
    results: list[dict[str, Any]]
    folder: Path

    def __len__(self) -> int:
        return len(self.effects)

    @overload
    def __getitem__(self, index: int) -> Effect: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Effect, ...]: ...
    def __getitem__(self, index: int | slice) -> Effect | tuple[Effect, ...]:
        return self.effects[index]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Recipe x design x networks x seeds: what is compared, and on which outcome.

    `models` are names of networks (none: the recipe's own). Seeds are 0, 1, ... `seeds` - 1; None
    stands for those of the study that a folder holds, and for SEEDS in a new one. `outcome` is a
    metric of `result.json`, by default `top1`, or `map` where images have several labels. `retries`
    says how often a trial that failed is tried again. `shard` (i, n) runs the i-th of n parts, in a
    folder of its own; `merge` joins them. Raises UserError for values that cannot be.
    """

    recipe: Recipe
    design: Design = LeaveOneOut()
    models: tuple[str, ...] = ()
    seeds: int | None = None
    outcome: str = ""
    retries: int = 2
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seeds < 1:
            raise UserError(f"seeds = {self.seeds}: a study needs at least 1 (an interval needs 2)")
        if self.retries < 0:
            raise UserError(f"retries = {self.retries}: must be at least 0")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise UserError(
                f"shard = {self.shard[0]}/{self.shard[1]}: must be I/N with I from 1 to N"
            )
        several = self.recipe.data.multi_label
        if not self.outcome:
            object.__setattr__(self, "outcome", "map" if several else "top1")
        require_outcome(self.outcome, several)
        for name in self.models:
            model_config(name)
            if self.models.count(name) > 1:
                raise UserError(f"models: {name} is named twice")

    def run(
        self,
        executor: Executor | None = None,
        out: str | Path | None = None,
        *,
        add_seeds: int = 0,
        log: StudyLog | None = None,
        command: str = "",
    ) -> Findings:
        """Run what is not yet run in the folder `out`, and return what the study found.

        The same call goes on where another was stopped or killed: it runs at most the trials again
        that were running, from their checkpoints. More tricks, networks, levels or seeds extend a
        study; `add_seeds` adds to those of a finished one. `out` is by default a folder under
        `runs` named by what is studied; `executor` is `Inline()` by default; `command` is what the
        report names to do the same again.

        Raises UserError for a folder of another study or in use by another driver, and Stopped
        after SIGTERM or SIGINT.
        """
        if executor is None:
            from trickbag.study.executors.inline import Inline

            executor = Inline()
        log = log or StudyLog()
        folder = StudyFolder(Path(out) if out is not None else self.default_folder())
        try:
            with StopSignal() as stop, folder.locked():
                work = self.prepare(folder, executor, add_seeds=add_seeds, log=log, stop=stop)
                folder.write_study(work.plain(command))
                return _Driver(work, folder, executor, log, stop).drive()
        finally:
            log.stop()

    @property
    def number_of_seeds(self) -> int:
        """The seeds of each trial, in a new study."""
        return SEEDS if self.seeds is None else self.seeds

    def default_folder(self) -> Path:
        """Return the folder that this study has where none is named: the same for what extends
        it."""
        what = {
            "recipe": self.recipe.identity(),
            "source": self.recipe.data.source,
            "design": self.design.kind,
        }
        source = Path(self.recipe.data.source).stem or "data"
        name = f"study-{self.recipe.name}-{source}-{self.design.kind}-{digest(what)[:8]}"
        return Path("runs") / name.replace(":", "-").replace("/", "-")

    def prepare(
        self,
        folder: StudyFolder,
        executor: Executor,
        *,
        add_seeds: int = 0,
        log: StudyLog | None = None,
        stop: StopSignal | None = None,
    ) -> Work:
        """Read the data and what the folder holds of this study, and settle what there is to do; nothing is written.

        Raises UserError where the folder holds another study, saying what differs, and Stopped
        where `stop` has caught a signal.
        """
        from trickbag.data.dataset import prepare

        log = log or StudyLog()

        def checking(done: int, total: int) -> None:
            if stop is not None:
                _stop_early(stop)
            log.checking(done, total)

        stored = folder.read_study()
        kept, torn = folder.read_results()
        if torn is not None:
            log.note(torn)
        dataset = prepare(self.recipe.data, progress=checking)
        study = continued(self._pinned(executor, stored), stored, dataset.fingerprint, folder)
        processes = executor.machine.processes
        same_processes(processes, stored)
        unfit = study.unfit(dataset)
        progress = StudyProgress(study.trial_plan(unfit, dataset.fingerprint), kept)
        if add_seeds:
            if progress.pending(study.retries):
                log.note("the study is not finished: it goes on, and --add-seeds adds nothing yet")
            else:
                study = dataclasses.replace(study, seeds=study.number_of_seeds + add_seeds)
                progress = StudyProgress(study.trial_plan(unfit, dataset.fingerprint), kept)
        return Work(
            study=study,
            dataset=dataset,
            unfit=unfit,
            progress=progress,
            kept=tuple(kept),
            torn=torn is not None,
            processes=processes,
        )

    def unfit(self, dataset: Dataset) -> dict[str, dict[str, str]]:
        """Return the tricks that cannot work on a network, with the reason, for each network."""
        return {
            name: inapplicable(
                recipe, dict.fromkeys((*recipe.tricks, *self.design.studied(recipe))), dataset
            )
            for name, recipe in self.recipes().items()
        }

    def trial_plan(self, unfit: Mapping[str, Mapping[str, str]], fingerprint: str) -> TrialPlan:
        """Return the trials of this study on the data of a fingerprint; UserError where they would
        share a file."""
        layouts = [
            self.design.layout(recipe, name, inapplicable=unfit.get(name))
            for name, recipe in self.recipes().items()
        ]
        recipes = [
            variant.recipe
            for layout in layouts
            for variant in layout.variants
            if variant.recipe is not None
        ]
        _require_a_file_each(trick for recipe in recipes for trick in recipe.tricks)
        return TrialPlan.of(layouts, self.number_of_seeds, fingerprint, self.shard)

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipe on each network, by the network's name."""
        if not self.models:
            return {self.recipe.network: self.recipe}
        return {name: self.recipe.on(name) for name in self.models}

    def _pinned(self, executor: Executor, stored: dict[str, Any] | None) -> Study:
        """Settle what follows from the machine, so that every trial computes alike, whoever runs it
        and when."""
        from trickbag.train.machine.device import choose_device

        machine, training = executor.machine, self.recipe.training
        threads = training.threads or (stored or {}).get("threads") or machine.threads
        device = training.device
        if device == "auto":
            device = (stored or {}).get("device") or machine.device or choose_device("auto")
        elif machine.device is None:
            choose_device(device)
        training = dataclasses.replace(training, threads=threads, device=device)
        return dataclasses.replace(self, recipe=self.recipe.replace(training=training))


@dataclass(frozen=True, kw_only=True)
class Work:
    """A study as it stands: settled, with its data, its trials and the results so far.

    `unfit` names the tricks that cannot work on a network, for each network. `kept` are the whole
    lines of `results.jsonl`; `torn` tells whether a torn one was left out. `processes` train a
    trial together.
    """

    study: Study
    dataset: Dataset
    unfit: Mapping[str, Mapping[str, str]]
    progress: StudyProgress
    kept: tuple[StoredResult, ...] = ()
    torn: bool = False
    processes: int = 1

    def plain(self, command: str = "") -> dict[str, Any]:
        """Return what `study.json` holds."""
        from trickbag import __version__

        study, layouts = self.study, self.progress.trial_plan.layouts
        return {
            "schema": SCHEMA,
            "version": __version__,
            "command": command,
            "recipe": study.recipe.to_dict(),
            "design": plain(study.design),
            "models": list(study.models),
            "seeds": study.number_of_seeds,
            "outcome": study.outcome,
            "threads": study.recipe.training.threads,
            "device": study.recipe.training.device,
            "processes": self.processes,
            "data": self.dataset.fingerprint,
            "shard": None if study.shard is None else "{}/{}".format(*study.shard),
            "inapplicable": {name: dict(reasons) for name, reasons in self.unfit.items()},
            "notes": [
                *(note.text for note in self.dataset.notes),
                *longer_training(
                    *(
                        v.recipe
                        for layout in layouts
                        for v in layout.variants
                        if v.recipe is not None
                    )
                ),
                *(note for layout in layouts for note in layout.notes),
            ],
            "layouts": plain_layouts(self.progress),
        }


def plain_layouts(progress: StudyProgress) -> list[dict[str, Any]]:
    """Return the layouts of a study with the trials of each variant, by seed, as `study.json` holds
    them."""
    ids = progress.trial_plan.ids
    return [
        {
            "model": layout.model,
            "variants": [
                {
                    "label": variant.label,
                    "reason": variant.reason,
                    "trials": {
                        str(seed): name
                        for seed, name in ids.get((layout.model, variant.label), {}).items()
                    },
                }
                for variant in layout.variants
            ],
            "contrasts": [dataclasses.asdict(contrast) for contrast in layout.contrasts],
            "factors": list(layout.factors),
            "generators": list(layout.generators),
            "aliases": [list(group) for group in layout.aliases],
        }
        for layout in progress.layouts()
    ]


@dataclass
class _Driver:
    """One call of `Study.run`: it hands out trials and stores what comes back."""

    work: Work
    folder: StudyFolder
    executor: Executor
    log: StudyLog
    stop: StopSignal

    def drive(self) -> Findings:
        """Run the pending trials; return the findings, which are written on the way out whatever
        stopped the rest."""
        study, progress = self.work.study, self.work.progress
        pending = progress.pending(study.retries)
        task = TrainTrial(folder=self.folder.trials, dataset=self._shared(len(pending)))
        _stop_early(self.stop)
        self.log.start(progress, study.outcome, len(pending))
        try:
            with self.folder.appending(list(self.work.kept), self.work.torn) as append:
                for result in self.executor.run(task, pending):
                    self._store(result, append)
        except Stopped as stopped:
            self.log.stop()
            self._write()
            left = len(progress.pending(study.retries))
            raise Stopped(
                f"{stopped}; {len(progress.finished)} trials are finished, {left} are left; "
                f"the same command goes on in {self.folder.path}"
            ) from stopped
        self.log.stop()
        return self._finish()

    def _shared(self, pending: int) -> Dataset | None:
        """Decode the images once for all trials, where that is possible and worth it; return the
        data that has them."""
        from trickbag.data.decoding.in_memory import decode_once, memory_limit

        if pending < 2 or not self.executor.machine.shares_memory:
            return None
        limit = memory_limit(self.folder.path)

        def decoding(done: int, total: int) -> None:
            _stop_early(self.stop)
            self.log.checking(done, total)

        return decode_once(self.work.dataset, self.folder.decoded, limit, decoding)

    def _store(self, result: Result, append: Any) -> None:
        trial = self.work.progress.trial_plan.trials[result.trial]
        stored = result.to_dict() | {"label": trial.label, "model": trial.model}
        append(stored)
        self.work.progress.add(stored)
        if result.error is None:
            # Half of a trial's bytes, which nothing needs any more.
            (self.folder.trials / result.trial / "last.ckpt").unlink(missing_ok=True)
        self.log.result(stored)

    def _write(self) -> list[Effect]:
        found = self.work.progress.effects(self.work.study.outcome)
        rows = [to_dict(effect) for effect in found]
        self.folder.write_effects(rows, effects_csv(rows))
        return found

    def _finish(self) -> Findings:
        found = self._write()
        command = (self.folder.read_study() or {}).get("command", "")
        self.folder.write_study(
            self.work.plain(command)
        )  # with the reasons of what turned out not to apply
        shutil.rmtree(self.folder.decoded, ignore_errors=True)
        for lock in self.folder.trials.glob(".*.lock"):
            lock.unlink(missing_ok=True)
        return findings(self.work.progress, found, self.folder)


def _stop_early(stop: StopSignal) -> None:
    if stop.name:
        raise Stopped(
            f"stopped by {stop.name} before the first trial; the same command starts the study"
        )


def findings(progress: StudyProgress, effects: Sequence[Effect], folder: StudyFolder) -> Findings:
    """Return effects with the results that they stand on, one of each trial that ended, in the
    order of the trials."""
    ended = progress.finished | {result["trial"]: result for result in progress.given_up()}
    rows = []
    for name in progress.trial_plan.trials:
        if name in ended:
            result = ended[name]
            named = {key: result[key] for key in ("label", "model", "seed", "trial", "error")}
            rows.append({**named, **result["metrics"]})
    return Findings(effects=tuple(effects), results=rows, folder=folder.path)
