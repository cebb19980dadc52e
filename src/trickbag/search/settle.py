"""What a search is on its data and in its folder: the epochs and the number of its trials."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.labels import label_counts
from trickbag.durations import about
from trickbag.errors import UserError
from trickbag.search.budget import trials_within
from trickbag.search.record import MAX_TRIALS, Pilot, SearchRecord
from trickbag.study.machine_settings import settled_on_machine
from trickbag.study.prepare import stop_before_trials
from trickbag.study.result_lines import read_results
from trickbag.study.run_length import require_whole_runs

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.budget import Budget
    from trickbag.search.folder import SearchFolder
    from trickbag.search.log import SearchLog
    from trickbag.search.objective import Objective
    from trickbag.search.search import Search
    from trickbag.study.executors import Executor
    from trickbag.study.records.result import StoredResult
    from trickbag.train.folder.caller import Caller
    from trickbag.train.machine.signals import StopSignal

__all__ = ["SettledSearch", "measured_pilot", "settled_search"]


@dataclass(frozen=True, kw_only=True)
class SettledSearch:
    """A search with its data, the record of its folder, and the results so far.

    `trial_s` is what the trial of a suggestion is thought to take, in seconds.
    """

    objective: Objective[Any]
    record: SearchRecord
    dataset: Dataset
    trial_s: float
    kept: tuple[StoredResult, ...]
    torn: bool


def settled_search(
    search: Search,
    folder: SearchFolder,
    executor: Executor,
    budget: Budget,
    *,
    log: SearchLog,
    caller: Caller,
    stop: StopSignal | None = None,
) -> SettledSearch:
    """Read the data and what the folder holds of a search; nothing is written.

    A new search with a time is measured by a pilot. `budget` learns what earlier calls took. Raises
    UserError where the folder holds another search, for data that are too few for the folds, and
    for a time that is too short for one trial.
    """
    from trickbag.data.dataset import prepare

    def checking(done: int, total: int) -> None:
        if stop is not None:
            stop_before_trials(stop, caller)
        log.checking(done, total)

    # Before the data, which may take minutes to check: a damaged file is reported at once.
    stored = folder.read_search()
    kept, torn = read_results(folder.results)
    if torn is not None:
        log.note(torn)
    recipe = settled_on_machine(
        search.recipe,
        executor.machine,
        threads=stored.threads if stored else None,
        device=stored.device if stored else None,
    )
    dataset = prepare(search.trial_recipe(recipe, 1).data, progress=checking)
    _require_folds(dataset, search)
    if stored is not None:
        budget.before_s = stored.spent_s
    if stored is None:
        _require_applicable(search, recipe, dataset)
    epochs, pilot, planned = _size(search, recipe, dataset, executor, budget, stored)
    record = SearchRecord(
        version=_version(),
        command="",
        search=search.kind,
        recipe=recipe.to_dict(),
        settings=search.settings(),
        seed=search.seed,
        folds=search.folds,
        epochs=epochs,
        data=dataset.fingerprint,
        threads=recipe.training.threads or executor.machine.threads,
        device=recipe.training.device,
        budget_s=search.budget_s,
        pilot=pilot,
        planned=planned,
        trials=_ended_at(search, stored),
        spent_s=budget.before_s,
        trial_s=stored.trial_s if stored else None,
    )
    if stored is not None:
        record.require_same(stored, folder.path, f"choose another {caller.out}")
    return SettledSearch(
        objective=search.objective(recipe, dataset, epochs),
        record=record,
        dataset=dataset,
        trial_s=next((s for s in (record.trial_s, pilot and pilot.trial_s) if s), 0.0),
        kept=tuple(kept),
        torn=torn is not None,
    )


def _ended_at(search: Search, stored: SearchRecord | None) -> int | None:
    """Return the number of trials of a search that has ended, unless it now gets more time.

    Without it the same call would try more where the last trials were faster than those before.
    """
    if stored is None or search.budget_s is None or stored.budget_s is None:
        return None
    return stored.trials if search.budget_s <= stored.budget_s else None


def _version() -> str:
    from trickbag import __version__

    return __version__


def _require_folds(dataset: Dataset, search: Search) -> None:
    """Raise UserError where a class has too few training images for each fold to have one."""
    labels = np.concatenate([dataset.train.labels, dataset.val.labels])
    if labels.ndim > 1:
        return
    counts = label_counts(labels, len(dataset.classes))
    count, name = min(zip(counts, dataset.classes, strict=True))
    if count < search.folds:
        images = "image" if count == 1 else "images"
        raise UserError(
            f"class {name!r} has {count} training {images}, too few for {search.folds} folds, of "
            "which each needs one",
            "take fewer folds (2 at least), or give more images" if count > 1 else "give more",
        )


def _require_applicable(search: Search, recipe: Recipe, dataset: Dataset) -> None:
    """Raise what the first trial would raise, such as DoesNotApply, before all of them fail."""
    from trickbag.train.plan.resolve import resolve

    objective = search.objective(recipe, dataset, 1)
    suggestion = objective.controller().suggest()[0]
    first = objective.trial(0, suggestion).recipe
    require_whole_runs([recipe, first])
    resolve(first, dataset, search.seed)


def _size(
    search: Search,
    recipe: Recipe,
    dataset: Dataset,
    executor: Executor,
    budget: Budget,
    stored: SearchRecord | None,
) -> tuple[int, Pilot | None, int]:
    """Return the epochs of a trial, what the pilot measured, and the number of suggestions."""
    epochs = search.epochs or (stored.epochs if stored else None)
    if search.budget_s is None:
        assert search.trials is not None
        return epochs or recipe.training.epochs, None, search.trials
    pilot = stored.pilot if stored else None
    if pilot is None or epochs is None:
        measured = search.objective(recipe, dataset, epochs or 1)
        pilot = measured_pilot(measured, executor)
        if epochs is None:
            epochs = _epochs(search, measured, pilot, budget.left_s, recipe)
            pilot = dataclasses.replace(
                pilot,
                preparation_s=pilot.preparation_s * epochs,
                trial_s=pilot.trial_s * (epochs if measured.trains else 1),
            )
    objective = search.objective(recipe, dataset, epochs)
    prepared_s = _prepared_s(objective, pilot.preparation_s, pilot.workers)
    needed = prepared_s + pilot.trial_s
    if stored is None and budget.left_s < needed:
        least = about(math.ceil(1.1 * (needed + budget.spent_s)))
        raise UserError(
            f"--budget {about(search.budget_s)} is too short for one trial, which takes about "
            f"{about(needed)} with what comes before it",
            f"give {least} at least, or fewer epochs, smaller images or a smaller network",
        )
    left_s = search.budget_s - prepared_s
    planned = max(1, min(trials_within(left_s, pilot.trial_s, pilot.workers), MAX_TRIALS))
    return epochs, pilot, min(planned, objective.most or planned)


def measured_pilot(objective: Objective[Any], executor: Executor) -> Pilot:
    """Measure what the trials of a search take, in this process."""
    preparation_s, trial_s = objective.seconds()
    workers = executor.machine.workers
    return Pilot(preparation_s=preparation_s, trial_s=trial_s, workers=workers)


def _prepared_s(objective: Objective[Any], preparation_s: float, workers: int) -> float:
    return math.ceil(len(objective.preparation) / workers) * preparation_s


def _epochs(
    search: Search, objective: Objective[Any], pilot: Pilot, left_s: float, recipe: Recipe
) -> int:
    """Return the epochs of a trial; `pilot` has the seconds of one epoch.

    They are the most with which the wanted number of suggestions fits, at most the recipe's.
    """
    wanted = min(search.wanted, objective.most or search.wanted)
    trials_s = math.ceil(wanted / pilot.workers) * pilot.trial_s
    per_epoch_s = _prepared_s(objective, pilot.preparation_s, pilot.workers)
    if objective.trains:
        fixed_s, per_epoch_s = 0.0, per_epoch_s + trials_s
    else:
        # A good network is worth as much as many suggestions: it gets half of the time at least.
        fixed_s = min(trials_s, left_s / 2)
    fit = int((left_s - fixed_s) / max(per_epoch_s, 1e-9))
    return max(1, min(fit, recipe.training.epochs))
