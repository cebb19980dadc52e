"""What a study has to do in a folder: its plan settled with the data and the results so far."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Note, Stopped, UserError, choices
from trickbag.metrics.metric import default_score
from trickbag.study.analysis.outcomes import require_outcome
from trickbag.study.constant_answers import constant_answers
from trickbag.study.extend import Extension, require_processes
from trickbag.study.fold_notes import fold_notes
from trickbag.study.kept_weights import has_weights
from trickbag.study.outcome_evaluations import evaluation_notes
from trickbag.study.progress import StudyProgress
from trickbag.study.records.study import StudyRecord
from trickbag.study.registration import Registration
from trickbag.study.run_length import require_whole_runs
from trickbag.study.tuning.layouts import on_inner_fold
from trickbag.study.tuning.stage import decided, tuning_metric, tuning_stage
from trickbag.study.variant_notes import variant_notes
from trickbag.train.plan.score import order_notes, require_score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.study.analysis.looks import Look
    from trickbag.study.executors import Machine
    from trickbag.study.folder import StudyFolder
    from trickbag.study.log import StudyLog
    from trickbag.study.plan import StudyPlan
    from trickbag.study.records.result import StoredResult
    from trickbag.study.tuning.stage import TuningStage
    from trickbag.train.folder.caller import Caller
    from trickbag.train.machine.signals import StopSignal

__all__ = [
    "PreparedStudy",
    "longer_training",
    "prepare_study",
    "stop_before_trials",
]


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A study as it stands: its plan settled, with its data, its trials and the results so far.

    `inapplicable` names the tricks that cannot work on a network, for each network. `kept` are the
    whole lines of `results.jsonl`; `torn` tells whether a torn one was left out. `processes` train
    a trial together. `variant_notes` say which settings hide others, in which variants. `trained`
    are the trials to be run that lack an evaluation alone, and whose weights are there. `looks` are
    those at which verdicts were written. While the `tuning` has not finished, the trials are those
    of arms that are not tuned: no comparison is run, and they are no part of the record.
    `registration` is that of before the first trial; until there is a result it is made anew.
    """

    plan: StudyPlan
    dataset: Dataset
    inapplicable: Mapping[str, Mapping[str, str]]
    progress: StudyProgress
    kept: tuple[StoredResult, ...] = ()
    torn: bool = False
    processes: int = 1
    variant_notes: tuple[Note, ...] = ()
    trained: frozenset[str] = frozenset()
    looks: tuple[Look, ...] = ()
    tuning: TuningStage | None = None
    registration: Registration | None = None

    @property
    def notes(self) -> list[Note]:
        """What a reader of the study should know: of the data, of the papers, of the layouts."""
        layouts = self.progress.trial_plan.layouts
        recipes = [v.recipe for layout in layouts for v in layout.variants if v.recipe is not None]
        notes = [
            # The data set is that of the first fold; every trial names its own.
            *(
                note
                for note in self.dataset.notes
                if self.plan.folds is None or note.kind != "fold"
            ),
            *kept_weights(self.plan.recipe),
            *fold_notes(self.plan, recipes, self.dataset.fingerprint),
            *longer_training(recipes),
            *evaluation_notes(self.plan, self.dataset),
            *(n for o in self.plan.outcomes for n in order_notes(o, self.dataset.classes)),
            *(note for layout in layouts for note in layout.notes),
            *self.variant_notes,
            *(self.tuning.notes() if self.tuning is not None else ()),
            *self.progress.chance_notes(self.plan.outcome),
        ]
        return list(dict.fromkeys(notes))  # layouts of several networks can say the same

    def record(self, command: str = "") -> StudyRecord:
        """Return what `study.json` holds."""
        from trickbag import __version__

        plan = self.plan
        record = StudyRecord(
            version=__version__,
            command=command,
            recipe=plan.recipe.to_dict(),
            design=plan.design.to_dict(),
            models=plan.models,
            seeds=plan.number_of_seeds,
            outcome=plan.outcome,
            threads=plan.recipe.training.threads,
            device=plan.recipe.training.device,
            processes=self.processes,
            data=self.dataset.fingerprint,
            shard=plan.shard_text,
            keep_weights=plan.weights_kept,
            inapplicable=self.inapplicable,
            notes=tuple(self.notes),
            layouts=self.progress.layout_records(settled=not self.is_tuning),
            answers=self.progress.answers,
            beside=plan.beside,
            evaluations={**plan.evaluated, **plan.evaluations},
            margin=plan.margin,
            max_seeds=plan.max_seeds,
            until_settled=plan.until_settled,
            looks=self.looks,
            tuning=None if self.tuning is None else self.tuning.record,
            folds=plan.folds,
            splits=plan.splits or 1,
        )
        registration = self.registration if self.kept else Registration.of(record.registered)
        return dataclasses.replace(record, registration=registration)

    @property
    def is_tuning(self) -> bool:
        """Whether arms are still to be tuned."""
        return self.tuning is not None and not self.tuning.finished

    def tuning_study(self) -> PreparedStudy:
        """Return the study of the tuning trials: no effects, no weights kept, on the inner fold."""
        from trickbag.data.dataset import prepare

        assert self.tuning is not None
        record = self.tuning.record
        recipe = on_inner_fold(self.plan.recipe, record.tuning)
        plan = dataclasses.replace(
            self.plan,
            recipe=recipe,
            outcome=record.metric,
            beside=(),
            outcome_images=None,
            localization=None,
            evaluated={},
            keep_weights="none",
            margin=None,
            until_settled=False,
            tuning=None,
        )
        return dataclasses.replace(
            self,
            plan=plan,
            dataset=prepare(recipe.data, annotations=recipe.task.annotations),
            progress=self.tuning.progress,
            trained=frozenset(),
            looks=(),
        )


