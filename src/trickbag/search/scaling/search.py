"""The search for the constants of compound scaling on the user's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.models.config import OwnConfig
from trickbag.search.objective import Objective, ranked
from trickbag.search.scaling.grid import grid_of, grids
from trickbag.search.search import Search

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.log import SearchLog
    from trickbag.search.scaling.grid import Grid, ScalingPoint
    from trickbag.search.search import SearchResult
    from trickbag.study.executors import Executor
    from trickbag.train.folder.caller import Caller

__all__ = ["BATCH", "GridController", "ScalingSearch"]

BATCH = 4
"""The points that are suggested at a time: as many can be tried at once."""


@dataclass
class GridController:
    """Suggests the points of a grid, one after the other, whatever the rewards were."""

    grid: Grid
    batch: int = BATCH
    _next: int = field(default=0, init=False)

    def suggest(self) -> list[ScalingPoint]:
        """Return the next points; fewer than a batch at the end of the grid."""
        return list(self.grid.points[self._next : self._next + self.batch])

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Go on to the next points."""
        self._next += self.batch


@dataclass(frozen=True, kw_only=True)
class ScalingSearch(Search):
    """Search for alpha, beta and gamma of compound scaling, with the network of the recipe.

    Each point of a grid on which alpha beta^2 gamma^2 is between 1.9 and 2.1 is a trial at phi = 1.
    The order of the points spreads, so that a search of any length has seen all corners: six trials
    are the least. Source: Tan & Le 2019, arXiv 1905.11946, section 3.3. Raises UserError for a
    network that is not this package's own, and for fewer trials than the coarsest grid has points.
    """

    kind: ClassVar[Literal["autoaugment", "scaling"]] = "scaling"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.recipe.model, OwnConfig):
            raise UserError(
                f"{self.recipe.network} has the depth and width of its name, and cannot be scaled",
                "name a network of this package with --model, such as resnet18 or mobilenet_v1",
            )
        if self.trials is not None:
            grid_of(self.trials)

    @property
    def wanted(self) -> int:
        """The number of suggestions for which trials are made shorter, where time is short."""
        return len(grids()[1].points)

    def arms(
        self, result: SearchResult, executor: Executor, *, log: SearchLog, caller: Caller
    ) -> tuple[Recipe, ...]:
        """Return compound scaling with the best constants at phi = 1, then one dimension alone.

        All have about the same multiply-adds. Source: Tan & Le 2019, section 5.3.
        """
        from trickbag.search.scaling.alternatives import alternatives
        from trickbag.search.scaling.family import Base

        base = Base.of(self.recipe, result.dataset)
        best: ScalingPoint = ranked(result.candidates)[0].suggestion
        ways = alternatives(base, best.constants, 1)
        for way in ways:
            log.note(f"{way.label}: {way.macs:,} multiply-adds ({way.difference:+.1f} %)")
        return tuple(way.recipe for way in ways)

    def settings(self) -> dict[str, Any]:
        """Return what else the trials follow from."""
        return {"phi": 1}

    def objective(self, recipe: Recipe, dataset: Dataset, epochs: int) -> Objective[Any]:
        """Return how the points are judged by trials of a recipe."""
        from trickbag.search.scaling.objective import ScalingObjective

        return ScalingObjective(
            recipe=self.trial_recipe(recipe, epochs), dataset=dataset, seed=self.seed
        )
