"""The grids of compound scaling: which constants a search tries, and in which order.

Source: Tan & Le 2019 (arXiv 1905.11946), section 3.3, equation 3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.models.scaling import compound

if TYPE_CHECKING:
    from trickbag.models.scaling import Factors

__all__ = ["Grid", "ScalingPoint", "grid_of", "grids"]

_ONE = 100
_LEAST, _MOST = 19 * 10**9, 21 * 10**9
"""1.9 and 2.1 as products of five hundredths."""

_STEPS = ((20, 20, 20), (20, 10, 10), (20, 5, 5), (10, 5, 5), (5, 5, 5))
"""The steps of alpha, beta and gamma in hundredths, from the coarsest grid to the finest.

Each divides those of the grid before, so that the points of a coarser grid are in all finer ones.
(1.2, 1.1, 1.15), the paper's, is in the last three. In the work, beta and gamma are squared, so
that half of alpha's step is the step that fits them.
"""


@dataclass(frozen=True, order=True)
class ScalingPoint:
    """The constants of compound scaling, in hundredths: (120, 110, 115) is the paper's point."""

    alpha: int
    beta: int
    gamma: int

    @property
    def constants(self) -> dict[str, float]:
        """The constants by name, as `compound` and the trick compound_scaling take them."""
        return {name: value / _ONE for name, value in vars(self).items()}

    @property
    def work(self) -> float:
        """The product alpha beta^2 gamma^2: about the factor of the work at phi = 1."""
        return self._product / _ONE**5

    @property
    def allowed(self) -> bool:
        """Whether all constants are at least 1, and their product is between 1.9 and 2.1."""
        return min(self.alpha, self.beta, self.gamma) >= _ONE and _LEAST <= self._product <= _MOST

    def factors(self, phi: float) -> Factors:
        """Return the factors of depth, width and size."""
        return compound(phi, **self.constants)

    def distance(self, other: ScalingPoint) -> int:
        """Return the squared distance of two points, those of width and size counted twice."""
        depth, width, size = (
            self.alpha - other.alpha,
            self.beta - other.beta,
            self.gamma - other.gamma,
        )
        return depth * depth + 4 * width * width + 4 * size * size

    @property
    def _product(self) -> int:
        return self.alpha * self.beta**2 * self.gamma**2


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The points of a grid, in the order in which a search tries them.

    `steps` are those of alpha, beta and gamma, in hundredths. `same` are points that are left out,
    as their network and image size are those of another: left out -> the one that stands for it.
    """

    steps: tuple[int, int, int]
    points: tuple[ScalingPoint, ...]
    same: Mapping[ScalingPoint, ScalingPoint] = field(default_factory=lambda: MappingProxyType({}))

    def distinct(self, key: Callable[[ScalingPoint], Hashable]) -> Grid:
        """Return the grid with one point of those that have the same key: the first of them."""
        first: dict[Hashable, ScalingPoint] = {}
        same: dict[ScalingPoint, ScalingPoint] = {}
        for point in self.points:
            kept = first.setdefault(key(point), point)
            if kept != point:
                same[point] = kept
        return Grid(steps=self.steps, points=tuple(first.values()), same=MappingProxyType(same))


@functools.cache
def grids() -> tuple[Grid, ...]:
    """Return the grids, from the coarsest, of 6 points, to the finest, of 111.

    The points of a grid are those of the coarser one in its order, and then always the point that
    is farthest from all before. So the first three scale depth, width and size alone, a search that
    ends early has seen all corners, and a longer one tries the points of a shorter one first.
    """
    ordered: list[ScalingPoint] = []
    result = []
    for steps in _STEPS:
        ordered = _spread(_points(steps), ordered)
        result.append(Grid(steps=steps, points=tuple(ordered)))
    return tuple(result)


def grid_of(trials: int, key: Callable[[ScalingPoint], Hashable] | None = None) -> Grid:
    """Return the finest grid with at most `trials` points.

    Of points with the same `key`, such as `Base.key`, one is counted and stays. Raises UserError if
    the coarsest grid has more points, naming the number that is enough.
    """
    fitting = (grid.distinct(key) if key else grid for grid in reversed(grids()))
    for grid in fitting:
        if len(grid.points) <= trials:
            return grid
    raise UserError(
        f"{trials} trials are too few: the coarsest grid of alpha, beta and gamma has "
        f"{len(grid.points)} points",
        f"allow at least {len(grid.points)}",
    )


def _points(steps: tuple[int, int, int]) -> list[ScalingPoint]:
    """Return the points of a grid, the smallest first."""
    # Of what is at least 1 none can be above 2.1, the product.
    alphas, betas, gammas = (range(_ONE, 211, step) for step in steps)
    points = (ScalingPoint(a, b, c) for a in alphas for b in betas for c in gammas)
    return [point for point in points if point.allowed]


def _spread(points: Iterable[ScalingPoint], before: Iterable[ScalingPoint]) -> list[ScalingPoint]:
    """Return the points in order: those before, then always the farthest from all so far."""
    ordered = list(before)
    # Sorted from the largest: of equally far points the first stays.
    left = sorted(set(points) - set(ordered), reverse=True)
    if not ordered and left:
        ordered.append(left.pop(0))
    while left:
        farthest = max(left, key=lambda point: min(map(point.distance, ordered)))
        left.remove(farthest)
        ordered.append(farthest)
    return ordered