def prepare_study(
    plan: StudyPlan,
    folder: StudyFolder,
    machine: Machine,
    *,
    add_seeds: int = 0,
    log: StudyLog,
    caller: Caller,
    stop: StopSignal | None = None,
) -> PreparedStudy:
    """Read the data and what the folder holds of a study; nothing is written.

    Raises UserError where the folder holds another study, saying what differs, and Stopped where
    `stop` has caught a signal.
    """
    from trickbag.data.dataset import prepare

    def checking(done: int, total: int) -> None:
        if stop is not None:
            stop_before_trials(stop, caller)
        log.checking(done, total)

    # Before the data, which may take minutes to check: a damaged file is reported at once.
    stored = folder.read_study()
    kept, torn = folder.read_results()
    if torn is not None:
        log.note(torn)
    if stored is not None:
        plan = _with_folds(plan, stored)
        plan = dataclasses.replace(plan, evaluated=stored.evaluations)
    plan.require_directories()
    dataset = prepare(plan.data, progress=checking, annotations=plan.recipe.task.annotations)
    _require_measured(plan, dataset)
    # Before the comparison with the stored study: threads and device are part of its identity.
    plan = _on_machine(plan, machine, stored)
    extension = None
    if stored is not None:
        extension = Extension(stored=stored, folder=folder.path, caller=caller)
        plan = extension.of(plan, dataset.fingerprint)
        require_processes(machine.processes, stored, caller)
        plan = _with_max_seeds(plan, stored, trained=bool(kept))
        plan = _with_tuning(plan, stored, trained=bool(kept))
    inapplicable = plan.inapplicable(dataset)
    answers = constant_answers(dataset, plan.recipe, all_folds=plan.folds is not None)
    if plan.until_settled and plan.max_seeds is None:
        raise UserError("until_settled needs max_seeds, the most seeds that are trained")
    looks = () if stored is None else stored.looks
    tuning = _tuning(plan, inapplicable, dataset.fingerprint, kept, stored)
    tuned = None if tuning is None else tuning.record
    trial_plan = plan.trial_plan(inapplicable, dataset.fingerprint, looks, tuned)
    layouts = trial_plan.layouts
    variants = [variant for layout in layouts for variant in layout.variants]
    require_whole_runs([plan.recipe, *(v.recipe for v in variants if v.recipe is not None)])
    if extension is not None:
        extension.require_same_weights(trial_plan)
    compared = kept
    if tuning is not None:
        compared = [result for result in kept if result.trial not in tuning.progress.finished]
    progress = StudyProgress(trial_plan, compared, answers, plan.evaluations)
    # What lacks an evaluation alone has finished.
    if add_seeds and any(t.id not in progress.finished for t in progress.pending(plan.retries)):
        log.note("the study is not finished: it goes on, and no seeds are added yet")
    elif add_seeds:
        plan = dataclasses.replace(plan, seeds=_more_seeds(plan, add_seeds))
        trial_plan = plan.trial_plan(inapplicable, dataset.fingerprint, looks, tuned)
        progress = StudyProgress(trial_plan, compared, answers, plan.evaluations)
    pending = (trial.id for trial in progress.pending(plan.retries))
    return PreparedStudy(
        plan=plan,
        dataset=dataset,
        inapplicable=inapplicable,
        progress=progress,
        kept=tuple(kept),
        torn=torn is not None,
        processes=machine.processes,
        looks=looks,
        tuning=tuning,
        registration=None if stored is None else stored.registration,
        variant_notes=tuple(variant_notes(progress.trial_plan.layouts, dataset)),
        trained=frozenset(
            trial
            for trial in pending
            if trial in progress.finished and has_weights(folder.trials / trial)
        ),
    )


