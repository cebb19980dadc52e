"""What a policy is worth: the score of a network trained with it, or a density match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.data.policies.policy_file import PolicyFile
from trickbag.search.autoaugment.controllers import create
from trickbag.search.autoaugment.space import joined
from trickbag.search.autoaugment.trials import (
    JOINED,
    PolicyTrials,
    Suggested,
    best_of_folds,
    without_policy,
)
from trickbag.search.objective import Objective
from trickbag.search.trials import score_of
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.search.autoaugment.controllers import ControllerName
    from trickbag.search.autoaugment.space import Policy
    from trickbag.search.controller import Controller
    from trickbag.search.folder import SearchFolder
    from trickbag.search.objective import SearchCandidate
    from trickbag.study.executors import Task
    from trickbag.study.records.result import StoredResult
    from trickbag.study.trial import Trial

__all__ = ["BATCH", "MOST_IMAGES", "DensityObjective", "TrainedObjective"]

MOST_IMAGES = 500
"""The images of a fold that judge a policy. They are the same for all policies, so that differences
between policies need few: more of them would leave time for few policies."""

BATCH = 8
"""The policies that are suggested at a time, of each fold: as many can be tried at once."""


class PolicyController:
    """A controller of policies for each fold; a batch has those of all folds in turn."""

    def __init__(self, name: ControllerName, folds: int, seed: int) -> None:
        self._controllers: list[Controller[Policy]] = [
            create(name, seed=seed_of(seed, f"search fold {fold}"), batch=BATCH)
            for fold in range(folds)
        ]

    @property
    def batch(self) -> int:
        """The number of suggestions at a time."""
        return BATCH * len(self._controllers)

    def suggest(self) -> list[Suggested]:
        """Return the next suggestions, those of each fold together."""
        return [
            Suggested(policy, fold)
            for fold, controller in enumerate(self._controllers)
            for policy in controller.suggest()
        ]

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Tell each controller the rewards of its fold."""
        for place, controller in enumerate(self._controllers):
            controller.tell(rewards[place * BATCH : (place + 1) * BATCH])


@dataclass
class _PolicyObjective(Objective[Suggested]):
    """What both ways to judge a policy share.

    `trials` makes the trials, `dataset` are the data of the first fold, `found_by` are the facts
    that a policy file states.
    """

    trials: PolicyTrials
    dataset: Dataset
    name: ControllerName
    found_by: Mapping[str, Any]

    @property
    def folds(self) -> int:
        """The folds that judge policies."""
        return len(self.trials.recipes)

    def controller(self) -> PolicyController:
        """Return the controller of a new search."""
        return PolicyController(self.name, self.folds, self.trials.seed)

    def describe(self, suggestion: Suggested) -> dict[str, Any]:
        """Return the policy and the fold."""
        table = [[list(step) for step in row] for row in suggestion.policy]
        return {"policy": table, "fold": suggestion.fold}

    def write_best(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[Suggested]]
    ) -> None:
        """Write the best policies, joined, as a policy file."""
        best = best_of_folds(candidates, self.folds)
        facts = {
            **self.found_by,
            "policies": len(candidates),
            "joined": [
                {"policy": c.number + 1, "fold": c.suggestion.fold, self.reward: c.reward}
                for c in best
            ],
        }
        table = joined(candidate.suggestion.policy for candidate in best)
        PolicyFile(table=table, found_by=facts).write(folder.policy)

    def summary(self, candidates: Sequence[SearchCandidate[Suggested]]) -> list[str]:
        """Say which policies were joined, and what they reached."""
        best = best_of_folds(candidates, self.folds)
        rows = ", ".join(f"{c.trial.label} ({self.reward} {c.reward:.4g})" for c in best)
        lines = [f"the best of {len(candidates)} policies, joined: {rows}"]
        if len(best) < JOINED:
            lines.append(f"note: only {len(best)} policies were tried, so that fewer are joined")
        return lines


@dataclass
class TrainedObjective(_PolicyObjective):
    """A policy is worth the score, on the held-back fold, of a network that is trained with it.

    Source: Cubuk et al. 2018, arXiv 1805.09501, section 3.
    """

    def __post_init__(self) -> None:
        self.reward = score_of(self.trials.recipes[0])

    def trial(self, number: int, suggestion: Suggested) -> Trial:
        """Return the training with the policy."""
        return self.trials.with_policy(number, suggestion)

    def reward_of(self, result: StoredResult) -> float | None:
        """Return the score of the last epoch."""
        return result.metrics.get(self.reward)

    def seconds(self) -> tuple[float, float]:
        """Train a little with a policy."""
        from trickbag.train.pilot import run_seconds

        suggestion = self.controller().suggest()[0]
        return 0.0, run_seconds(self.trial(0, suggestion).recipe, self.dataset)


@dataclass
class DensityObjective(_PolicyObjective):
    """A policy is worth what a network that was trained without it makes of its images.

    The networks of the folds are trained first, each without its own fold, and never again. Source:
    Lim et al. 2019, arXiv 1905.00397, algorithm 1.
    """

    trains = False
    same_data = False

    def __post_init__(self) -> None:
        self.reward = "minus_density_loss"
        self.preparation = tuple(
            self.trials.of(without_policy(recipe), f"the network of fold {fold}")
            for fold, recipe in self.trials.recipes.items()
        )

    def trial(self, number: int, suggestion: Suggested) -> Trial:
        """Return the evaluation of the policy by the network of its fold."""
        network = self.preparation[suggestion.fold]
        return self.trials.with_policy(
            number, suggestion, density_of=network.id, images=MOST_IMAGES
        )

    def task(self, folder: Path, dataset: Dataset | None) -> Task:
        """Return what matches the densities."""
        from trickbag.search.autoaugment.density_trial import DensityTrial

        return DensityTrial(
            folder=folder,
            most=MOST_IMAGES,
            networks={
                recipe.data.inner_fold: trial.id
                for recipe, trial in zip(
                    self.trials.recipes.values(), self.preparation, strict=True
                )
            },
        )

    def reward_of(self, result: StoredResult) -> float | None:
        """Return the loss of the density match, with its sign changed."""
        loss = result.metrics.get("density_loss")
        return None if loss is None else -loss

    def seconds(self) -> tuple[float, float]:
        """Train a little without a policy, and match a few images."""
        from trickbag.search.autoaugment.pilot import density_seconds
        from trickbag.train.pilot import run_seconds

        suggestion = self.controller().suggest()[0]
        preparation_s = run_seconds(self.preparation[0].recipe, self.dataset)
        return preparation_s, density_seconds(self.trial(0, suggestion), self.dataset, MOST_IMAGES)
