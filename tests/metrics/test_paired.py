"""The difference of two predictors on the same images, against McNemar's test and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trickbag.metrics.paired import PairedDifference, paired_difference


def of_counts(both: int, better: int, worse: int, neither: int) -> PairedDifference:
    right = [True] * both + [True] * better + [False] * worse + [False] * neither
    reference = [True] * both + [False] * better + [True] * worse + [False] * neither
    return paired_difference(np.array(right), np.array(reference))


def test_the_mean_is_that_of_the_shares() -> None:
    difference = of_counts(70, 12, 4, 14)
    assert difference.mean == pytest.approx(0.08)
    assert difference.low < 0.08 < difference.high


@pytest.mark.parametrize(
    ("better", "worse"), [(0, 3), (0, 4), (10, 3), (10, 2), (40, 25), (40, 24)]
)
def test_zero_is_left_out_where_mcnemars_test_rejects(better: int, worse: int) -> None:
    z = (better - worse) / math.sqrt(better + worse)
    difference = of_counts(100, better, worse, 50)
    assert (difference.low > 0 or difference.high < 0) == (abs(z) > 1.959964)


def test_without_any_difference_the_interval_is_not_a_point() -> None:
    # z**2 / (n + z**2), where no image of 50 differs.
    difference = of_counts(30, 0, 0, 20)
    bound = 1.959964**2 / (50 + 1.959964**2)
    assert difference == pytest.approx((0, -bound, bound), abs=1e-4)


def test_it_is_symmetric() -> None:
    first, second = of_counts(20, 7, 2, 9), of_counts(20, 2, 7, 9)
    assert second == pytest.approx((-first.mean, -first.high, -first.low), abs=1e-9)


@pytest.mark.parametrize("shares", [(0.9, 0.03, 0.02), (0.6, 0.15, 0.05), (0.97, 0.01, 0.005)])
def test_coverage(shares: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    truth = shares[1] - shares[2]
    rows = rng.multinomial(100, [*shares, 1 - sum(shares)], size=300)
    unique, counts = np.unique(rows, axis=0, return_counts=True)
    inside = sum(
        count
        for row, count in zip(unique, counts, strict=True)
        if (interval := of_counts(*row)).low <= truth <= interval.high
    )
    assert inside / 300 >= 0.92


def test_without_images() -> None:
    with pytest.raises(ValueError, match="N above 0"):
        paired_difference(np.zeros(0, bool), np.zeros(0, bool))