def _with_folds(plan: StudyPlan, stored: StudyRecord) -> StudyPlan:
    """Return the plan with the folds and splits of the study; UserError for others."""
    for name, before in (("folds", stored.folds), ("splits", stored.splits)):
        value = getattr(plan, name)
        if value not in (None, before):
            has = "none" if before is None else before
            raise UserError(
                f"{name} = {value}: this study has {has}, and another division of the images is "
                "another study",
                "leave it out, or start another study",
            )
    if stored.folds is None:
        return plan
    return dataclasses.replace(plan, folds=stored.folds, splits=stored.splits)


def _with_max_seeds(plan: StudyPlan, stored: StudyRecord, *, trained: bool) -> StudyPlan:
    """Return the plan with the largest number of seeds, which the first trial fixes.

    Raises UserError for another number once there are results, and for more seeds than that.
    """
    most = plan.max_seeds
    if trained and most not in (None, stored.max_seeds):
        before = "none" if stored.max_seeds is None else stored.max_seeds
        raise UserError(
            f"max_seeds = {most}: it is fixed before the first trial, and this study has {before}",
            "leave it out, or start another study",
        )
    most = stored.max_seeds if most is None else most
    if most is not None and plan.number_of_seeds > most:
        raise UserError(f"seeds = {plan.number_of_seeds}: max_seeds = {most} are the most")
    until_settled = plan.until_settled or stored.until_settled
    return dataclasses.replace(plan, max_seeds=most, until_settled=until_settled)


def _with_tuning(plan: StudyPlan, stored: StudyRecord, *, trained: bool) -> StudyPlan:
    """Return the plan with the tuning, which the first trial fixes; UserError for another one."""
    before = None if stored.tuning is None else stored.tuning.tuning
    if trained and plan.tuning not in (None, before):
        grid = "none" if before is None else f"{'; '.join(before.grid)}, {before.seeds} seeds"
        raise UserError(
            f"tuning = {'; '.join(plan.tuning.grid)}, {plan.tuning.seeds} seeds: it is fixed "
            f"before the first trial, and this study has {grid}",
            "leave it out, or start another study",
        )
    return dataclasses.replace(plan, tuning=plan.tuning or before)


