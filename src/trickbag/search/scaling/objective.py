"""What constants of compound scaling are worth: the score of the network that they give."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trickbag.files import write_json
from trickbag.recipe import digest
from trickbag.search.objective import Objective, ranked
from trickbag.search.scaling.family import Base, family
from trickbag.search.scaling.grid import grids
from trickbag.search.scaling.search import GridController
from trickbag.search.trials import score_of
from trickbag.settings import plain
from trickbag.study.trial import Trial
from trickbag.train.folder.identity import trial_of
from trickbag.tricks.compound_scaling import CompoundScaling

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.folder import SearchFolder
    from trickbag.search.objective import SearchCandidate
    from trickbag.search.scaling.grid import ScalingPoint
    from trickbag.search.scaling.member import Member
    from trickbag.study.records.result import StoredResult

__all__ = ["ScalingObjective"]


PHIS = (0, 1, 2, 3)
"""The exponents of the family that a search states; 0 is the network as it is."""

_BATCH_SIZE = 8
"""The images of a batch with which the speed of the family is measured."""


class ScalingObjective(Objective["ScalingPoint"]):
    """A point is worth the score, on the held-back fold, of the network scaled by it at phi = 1.

    Points that give the same network on images of the same size are one trial. Source: Tan & Le
    2019, arXiv 1905.11946, section 3.3.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, seed: int) -> None:
        self.base, self.dataset, self.seed = Base.of(recipe, dataset), dataset, seed
        self.reward = score_of(recipe)
        self.grid = grids()[-1].distinct(self.base.key)
        self._members = functools.lru_cache(maxsize=4)(self._counted_members)

    @property
    def most(self) -> int:
        """The number of points of the finest grid."""
        return len(self.grid.points)

    def controller(self) -> GridController:
        """Return what goes through the grid."""
        return GridController(self.grid)

    def trial(self, number: int, suggestion: ScalingPoint) -> Trial:
        """Return the training of the scaled network."""
        trick = CompoundScaling(phi=1, **suggestion.constants)
        recipe = self.base.recipe_at(self.base.recipe.name, trick)
        constants = ", ".join(f"{name} {value:g}" for name, value in suggestion.constants.items())
        return Trial(
            id=digest(trial_of(recipe, self.seed, self.dataset.fingerprint)),
            label=constants,
            model=recipe.network,
            recipe=recipe,
            seed=self.seed,
        )

    def reward_of(self, result: StoredResult) -> float | None:
        """Return the score of the last epoch."""
        return result.metrics.get(self.reward)

    def describe(self, suggestion: ScalingPoint) -> dict[str, Any]:
        """Return the constants, their product, and the network that they give."""
        network = self.base.scaled(suggestion.factors(1))
        return {
            **suggestion.constants,
            "product": suggestion.work,
            "image_size": plain(network.image_size),
            "params": network.params,
            "macs": network.macs,
        }

    def seconds(self) -> tuple[float, float]:
        """Train a little at the point that scales the size of images alone: the slowest kind."""
        from trickbag.train.pilot import run_seconds

        slowest = max(self.grid.points, key=lambda point: point.gamma)
        return 0.0, run_seconds(self.trial(0, slowest).recipe, self.dataset)

    def write_best(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[ScalingPoint]]
    ) -> None:
        """Write the best constants, and the family that they give."""
        best = ranked(candidates)[0]
        self._write(folder, best, len(candidates), self._members(best.suggestion))

    def finish(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[ScalingPoint]]
    ) -> None:
        """Write the family once more, with the images/s of prediction."""
        best = ranked(candidates)[0]
        members = family(self.base, best.suggestion.constants, PHIS, batch_size=_BATCH_SIZE)
        self._write(folder, best, len(candidates), members)

    def _write(
        self,
        folder: SearchFolder,
        best: SearchCandidate[ScalingPoint],
        points: int,
        members: Sequence[Member],
    ) -> None:
        write_json(
            folder.scaling,
            {
                "schema": 1,
                "network": self.base.recipe.network,
                "best": {**best.suggestion.constants, self.reward: best.reward},
                "points": points,
                "family": [member.to_dict() for member in members],
            },
        )

    def _work(self, point: ScalingPoint) -> float:
        """Return the multiply-adds at a point as a multiple of those of the network as it is."""
        return self.base.scaled(point.factors(1)).macs / self.base.network.macs

    def _counted_members(self, point: ScalingPoint) -> list[Member]:
        return family(self.base, point.constants, PHIS)

    def summary(self, candidates: Sequence[SearchCandidate[ScalingPoint]]) -> list[str]:
        """Say which point is the best, and which came next."""
        best, *others = ranked(candidates)
        lines = [
            f"the best of {len(candidates)} points: {best.trial.label} "
            f"({self.reward} {best.reward:.4g})"
        ]
        if others:
            rows = "; ".join(f"{c.trial.label} ({c.reward:.4g})" for c in others[:3])
            lines.append(f"next: {rows}")
        works = [self._work(candidate.suggestion) for candidate in candidates]
        lines.append(
            f"its work is {self._work(best.suggestion):.2f} times that of the network as it is; "
            f"the points have from {min(works):.2f} to {max(works):.2f} times, as blocks, channels "
            "and pixels are whole"
        )
        same = len(self.grid.same)
        if same:
            lines.append(
                f"note: {same} points of the grid give the network and image size of another, and "
                "are left out"
            )
        return [*lines, *(f"note: {note.text}" for note in self.base.notes)]
