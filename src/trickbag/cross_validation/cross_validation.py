"""A cross-validation: a run for each fold of the data, trained side by side like trials."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.cross_validation.folder import CrossValidationFolder
from trickbag.cross_validation.result import CrossValidationResult, FoldResult
from trickbag.data.config import MAX_FOLDS
from trickbag.durations import about
from trickbag.errors import Note, RunFailed, Stopped, UserError
from trickbag.paths import file_name, given_path
from trickbag.recipe import Recipe, differences, digest
from trickbag.study.limits import require_within
from trickbag.study.machine_settings import settled_on_machine
from trickbag.study.records.result import StoredResult
from trickbag.study.result_lines import appending, read_results
from trickbag.study.task import TrainTrial
from trickbag.study.trial import Trial
from trickbag.train.folder.caller import PYTHON
from trickbag.train.folder.fold_runs import FoldsRecord
from trickbag.train.folder.identity import trial_of
from trickbag.train.folder.log import RunLog
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.study.executors import Executor
    from trickbag.train.folder.caller import Caller
    from trickbag.train.folder.result import Result

__all__ = ["CrossValidation"]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """A run of a recipe for each of `folds` folds, all with one seed.

    Each image but those of a test part is validated by the one network that was not trained on it.
    Raises UserError for values that cannot be.
    """

    recipe: Recipe
    folds: int
    seed: int = 0
    retries: int = 2

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= MAX_FOLDS:
            raise UserError(f"folds = {self.folds}: must be from 2 to {MAX_FOLDS}")
        require_within(retries=self.retries)
        data, task = self.recipe.data, self.recipe.task.kind
        if task != "classification":
            raise UserError(
                f"a cross-validation trains classifiers, and the recipe {self.recipe.name} is one "
                f"of {task}",
                "divide the data by data.folds and data.fold, and train each fold by itself",
            )
        if data.folds not in (None, self.folds) or data.fold:
            raise UserError(
                f"the recipe names fold {data.fold} of {data.folds} (data.folds, data.fold), and "
                f"{self.folds} folds are asked for",
                "leave these settings out",
            )

    @property
    def divided(self) -> Recipe:
        """The recipe of the first fold."""
        return self._of_fold(self.recipe, 0)

    def _of_fold(self, recipe: Recipe, fold: int) -> Recipe:
        data = dataclasses.replace(recipe.data, folds=self.folds, fold=fold)
        return recipe.replace(data=data)

    def default_folder(self) -> Path:
        """Return a folder under `runs` that is not there yet."""
        source = Path(self.recipe.data.source).stem or "data"
        name = file_name(f"folds-{self.recipe.name}-{source}")
        number = 0
        while (folder := Path("runs") / (f"{name}-{number}" if number else name)).exists():
            number += 1
        return folder

    def run(
        self,
        executor: Executor | None = None,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        log: RunLog | None = None,
        command: str = "",
        caller: Caller = PYTHON,
    ) -> CrossValidationResult:
        """Train the folds that the folder `out` lacks, and predict all images out of fold.

        `executor` is by default `Inline()`, `out` a new folder under `runs`. With `resume` a
        cross-validation that was stopped or killed goes on, and one that has ended stays as it is.

        Raises UserError for a folder that holds another one, or is not to be resumed, and for one
        in use by another driver, RunFailed where a fold fails, and Stopped after SIGTERM or SIGINT.
        """
        if executor is None:
            from trickbag.study.executors.inline import Inline

            executor = Inline()
        path = given_path(out, caller.out) if out is not None else self.default_folder()
        run = _Run(
            cross_validation=self,
            folder=CrossValidationFolder(path),
            executor=executor,
            log=log or RunLog(),
            caller=caller,
        )
        try:
            with StopSignal() as stop, run.folder.locked(caller) as note:
                if note is not None:
                    run.log.note(f"note: {note.text}")
                return run.run(stop, resume=resume, command=command)
        finally:
            run.log.stop()


@dataclass(kw_only=True)
class _Run:
    """One call: what it reads, trains and writes in the folder."""

    cross_validation: CrossValidation
    folder: CrossValidationFolder
    executor: Executor
    log: RunLog
    caller: Caller

    def run(self, stop: StopSignal, *, resume: bool, command: str) -> CrossValidationResult:
        """Train what is missing; return the result."""
        stored = FoldsRecord.read(self.folder.path)
        if stored is not None and not resume:
            raise UserError(
                f"{self.folder.path} holds a cross-validation already",
                f"go on with it by {self.caller.resume}, or choose another {self.caller.out}",
            )
        recipe = settled_on_machine(
            self.cross_validation.recipe,
            self.executor.machine,
            threads=stored.threads if stored else None,
            device=stored.device if stored else None,
        )
        dataset = self._prepared(recipe, stop)
        trials = self._trials(recipe, dataset.fingerprint)
        record = self._record(recipe, dataset, trials, command)
        if stored is not None:
            self._require_same(record, stored)
        else:
            record.write(self.folder.path)
        self._train(trials, stop)
        return self._conclude(recipe, record, trials, dataset)

    def _prepared(self, recipe: Recipe, stop: StopSignal) -> Dataset:
        """Read the data as the first fold has them."""
        from trickbag.data.dataset import prepare

        def checking(done: int, total: int) -> None:
            if stop.name:
                raise Stopped(
                    f"stopped by {stop.name} before the first fold",
                    f"the same {self.caller.call} starts it",
                    signal=stop.name,
                )
            self.log.checking(done, total)

        divided = self.cross_validation._of_fold(recipe, 0)
        return prepare(divided.data, progress=checking)

    def _trials(self, recipe: Recipe, fingerprint: str) -> list[Trial]:
        trials = []
        for fold in range(self.cross_validation.folds):
            of_fold = self.cross_validation._of_fold(recipe, fold)
            trials.append(
                Trial(
                    id=digest(trial_of(of_fold, self.cross_validation.seed, fingerprint)),
                    label=f"fold {fold}",
                    model=recipe.network,
                    recipe=of_fold,
                    seed=self.cross_validation.seed,
                )
            )
        return trials

    def _record(
        self, recipe: Recipe, dataset: Dataset, trials: Sequence[Trial], command: str
    ) -> FoldsRecord:
        from trickbag import __version__

        threads = recipe.training.threads
        assert threads is not None  # `settled_on_machine`
        return FoldsRecord(
            version=__version__,
            command=command,
            recipe=self.cross_validation.divided.to_dict(),
            seed=self.cross_validation.seed,
            folds=self.cross_validation.folds,
            data=dataset.fingerprint,
            threads=threads,
            device=recipe.training.device,
            trials=tuple(trial.id for trial in trials),
        )

    def _require_same(self, record: FoldsRecord, stored: FoldsRecord) -> None:
        """Raise UserError where the folder holds other runs, saying what differs."""
        if record.trials == stored.trials:
            return
        way_out = f"leave out what differs, or choose another {self.caller.out}"
        for name in ("folds", "seed", "threads", "device", "data"):
            value, before = getattr(record, name), getattr(stored, name)
            if value != before and name == "data":
                raise UserError(
                    f"the data have changed since {self.folder.path} was begun",
                    f"bring them back, or choose another {self.caller.out}",
                )
            if value != before:
                raise UserError(
                    f"{self.folder.path} holds a cross-validation with {name} = {before}, not "
                    f"{value}",
                    way_out,
                )
        before, now = (
            each.identity()
            for each in (Recipe.from_dict(stored.recipe), self.cross_validation.divided)
        )
        raise UserError(
            f"{self.folder.path} holds a cross-validation of another recipe; these differ: "
            f"{', '.join(differences(before, now))}",
            way_out,
        )

    def _train(self, trials: Sequence[Trial], stop: StopSignal) -> None:
        """Train the folds that are not finished; each is tried `retries` times again."""
        kept, torn = read_results(self.folder.results)
        if torn is not None:
            self.log.note(torn)
        names = {trial.id for trial in trials}
        kept = [result for result in kept if result.trial in names]
        finished = {result.trial for result in kept if result.status == "finished"}
        errors: dict[str, str] = {}
        task = TrainTrial(folder=self.folder.trials)
        by_id = {trial.id: trial for trial in trials}
        try:
            with appending(self.folder.results, kept, torn is not None) as append:
                for attempt in range(self.cross_validation.retries + 1):
                    # Those of another call count no more: the same command tries them again.
                    pending = [trial for trial in trials if trial.id not in finished]
                    if not pending:
                        return
                    if attempt:
                        self.log.note(f"{len(pending)} folds failed, and are tried again")
                    for result in self.executor.run(task, pending):
                        stored = StoredResult.of(result, by_id[result.trial])
                        append(stored)
                        if stored.status == "finished":
                            finished.add(stored.trial)
                        else:
                            errors[stored.trial] = stored.error or stored.status
                        self.log.note(_line(stored, len(finished), len(trials)))
                        if stored.status == "does_not_apply":
                            raise UserError(f"{by_id[stored.trial].label}: {stored.error}")
        except Stopped as stopped:
            raise Stopped(
                f"{stopped}; {len(finished)} of {len(trials)} folds are trained",
                f"{self.caller.resume} goes on in {self.folder.path}",
                signal=stopped.signal,
            ) from stopped
        failed = [trial for trial in trials if trial.id not in finished]
        if failed:
            raise RunFailed(
                f"{failed[0].label} failed: {errors.get(failed[0].id)}",
                f"{self.caller.resume} tries it again",
            )

    def _conclude(
        self, recipe: Recipe, record: FoldsRecord, trials: Sequence[Trial], dataset: Dataset
    ) -> CrossValidationResult:
        """Predict each fold's images by its network; write the predictions and the metrics."""
        done = CrossValidationResult.read(self.folder.result)
        if done is not None and self.folder.out_of_fold.exists():
            return done
        from trickbag.cross_validation.out_of_fold import OutOfFold
        from trickbag.evaluate.evaluation import evaluate
        from trickbag.evaluate.loading import load_trained

        evaluations, classes = [], dataset.classes
        for folder in record.run_folders(self.folder.path):
            trained = load_trained(folder, device=recipe.training.device)
            evaluations.append(evaluate(trained))
            if trained.classes != classes:
                raise RunFailed(f"{folder} has other classes than the data")
        predictions = dataclasses.replace(
            OutOfFold.of(classes, evaluations), label_separator=dataset.label_separator
        )
        validation = predictions.validation()
        notes = [
            *_shared_notes(record.run_folders(self.folder.path)),
            *(note for evaluation in evaluations for note in evaluation.notes),
        ]
        result = CrossValidationResult(
            images=len(predictions.images),
            not_finite=int((~predictions.finite).sum()),
            metrics=dict(validation.all_metrics),
            intervals=validation.intervals(),
            classes=dict(zip(classes, validation.per_class(), strict=True)),
            folds=tuple(
                FoldResult(
                    fold=fold,
                    trial=trial.id,
                    images=evaluation.images,
                    metrics=dict(evaluation.metrics),
                )
                for fold, (trial, evaluation) in enumerate(zip(trials, evaluations, strict=True))
            ),
            notes=tuple(dict.fromkeys(notes)),
            folder=str(self.folder.path),
        )
        predictions.write(self.folder.out_of_fold)
        # Last: with it the cross-validation has ended.
        result.write(self.folder.result)
        return result


def _shared_notes(folders: Sequence[Path]) -> list[Note]:
    """Return the notes that the runs of all folds have."""
    from trickbag.train.folder.result import Result
    from trickbag.train.folder.run_folder import RunFolder

    results = [Result.read(RunFolder(folder).result) for folder in folders]
    notes = [[] if each is None else [*map(Note.from_dict, each.notes)] for each in results]
    return [note for note in notes[0] if all(note in others for others in notes[1:])]


def _line(result: Result, finished: int, folds: int) -> str:
    """Say how the run of a fold ended."""
    if result.status != "finished":
        return f"{result.label} failed: {result.error}"
    score = "map" if result.metrics.get("top1") is None else "top1"
    value = result.metrics.get(score)
    text = "" if value is None else f": {'mAP' if score == 'map' else 'top-1'} {value:.2f} %"
    seconds = result.metrics.get("run_time_s")
    took = f", {about(float(seconds))}" if seconds else ""
    return f"[{finished}/{folds}] {result.label}{text}{took}"
