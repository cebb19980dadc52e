"""Intervals of proportions: by tables, and how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from trickbag.metrics.proportion import clopper_pearson, exact_interval, lower_limit, wilson

CASES = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (353, 359), (49_000, 50_000)]


@pytest.mark.parametrize(("right", "total"), CASES)
def test_they_are_scipys(right: int, total: int) -> None:
    test = binomtest(right, total)
    exact, score = test.proportion_ci(method="exact"), test.proportion_ci(method="wilson")
    low, high = clopper_pearson(right, total)
    assert (float(low), float(high)) == pytest.approx((exact.low, exact.high), abs=1e-12)
    low, high = wilson(right / total, total)
    assert (float(low), float(high)) == pytest.approx((score.low, score.high), abs=1e-12)
    one_sided = binomtest(right, total, alternative="greater").proportion_ci(0.9)
    assert lower_limit(right, total, 0.9) == pytest.approx(one_sided.low, abs=1e-12)


def test_of_no_images_anything_is_possible() -> None:
    low, high = clopper_pearson([0, 2], [0, 4])
    assert (low[0], high[0]) == (0, 1)
    assert exact_interval(0, 0) is None
    assert exact_interval(353, 359) == pytest.approx((96.398, 99.384), abs=1e-3)


@pytest.mark.parametrize("total", [7, 40, 359])
def test_the_exact_interval_holds_for_every_proportion(total: int) -> None:
    right_K = np.arange(total + 1)
    low_K, high_K = clopper_pearson(right_K, total)
    wilson_low_K, wilson_high_K = wilson(right_K / total, total)
    of_wilson = []
    for share in np.linspace(0.01, 0.99, 99):
        probability_K = binom.pmf(right_K, total, share)
        assert probability_K[(low_K <= share) & (share <= high_K)].sum() >= 0.95
        of_wilson.append(probability_K[(wilson_low_K <= share) & (share <= wilson_high_K)].sum())
    assert np.mean(of_wilson) == pytest.approx(0.95, abs=0.015)
