from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from tests.study.synthetic_study import leave_one_out, runs
from trickbag.study.analysis.effects import effects
from trickbag.study.analysis.power import detectable, standard_deviation


@pytest.mark.parametrize(
    ("pairs", "comparisons", "power"),
    [(3, 1, 0.8), (5, 1, 0.8), (5, 9, 0.8), (10, 4, 0.5), (30, 1, 0.9), (5, 1, 0.1)],
)
def test_an_effect_of_this_size_is_found_that_often(
    pairs: int, comparisons: int, power: float
) -> None:
    sd, studies = 0.7, 40_000
    size = detectable(pairs, sd, comparisons, power)
    assert size is not None
    differences = np.random.default_rng(pairs).normal(size, sd, (studies, pairs))
    share = (stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05 / comparisons).mean()
    assert share == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / studies))


def test_published_sample_sizes() -> None:
    # Cohen's table as G*Power gives it: a paired t test at 0.05, two-sided, with power 0.8 needs 34
    # pairs for an effect of half a standard deviation, and 15 for one of 0.8.
    for size, pairs in ((0.5, 34), (0.8, 15)):
        enough, fewer = detectable(pairs, 1.0), detectable(pairs - 1, 1.0)
        assert enough is not None
        assert fewer is not None
        assert enough <= size < fewer


@pytest.mark.parametrize("comparisons", [1, 9, 45, 1000])
def test_more_seeds_or_fewer_comparisons_see_smaller_effects(comparisons: int) -> None:
    sizes = [
        detectable(pairs, 1.0, comparisons) for pairs in (2, 3, 4, 5, 8, 16, 50, 200, 1000, 5000)
    ]
    assert all(size is not None and math.isfinite(size) for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: -(size or 0.0))
    stricter = [detectable(pairs, 1.0, comparisons + 1) or 0.0 for pairs in (2, 5, 100)]
    assert all(
        a < b
        for a, b in zip(
            [detectable(n, 1.0, comparisons) or 0.0 for n in (2, 5, 100)], stricter, strict=True
        )
    )


def test_two_pairs_by_integration() -> None:
    # For n = 2, t = m / |e| with m ~ N(shift, 1) and e ~ N(0, 1): P(|m| > c |e|) as an integral
    # over e.
    c = float(stats.t.ppf(0.975, 1))

    def power(shift: float) -> float:
        e = np.linspace(0, 10, 200_001)
        density = (
            2 * stats.norm.pdf(e) * (stats.norm.sf(c * e - shift) + stats.norm.cdf(-c * e - shift))
        )
        return float(np.trapezoid(density, e))

    by_hand = optimize.brentq(lambda shift: power(shift) - 0.8, 1, 100) / math.sqrt(2)
    assert detectable(2, 1.0) == pytest.approx(by_hand, rel=1e-6)


def test_the_size_has_the_unit_of_the_standard_deviation() -> None:
    unit = detectable(5, 1.0)
    assert unit is not None
    assert detectable(5, 2.5) == pytest.approx(2.5 * unit)
    assert detectable(5, 0.0) == 0.0


def test_fewer_than_two_pairs_detect_nothing() -> None:
    assert detectable(1, 1.0) is None
    assert detectable(0, 1.0) is None


@pytest.mark.parametrize(
    ("sd", "comparisons", "power"),
    [(-1.0, 1, 0.8), (math.nan, 1, 0.8), (1.0, 0, 0.8), (1.0, 1, 1.0), (1.0, 1, 0.05)],
)
def test_numbers_that_make_no_sense_are_refused(sd: float, comparisons: int, power: float) -> None:
    with pytest.raises(ValueError, match="no test is like this"):
        detectable(5, sd, comparisons, power)


def test_the_standard_deviation_is_pooled_over_effects() -> None:
    rng = np.random.default_rng(0)
    full, first, second = rng.normal(90, 1, 6), rng.normal(90, 1, 6), rng.normal(90, 1, 3)
    values = {
        "full": full.tolist(),
        "-a": first.tolist(),
        "-b": second.tolist(),
        "-c": [90.0],
        "-d": [],
    }
    all_effects = effects([leave_one_out("abcd")], runs({**values}), {})
    a, b = full - first, full[:3] - second
    squares = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
    assert standard_deviation(all_effects) == pytest.approx(math.sqrt(squares / (5 + 2)))
    assert standard_deviation(all_effects[2:]) is None
    assert standard_deviation([]) is None
