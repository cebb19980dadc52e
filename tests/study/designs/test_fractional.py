from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.study.designs.fractional import TwoLevelDesign, product, smallest

LETTERS = "ABCDEFGHJKLM"

# Runs of the smallest regular designs of 3 to 12 factors: Box, Hunter & Hunter, Statistics for
# Experimenters, table of two-level fractional factorials; Montgomery, Design and Analysis of
# Experiments, table 8.14.
FEWEST_RUNS = {
    3: {2: 4, 3: 4, 4: 8, 5: 8, 6: 8, 7: 8, 8: 16, 9: 16, 10: 16, 11: 16, 12: 16},
    4: {2: 4, 3: 8, 4: 8, 5: 16, 6: 16, 7: 16, 8: 16, 9: 32, 10: 32, 11: 32, 12: 32},
    5: {2: 4, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 64, 9: 128, 10: 128, 11: 128, 12: 256},
}
EVERY = [(factors, resolution) for resolution in FEWEST_RUNS for factors in range(2, 13)]


def columns(design: TwoLevelDesign) -> list[tuple[int, ...]]:
    """The signs of each factor over the runs."""
    return list(zip(*([1 if on else -1 for on in run] for run in design.runs()), strict=True))


def column(design: TwoLevelDesign, effect: int) -> tuple[int, ...]:
    """The signs of a product of factors over the runs, multiplied out run by run."""
    signs = columns(design)
    return tuple(math.prod(signs[i][run] for i in members(effect)) for run in range(len(signs[0])))


def members(effect: int) -> list[int]:
    return [i for i in range(12) if effect >> i & 1]


@st.composite
def designs(draw: st.DrawFn) -> TwoLevelDesign:
    """Any regular design, good or bad: main effects may be aliased with one another."""
    basic = draw(st.integers(1, 4))
    generators = draw(st.lists(st.integers(1, 2**basic - 1), max_size=3))
    return TwoLevelDesign(factors=basic + len(generators), generators=tuple(generators))


@given(designs())
@settings(deadline=None)
def test_the_defining_relation_is_what_never_changes(design: TwoLevelDesign) -> None:
    constant = {
        effect for effect in range(1, 2**design.factors) if len(set(column(design, effect))) == 1
    }
    assert set(design.words()) == constant
    assert len(design.words()) == len(constant)
    assert all(set(column(design, word)) == {1} for word in design.words())
    assert design.resolution == (min(len(members(word)) for word in constant) if constant else None)


@given(designs())
@settings(deadline=None)
def test_aliases_are_columns_equal_up_to_sign(design: TwoLevelDesign) -> None:
    effects = [
        sum(1 << i for i in some)
        for r in (1, 2)
        for some in itertools.combinations(range(design.factors), r)
    ]
    groups: dict[tuple[int, ...], list[int]] = {}
    for effect in effects:
        signs = column(design, effect)
        groups.setdefault(max(signs, tuple(-sign for sign in signs)), []).append(effect)
    assert design.aliases() == [tuple(group) for group in groups.values() if len(group) > 1]


@given(designs())
@settings(deadline=None)
def test_all_factors_on_is_a_run_and_none_is_there_twice(design: TwoLevelDesign) -> None:
    runs = list(design.runs())
    assert len(set(runs)) == len(runs) == 2**design.basic
    assert (True,) * design.factors in runs


@pytest.mark.parametrize(("factors", "resolution"), EVERY)
def test_the_smallest_design_keeps_its_promise(factors: int, resolution: int) -> None:
    design = smallest(factors, resolution)
    runs = list(design.runs())
    assert len(runs) == FEWEST_RUNS[resolution][factors]
    assert len(runs) & (len(runs) - 1) == 0
    assert all(len(run) == factors for run in runs)
    signs = columns(design)
    assert all(sum(first) == 0 for first in signs), "balanced"
    for first, second in itertools.combinations(signs, 2):
        assert sum(a * b for a, b in zip(first, second, strict=True)) == 0, "orthogonal"
    assert all(word.bit_count() >= resolution for word in design.words())
    main = {1 << i for i in range(factors)}
    for group in design.aliases():
        assert resolution < 5
        assert resolution < 4 or not main & set(group)
        assert len(main & set(group)) <= 1


@pytest.mark.parametrize("resolution", [3, 4, 5])
@pytest.mark.parametrize("factors", [3, 4, 5, 6])
def test_no_smaller_design_will_do(factors: int, resolution: int) -> None:
    basic = smallest(factors, resolution).basic - 1
    for generators in itertools.product(range(1, 2**basic), repeat=factors - basic):
        reached = TwoLevelDesign(factors=factors, generators=generators).resolution
        assert reached is not None
        assert reached < resolution


@pytest.mark.parametrize(
    ("factors", "resolution", "shortest", "words"),
    [
        # Wordlength patterns of minimum aberration: Chen, Sun & Wu 1993, A catalogue of two-level
        # and three-level fractional factorial designs with small runs, from the shortest length on.
        (5, 3, 3, (2, 1)),
        (6, 3, 3, (4, 3)),
        (7, 3, 3, (7, 7)),
        (9, 3, 3, (4, 14, 8)),
        (6, 4, 4, (3,)),
        (7, 4, 4, (7,)),
        (8, 4, 4, (14,)),
        (9, 4, 4, (6, 8)),
        (10, 4, 4, (10, 16)),
        (8, 5, 5, (2, 1)),
    ],
)
def test_aberration_is_minimal(
    factors: int, resolution: int, shortest: int, words: tuple[int, ...]
) -> None:
    design = smallest(factors, resolution)
    assert design.resolution == shortest
    lengths = [word.bit_count() for word in design.words()]
    assert tuple(lengths.count(shortest + i) for i in range(len(words))) == words


@pytest.mark.parametrize(
    ("factors", "resolution", "reached", "generators"),
    [
        (3, 3, 3, ["A*B"]),
        (4, 4, 4, ["A*B*C"]),
        (5, 5, 5, ["A*B*C*D"]),
        (5, 3, 3, ["A*B", "A*C"]),
        (7, 3, 3, ["A*B", "A*C", "B*C", "A*B*C"]),
        (7, 4, 4, ["A*B*C", "A*B*D", "A*C*D"]),
        (8, 5, 5, ["A*B*C*D", "A*B*E*F"]),
        (7, 5, 7, ["A*B*C*D*E*F"]),
        (3, 4, None, []),
        (4, 5, None, []),
    ],
)
def test_known_designs(
    factors: int, resolution: int, reached: int | None, generators: list[str]
) -> None:
    design = smallest(factors, resolution)
    assert design.resolution == reached
    assert [product(generator, LETTERS) for generator in design.generators] == generators


def test_runs_are_in_standard_order() -> None:
    full = ["".join("-+"[on] for on in run) for run in TwoLevelDesign(factors=3).runs()]
    assert full == ["---", "+--", "-+-", "++-", "--+", "+-+", "-++", "+++"]
    half = ["".join("-+"[on] for on in run) for run in smallest(3, 3).runs()]
    assert half == ["--+", "+--", "-+-", "+++"]
