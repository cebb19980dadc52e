"""What a study would cost, and the smallest effect that it could see, before it is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trickbag.data.cores import usable_cores
from trickbag.durations import about
from trickbag.errors import DoesNotApply, UserError
from trickbag.study.analysis.power import detectable, standard_deviation
from trickbag.study.limits import MAX_SEEDS
from trickbag.train.machine.load import ProcessorTimes, load_between

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.study.executors import Executor
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.trial import Trial

__all__ = ["CostGroup", "EvaluationCost", "Forecast", "forecast", "seeds_within"]

_MOST_TIMED = 16
"""The most costs that are timed on one network."""

_LIMIT_S = 8.0
_TOTAL_LIMIT_S = 48.0
"""The seconds of training that are spent on one cost, and on all of them together."""

_NOTICED_CORES = 0.3
"""Other work that uses fewer cores than this is not mentioned: a system always does some."""

_HOOKS_WITH_COST = (
    "model",
    "data",
    "training",
    "class_weights",
    "param_groups",
    "loss",
    "average",
    "repeats",
    "draw",
    "batch",
    "teachers",
    "teach",
    "advance",
    "data_at",
)
"""A trick without these changes numbers (a schedule, initial values), not what is computed."""


@dataclass(frozen=True, kw_only=True)
class CostGroup:
    """The variants on one network whose trials cost the same.

    `run_s` are the seconds of a run, `epochs` its epochs. Where `timed` is false the run was not
    timed, and counts as the slowest one on the network that was.
    """

    model: str
    labels: tuple[str, ...]
    run_s: float
    epochs: int
    timed: bool = True


@dataclass(frozen=True, kw_only=True)
class EvaluationCost:
    """The seconds that an evaluation of a trial's weights takes on one network."""

    model: str
    evaluation: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The price of a study: `pending` trials on `workers` at a time.

    `costs` are the variants of these trials by what a run costs, `evaluations` what each evaluation
    beyond the runs costs; `trained` of the trials need that alone. `total_s` leaves out what the
    processes need to start. `comparisons` is the number of effects that share the significance,
    `sd` the standard deviation of a paired difference, stated or from the trials so far; `smallest`
    is the smallest effect that the study detects with a probability of 80 %, in units of the
    outcome, or, where no standard deviation is known, in standard deviations; None with fewer than
    two seeds. Before them `tuning` trials are run, in about `tuning_s`. A study that goes on until
    it is settled has at most `most_seeds` seeds with `most_trials` trials to be run, in about
    `most_s` with the tuning, if no arm is stopped; `smallest` is then that of all these seeds.
    `busy_cores` of this machine had other work while runs were timed.
    """

    pending: tuple[Trial, ...]
    workers: int
    costs: tuple[CostGroup, ...]
    total_s: float
    comparisons: int
    sd: float | None
    smallest: float | None
    evaluations: tuple[EvaluationCost, ...] = ()
    trained: int = 0
    tuning: int = 0
    tuning_s: float = 0.0
    most_seeds: int | None = None
    most_trials: int = 0
    most_s: float = 0.0
    busy_cores: float = 0.0

    @property
    def load_text(self) -> str | None:
        """What a person should know where the machine had other work while runs were timed."""
        if self.busy_cores < _NOTICED_CORES:
            return None
        return (
            f"other work used {self.busy_cores:.1f} of {usable_cores()} cores while runs were "
            "timed: these times are longer than those of a free machine"
        )


def forecast(study: PreparedStudy, executor: Executor, sd: float | None = None) -> Forecast:
    """Time the variants of a study in this process, and work out the rest.

    `sd` is a standard deviation that is stated.
    """
    pending = tuple(study.progress.pending(study.plan.retries))
    started = ProcessorTimes.read()
    # The runs of all folds cost the same: those of the first are timed.
    folds = study.plan.division
    timed = [
        trial if folds is None else replace(trial, recipe=folds.on_first(trial))
        for trial in pending
        if trial.id not in study.trained
    ]
    costs = _costs(timed, study.dataset)
    evaluations = _evaluation_costs(pending, study)
    busy_cores = load_between(started, ProcessorTimes.read())
    workers = max(1, min(executor.machine.workers, len(pending)))
    effects = study.progress.effects(study.plan.outcome)
    comparisons = sum(effect.status != "does_not_apply" for effect in effects)
    known_sd = standard_deviation(effects) if sd is None else sd
    most_seeds = study.plan.max_seeds if study.plan.until_settled else None
    smallest = detectable(
        folds.count * folds.splits if folds else most_seeds or study.plan.number_of_seeds,
        1.0 if known_sd is None else known_sd,
        comparisons=max(1, comparisons),
        overlap=folds.overlap if folds else 0.0,
    )
    seconds = _trial_seconds(pending, costs, evaluations, study.trained)
    tuning_s = [*_tuning_seconds(study, costs)]
    added = [*_added_seconds(study, costs, evaluations)] if most_seeds else []
    all_s = [*seconds, *tuning_s, *added]
    return Forecast(
        pending=pending,
        workers=workers,
        costs=tuple(costs),
        # However many workers there are, a study takes as long as its longest trial.
        total_s=max(sum(seconds) / workers, max(seconds, default=0.0)),
        comparisons=comparisons,
        sd=known_sd,
        smallest=smallest,
        evaluations=tuple(evaluations),
        trained=sum(trial.id in study.trained for trial in pending),
        tuning=len(tuning_s),
        tuning_s=sum(tuning_s) / max(1, min(executor.machine.workers, len(tuning_s))),
        most_seeds=most_seeds,
        most_trials=len(pending) + len(added),
        most_s=sum(all_s) / max(1, min(executor.machine.workers, len(all_s))),
        busy_cores=busy_cores,
    )


def seeds_within(
    budget_s: float, study: PreparedStudy, executor: Executor, single: Forecast
) -> int:
    """Return how many seeds of every trial fit into a time; `study` has one seed.

    `single` is the forecast of `study`. Raises UserError where not one seed fits.
    """
    seconds = _trial_seconds(single.pending, single.costs, single.evaluations, study.trained)
    if not sum(seconds):
        return 1
    if budget_s < single.total_s + single.tuning_s:
        tuning = "the tuning and " if single.tuning else ""
        raise UserError(
            f"--budget {about(budget_s)}: {tuning}one seed of the {len(single.pending)} trials "
            f"takes about {about(single.total_s + single.tuning_s)}"
            + (f" ({single.load_text})" if single.load_text else ""),
            "give more time, fewer --tricks or fewer --epochs",
        )
    seeds = int((budget_s - single.tuning_s) * executor.machine.workers // sum(seconds))
    return min(max(1, seeds), MAX_SEEDS)


def _costs(pending: Sequence[Trial], dataset: Dataset) -> list[CostGroup]:
    """Return the variants of trials by what a run costs, network by network."""
    recipes: dict[str, dict[str, Recipe]] = {}
    labels: dict[tuple[str, str], list[str]] = {}
    for trial in pending:
        recipe = _without_costless(trial.recipe)
        recipes.setdefault(trial.model, {}).setdefault(recipe.id, recipe)
        labels.setdefault((trial.model, recipe.id), []).append(trial.label)
    chosen = {model: _chosen(groups) for model, groups in recipes.items()}
    # A study of many costs is timed more coarsely, in the same time.
    limit_s = min(_LIMIT_S, _TOTAL_LIMIT_S / max(1, sum(map(len, chosen.values()))))
    costs = []
    for model, groups in recipes.items():
        run_s = {name: _run_seconds(groups[name], dataset, limit_s) for name in chosen[model]}
        costs += [
            CostGroup(
                model=model,
                labels=tuple(dict.fromkeys(labels[model, name])),
                run_s=run_s.get(name, max(run_s.values())),
                epochs=recipe.training.epochs,
                timed=name in run_s,
            )
            for name, recipe in groups.items()
        ]
    return costs


def _without_costless(recipe: Recipe) -> Recipe:
    """Return the recipe with its costly tricks alone; its `id` is equal for runs of equal cost."""
    tricks = tuple(
        trick for trick in recipe.tricks if any(trick.overrides(hook) for hook in _HOOKS_WITH_COST)
    )
    return recipe.replace(tricks=tricks)


def _chosen(recipes: Mapping[str, Recipe]) -> list[str]:
    """Return the ids of the recipes that are timed.

    They are all, or of many the first, the last, the first with each trick, and the next ones.
    """
    names = list(recipes)
    first_with: dict[str, str] = {}
    for name, recipe in recipes.items():
        for trick in recipe.trick_names:
            first_with.setdefault(trick, name)
    order = dict.fromkeys((names[0], names[-1], *first_with.values(), *names))
    return list(order)[:_MOST_TIMED]


def _run_seconds(recipe: Recipe, dataset: Dataset, limit_s: float) -> float:
    from trickbag.train.pilot import run_seconds

    try:
        return run_seconds(recipe, dataset, limit_s)
    except DoesNotApply:
        return 0.0  # a trial finds that out at once, and the study states it


def _evaluation_costs(pending: Sequence[Trial], study: PreparedStudy) -> list[EvaluationCost]:
    """Time the evaluations of a study, once on each network of its trials."""
    if not study.plan.evaluations:
        return []
    from trickbag.evaluate.pilot import evaluation_seconds

    recipes: dict[str, Recipe] = {}
    for trial in pending:
        recipes.setdefault(trial.model, trial.recipe)
    costs = []
    for model, recipe in recipes.items():
        for name, settings in study.plan.evaluations.items():
            try:
                seconds = evaluation_seconds(recipe, study.dataset, name, settings)
            except DoesNotApply:
                seconds = 0.0  # a trial finds that out at once, and the study states it
            costs.append(EvaluationCost(model=model, evaluation=name, seconds=seconds))
    return costs


def _trial_seconds(
    pending: Sequence[Trial],
    costs: Sequence[CostGroup],
    evaluations: Sequence[EvaluationCost],
    trained: Collection[str],
) -> list[float]:
    run_s, evaluation_s = _seconds_by_cell(costs), _evaluation_seconds(evaluations)
    return [
        (0.0 if trial.id in trained else run_s[trial.model, trial.label])
        + evaluation_s.get(trial.model, 0.0)
        for trial in pending
    ]


def _tuning_seconds(study: PreparedStudy, costs: Sequence[CostGroup]) -> Iterator[float]:
    """Yield the seconds of each tuning trial to be run, counted as a trial of its arm.

    It has the images of all folds but one.
    """
    if study.tuning is None or study.tuning.finished:
        return
    tuning = study.tuning.record.tuning
    share = (tuning.folds - 1) / tuning.folds
    open_trials = {trial.id for trial in study.tuning.progress.pending(study.plan.retries)}
    run_s = _seconds_by_cell(costs)
    for arm in study.tuning.record.arms:
        trials = {trial for point in arm.points for trial in point.trials.values()}
        # Arms that are the same run share their trials.
        for _ in trials & open_trials:
            yield share * run_s.get((arm.model, arm.label), max(run_s.values(), default=0.0))
        open_trials -= trials


def _added_seconds(
    study: PreparedStudy, costs: Sequence[CostGroup], evaluations: Sequence[EvaluationCost]
) -> Iterator[float]:
    """Yield the seconds of each trial that further looks may add."""
    run_s = _seconds_by_cell(costs)
    evaluated_s = _evaluation_seconds(evaluations)
    trial_plan, plan = study.progress.trial_plan, study.plan
    seeds = (plan.max_seeds or 0) - plan.number_of_seeds
    last = plan.number_of_seeds - 1
    # Variants that are the same run share a trial, and those that are stopped have none.
    cells = {ids[last]: cell for cell, ids in reversed([*trial_plan.ids.items()]) if last in ids}
    for cell in cells.values():
        seconds = run_s.get(cell, max(run_s.values(), default=0.0)) + evaluated_s.get(cell[0], 0.0)
        yield from (seconds for _ in range(seeds))


def _seconds_by_cell(costs: Sequence[CostGroup]) -> dict[tuple[str, str], float]:
    return {(cost.model, label): cost.run_s for cost in costs for label in cost.labels}


def _evaluation_seconds(evaluations: Sequence[EvaluationCost]) -> dict[str, float]:
    """Return the seconds of all evaluations of a trial, by network."""
    seconds: dict[str, float] = {}
    for cost in evaluations:
        seconds[cost.model] = seconds.get(cost.model, 0.0) + cost.seconds
    return seconds
