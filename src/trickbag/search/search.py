"""Searches: what is looked for, in a time or a number of trials, and the call that runs it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.paths import file_name, given_path
from trickbag.recipe import digest
from trickbag.search.budget import Budget
from trickbag.search.driver import SearchDriver
from trickbag.search.folder import SearchFolder
from trickbag.search.log import choose_search_log
from trickbag.search.settle import measured_pilot, settled_search
from trickbag.study.limits import require_within
from trickbag.train.folder.caller import PYTHON
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.log import SearchLog
    from trickbag.search.objective import Objective, SearchCandidate
    from trickbag.search.record import SearchRecord
    from trickbag.study.executors import Executor
    from trickbag.train.folder.caller import Caller

__all__ = ["Search", "SearchResult"]


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found: its folder and record, all candidates, and the lines that say it.

    `dataset` are the data of its trials, of the first fold.
    """

    folder: SearchFolder
    record: SearchRecord
    dataset: Dataset
    candidates: Sequence[SearchCandidate[Any]]
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """A search on the training part of the user's data; the base of the kinds of search.

    Its trials are trained by `recipe` for `epochs` (None: as many as the time allows, at most the
    recipe's), on the training images without one of `folds` inner folds, and judged on that fold:
    the validation and test parts are not seen. It ends after `trials` suggestions, or at the end of
    `budget_s` seconds; one of them is given. `retries` says how many times a trial that failed is
    tried again. The trials depend on the settings and the seed alone: with the number of trials at
    which a search ended it is repeated on any executor. Raises UserError for values that cannot be.
    """

    kind: ClassVar[Literal["autoaugment", "scaling"]]

    recipe: Recipe
    trials: int | None = None
    budget_s: float | None = None
    folds: int = 5
    epochs: int | None = None
    seed: int = 0
    retries: int = 2

    def __post_init__(self) -> None:
        if (self.trials is None) == (self.budget_s is None):
            raise UserError(
                "a search ends after a number of trials or after a time: give one of trials and "
                "budget"
            )
        if self.trials is not None and self.trials < 1:
            raise UserError(f"trials = {self.trials}: must be at least 1")
        if not 2 <= self.folds <= 100:
            raise UserError(f"folds = {self.folds}: must be from 2 to 100")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs = {self.epochs}: must be at least 1")
        require_within(retries=self.retries)
        if (task := self.recipe.task.kind) != "classification":
            raise UserError(
                f"a search trains classifiers, and the recipe {self.recipe.name} is one of {task}",
                "name a recipe of classification",
            )

    @property
    @abstractmethod
    def wanted(self) -> int:
        """The number of suggestions for which trials are made shorter, where time is short."""

    @abstractmethod
    def arms(
        self, result: SearchResult, executor: Executor, *, log: SearchLog, caller: Caller
    ) -> tuple[Recipe, ...]:
        """Return the recipes with which what was found is compared, and that of it.

        Runs what the comparison needs before it. The first recipe is what the others are compared
        with.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what else the trials follow from, as plain data."""

    @abstractmethod
    def objective(self, recipe: Recipe, dataset: Dataset, epochs: int) -> Objective[Any]:
        """Return what is searched, in trials of a settled recipe and so many epochs.

        `dataset` are the data of the first inner fold.
        """

    def trial_recipe(self, recipe: Recipe, epochs: int, fold: int = 0) -> Recipe:
        """Return the recipe of trials that are judged on an inner fold."""
        data = dataclasses.replace(recipe.data, inner_folds=self.folds, inner_fold=fold)
        training = dataclasses.replace(recipe.training, epochs=epochs, keep="last")
        return recipe.replace(data=data, training=training)

    def default_folder(self) -> Path:
        """Return the folder of a search that names none; the same for the same search."""
        identity = {
            "recipe": self.recipe.identity(),
            "settings": self.settings(),
            "seed": self.seed,
            "folds": self.folds,
            "source": self.recipe.data.source,
        }
        source = Path(self.recipe.data.source).stem or "data"
        name = file_name(f"search-{self.kind}-{self.recipe.name}-{source}")
        return Path("runs") / f"{name}-{digest(identity)[:8]}"

    def dry_run(
        self,
        executor: Executor,
        out: str | Path | None = None,
        *,
        log: SearchLog | None = None,
        caller: Caller = PYTHON,
    ) -> list[str]:
        """Return the lines that say what would be tried and what it takes; nothing is written.

        Raises UserError as `run` does.
        """
        from trickbag.search.dry_run import dry_run_lines

        log = log or choose_search_log()
        folder = SearchFolder(
            given_path(out, caller.out) if out is not None else self.default_folder()
        )
        try:
            settled = settled_search(
                self, folder, executor, Budget(self.budget_s), log=log, caller=caller
            )
            pilot = settled.record.pilot or measured_pilot(settled.objective, executor)
        finally:
            log.stop()
        return dry_run_lines(settled, pilot)

    def run(
        self,
        executor: Executor | None = None,
        out: str | Path | None = None,
        *,
        log: SearchLog | None = None,
        command: str = "",
        caller: Caller = PYTHON,
    ) -> SearchResult:
        """Run the trials that the folder `out` lacks, and return what the search found.

        The same call goes on where another was stopped or killed; with more trials or more time it
        goes on where one ended. `out` is by default a folder under `runs`, `executor` `Inline()`.
        The best so far is in the folder at any time.

        Raises UserError for a folder of another search or in use by another driver, and for a time
        in which not one trial can be run; Stopped after SIGTERM or SIGINT.
        """
        if executor is None:
            from trickbag.study.executors.inline import Inline

            executor = Inline()
        log = log or choose_search_log()
        budget = Budget(self.budget_s)
        folder = SearchFolder(
            given_path(out, caller.out) if out is not None else self.default_folder()
        )
        try:
            with StopSignal() as stop, folder.locked(caller) as note:
                if note is not None:
                    log.note(f"note: {note.text}")
                settled = settled_search(
                    self, folder, executor, budget, log=log, caller=caller, stop=stop
                )
                record = dataclasses.replace(settled.record, command=command)
                folder.write_search(record)
                driver = SearchDriver(
                    objective=settled.objective,
                    record=record,
                    folder=folder,
                    executor=executor,
                    budget=budget,
                    dataset=settled.dataset if settled.objective.same_data else None,
                    kept=settled.kept,
                    torn=settled.torn,
                    retries=self.retries,
                    log=log,
                    caller=caller,
                    stop=stop,
                    trial_s=settled.trial_s,
                )
                candidates = driver.run()
        finally:
            log.stop()
        return SearchResult(
            folder=folder,
            record=driver.record,
            dataset=settled.dataset,
            candidates=candidates,
            lines=settled.objective.summary(candidates),
        )
