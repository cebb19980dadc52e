"""The search for an augmentation policy on the user's data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from trickbag.errors import UserError, choices
from trickbag.search.autoaugment.controllers import ControllerName
from trickbag.search.autoaugment.trials import PolicyTrials
from trickbag.search.search import Search

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.log import SearchLog
    from trickbag.search.objective import Objective
    from trickbag.search.search import SearchResult
    from trickbag.study.executors import Executor
    from trickbag.train.folder.caller import Caller

__all__ = ["AutoAugmentSearch"]

_WANTED = {"density": 200, "ppo": 40, "random": 40}
"""Suggestions for which the trials are made shorter: Lim et al. 2019 match 200 policies a fold; a
controller that trains networks learns nothing from a handful."""


@dataclass(frozen=True, kw_only=True)
class AutoAugmentSearch(Search):
    """Search for a policy of 5 sub-policies of 2 steps, and join the best ones.

    `controller` suggests the policies: `density` (Fast AutoAugment: networks of the folds are
    trained once, and match the densities of images with and without a policy), `ppo` (AutoAugment:
    each policy trains a network, whose score teaches a recurrent controller), or `random` (each
    policy trains a network; the control of the others). A policy that the recipe has is left out of
    the trials. Sources: Cubuk et al. 2018, arXiv 1805.09501; Lim et al. 2019, arXiv 1905.00397.
    """

    kind: ClassVar[Literal["autoaugment", "scaling"]] = "autoaugment"

    controller: ControllerName = "density"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.controller not in get_args(ControllerName):
            raise UserError(
                f"controller = {self.controller!r}: must be one of "
                f"{choices(get_args(ControllerName))}"
            )

    @property
    def wanted(self) -> int:
        """The number of suggestions for which trials are made shorter, where time is short."""
        return _WANTED[self.controller] * (self.folds if self.controller == "density" else 1)

    def arms(
        self, result: SearchResult, executor: Executor, *, log: SearchLog, caller: Caller
    ) -> tuple[Recipe, ...]:
        """Return no policy, the published one, the one that was found, and that of random search.

        The random search takes as long as this one took.
        """
        from trickbag.search.autoaugment.comparison import policy_arms

        return policy_arms(self, result, executor, log=log, caller=caller)

    def settings(self) -> dict[str, Any]:
        """Return what else the trials follow from."""
        return {"controller": self.controller, "space": "autoaugment"}

    def objective(self, recipe: Recipe, dataset: Dataset, epochs: int) -> Objective[Any]:
        """Return how policies are judged by trials of a recipe."""
        from trickbag.search.autoaugment.objectives import DensityObjective, TrainedObjective

        density = self.controller == "density"
        trials = PolicyTrials(
            recipes={
                fold: self.trial_recipe(recipe, epochs, fold)
                for fold in range(self.folds if density else 1)
            },
            seed=self.seed,
            fingerprint=dataset.fingerprint,
        )
        found_by = {
            "controller": self.controller,
            "recipe": recipe.name,
            "network": recipe.network,
            "epochs": epochs,
            "folds": self.folds,
            "seed": self.seed,
            "data": dataset.fingerprint,
        }
        objective = DensityObjective if density else TrainedObjective
        return objective(trials=trials, dataset=dataset, name=self.controller, found_by=found_by)