def _tuning(
    plan: StudyPlan,
    inapplicable: Mapping[str, Mapping[str, str]],
    fingerprint: str,
    results: Sequence[StoredResult],
    stored: StudyRecord | None,
) -> TuningStage | None:
    """Return the tuning of a study, after the results so far; None where there is none."""
    if plan.tuning is None:
        return None
    stage = tuning_stage(
        plan.layouts(inapplicable),
        plan.tuning,
        tuning_metric(plan.outcome, plan.recipe),
        fingerprint,
        results,
        None if stored is None else stored.tuning,
    )
    return decided(stage, plan.retries)


def _more_seeds(plan: StudyPlan, add_seeds: int) -> int:
    """Return the number of seeds with those that are added; UserError beyond the largest."""
    seeds = plan.number_of_seeds + add_seeds
    if plan.max_seeds is not None and seeds > plan.max_seeds:
        raise UserError(
            f"add_seeds = {add_seeds}: the study has {plan.number_of_seeds} of at most "
            f"{plan.max_seeds} seeds, which were fixed before its first trial",
            "add fewer, or start another study",
        )
    return seeds


def _require_measured(plan: StudyPlan, dataset: Dataset) -> None:
    """Raise UserError for an outcome or a score that these data leave undefined in every trial."""
    require_score(plan.recipe.training.score, dataset, plan.recipe.task)
    for outcome in plan.outcomes:
        _require_outcome(outcome, plan, dataset)


def _require_outcome(outcome: str, plan: StudyPlan, dataset: Dataset) -> None:
    data, score = plan.recipe.data, plan.recipe.training.score
    task = plan.recipe.task.kind
    require_outcome(outcome, data.multi_label, len(dataset.classes), task)
    recorded = {default_score(data.multi_label, task), *([score] if score else [])}
    if outcome.startswith("best_") and outcome.removeprefix("best_") not in recorded:
        raise UserError(
            f"outcome {outcome!r} is not recorded: runs record the best value of the metric that "
            "chooses the best epoch",
            f"choose from {choices(f'best_{name}' for name in recorded)}, or set training.score",
        )
    if outcome.startswith("test_") and dataset.test is None:
        raise UserError(
            f"outcome {outcome!r} is of a test part, and {data.source} has none",
            f"give it one, or choose {outcome.removeprefix('test_')}",
        )


def _on_machine(plan: StudyPlan, machine: Machine, stored: StudyRecord | None) -> StudyPlan:
    """Settle threads and device: by the recipe, else as before, else by the machine."""
    from trickbag.train.machine.device import choose_device

    training = plan.recipe.training
    # Threads too: their number is the order in which sums are added up, and so the last bits.
    threads = training.threads or (stored.threads if stored else None) or machine.threads
    if training.device == "auto":
        before = stored.device if stored else None
        return plan.on_machine(threads, before or machine.device or choose_device("auto"))
    if machine.device is None:
        choose_device(training.device)  # raises UserError for a device that is not here
    return plan.on_machine(threads, training.device)


def kept_weights(recipe: Recipe) -> list[Note]:
    """Say of which weights the numbers of all trials are, if there is more than one epoch."""
    if recipe.training.epochs == 1:
        return []
    if recipe.training.keep == "last":
        reason = (
            "every number of a trial is of its last epoch's weights: a study sets "
            "training.keep=last for all variants"
        )
    else:
        reason = (
            "every number of a trial is of its best epoch's weights (training.keep=best): a "
            "maximum over epochs, which flatters"
        )
    return [Note("study", None, reason)]


def longer_training(recipes: Iterable[Recipe]) -> list[Note]:
    """Say which tricks of the recipes the papers train longer.

    A study gives every variant the same epochs.
    """
    epochs = {trick.name: trick.paper_epochs for recipe in recipes for trick in recipe.tricks}
    return [
        Note(
            "study", name, "{}: the paper trains {} epochs with it, {} without".format(name, *both)
        )
        for name, both in epochs.items()
        if both
    ]


def stop_before_trials(stop: StopSignal, caller: Caller) -> None:
    """Raise Stopped where a signal came before there is a trial to save."""
    if stop.name:
        raise Stopped(
            f"stopped by {stop.name} before the first trial",
            f"the same {caller.call} starts the study",
            signal=stop.name,
        )
