"""The grids of compound scaling: exact products, nested points, an order that spreads."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickbag.errors import UserError
from trickbag.models.scaling import Factors
from trickbag.search.scaling.grid import Grid, ScalingPoint, grid_of, grids

GRIDS = grids()
CORNERS = {ScalingPoint(200, 100, 100), ScalingPoint(100, 140, 100), ScalingPoint(100, 100, 140)}
PAPER = ScalingPoint(120, 110, 115)

hundredths = st.integers(90, 220)


def brute_force(steps: tuple[int, int, int]) -> set[tuple[Fraction, ...]]:
    """All points with their step, as fractions: alpha beta^2 gamma^2 from 1.9 to 2.1."""
    axes = [
        [Fraction(1) + Fraction(step, 100) * i for i in range(int(Fraction(110, step)) + 1)]
        for step in steps
    ]
    return {
        (a, b, c)
        for a, b, c in itertools.product(*axes)
        if Fraction(19, 10) <= a * b**2 * c**2 <= Fraction(21, 10)
    }


@given(hundredths, hundredths, hundredths)
def test_a_point_is_allowed_by_its_exact_product(a: int, b: int, c: int) -> None:
    point = ScalingPoint(a, b, c)
    product = Fraction(a, 100) * Fraction(b, 100) ** 2 * Fraction(c, 100) ** 2
    in_range = Fraction(19, 10) <= product <= Fraction(21, 10)
    assert point.allowed == (in_range and min(a, b, c) >= 100)
    assert point.work == float(product)
    assert point.constants == {"alpha": a / 100, "beta": b / 100, "gamma": c / 100}
    assert point.distance(point) == 0


def test_the_papers_point() -> None:
    assert PAPER.constants == {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}
    assert PAPER.work == 1.92027
    assert PAPER.factors(1) == Factors(depth=1.2, width=1.1, size=1.15)
    assert [PAPER in grid.points for grid in GRIDS] == [False, False, True, True, True]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: str(grid.steps))
def test_a_grid_has_all_its_points_once(grid: Grid) -> None:
    points = {
        (Fraction(p.alpha, 100), Fraction(p.beta, 100), Fraction(p.gamma, 100)) for p in grid.points
    }
    assert points == brute_force(grid.steps)
    assert len(points) == len(grid.points)


def test_grids_go_from_coarse_to_fine_and_each_begins_with_the_one_before() -> None:
    assert [len(grid.points) for grid in GRIDS] == [6, 15, 33, 62, 111]
    for coarse, fine in itertools.pairwise(GRIDS):
        assert fine.points[: len(coarse.points)] == coarse.points


def test_the_order_sees_the_corners_first_and_spreads() -> None:
    for grid in GRIDS:
        assert set(grid.points[:3]) == CORNERS
    # Each point of a grid is the farthest of those that are left.
    coarse: tuple[ScalingPoint, ...] = ()
    for grid in GRIDS:
        for i in range(max(1, len(coarse)), len(grid.points)):
            before = grid.points[:i]
            gaps = [min(map(point.distance, before)) for point in grid.points[i:]]
            assert gaps[0] == max(gaps)
        coarse = grid.points


@given(st.integers(6, 200))
def test_the_finest_grid_that_fits(trials: int) -> None:
    fitting = [grid for grid in GRIDS if len(grid.points) <= trials]
    assert grid_of(trials) == max(fitting, key=lambda grid: len(grid.points))


@pytest.mark.parametrize("trials", [-1, 0, 5])
def test_too_few_trials_say_how_many_are_enough(trials: int) -> None:
    with pytest.raises(UserError, match=rf"{trials} trials .* has 6 points; allow at least 6"):
        grid_of(trials)


@given(st.integers(2, 40), st.integers(3, 111))
def test_points_that_are_the_same_network_are_one_trial(width: int, trials: int) -> None:
    def key(point: ScalingPoint) -> tuple[int, int]:
        return point.alpha // 50, point.beta // width

    fewest = len({key(point) for point in GRIDS[0].points})
    if fewest > trials:
        with pytest.raises(UserError, match=f"allow at least {fewest}"):
            grid_of(trials, key)
        return
    grid = grid_of(trials, key)
    complete = next(each for each in GRIDS if each.steps == grid.steps)
    assert len({key(point) for point in grid.points}) == len(grid.points) <= trials
    assert {*grid.points, *grid.same} == {*complete.points}
    for dropped, kept in grid.same.items():
        assert key(dropped) == key(kept)
        assert complete.points.index(kept) < complete.points.index(dropped)
    finer = [each for each in GRIDS if len(each.points) > len(complete.points)]
    assert all(len({key(point) for point in each.points}) > trials for each in finer)
