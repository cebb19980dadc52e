"""The bootstrap: against scipy's, reproducible, bounded, and undefined where it says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from trickbag.metrics import bootstrap
from trickbag.metrics.bootstrap import Statistic, bootstrap_intervals, linear, mean_of


def test_the_interval_of_a_mean_is_scipys_bca() -> None:
    values_N = np.random.default_rng(0).exponential(size=120)
    interval = bootstrap_intervals({"mean": mean_of(values_N)}, 120)["mean"]
    expected = stats.bootstrap(
        (values_N,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    # The ends of 1,000 resamples vary by 3 % of the width.
    width = expected.high - expected.low
    assert interval == pytest.approx((expected.low, expected.high), abs=0.12 * width)
    assert interval == bootstrap_intervals({"mean": mean_of(values_N)}, 120)["mean"]
    assert interval != bootstrap_intervals({"mean": mean_of(values_N)}, 120, seed=1)["mean"]


@pytest.mark.parametrize(
    ("statistic", "images"),
    [
        (mean_of(np.full(9, 0.5)), 9),
        (linear(1.0, np.zeros(9)), 9),
        (mean_of(np.array([0.5])), 1),
        (mean_of(np.zeros(0)), 0),
        (mean_of(np.full(9, np.nan)), 9),
        # Undefined wherever an image is not drawn.
        (Statistic(values=lambda w: np.where(w[:, 0] > 0, w @ np.arange(9.0), np.nan)), 9),
    ],
    ids=["no spread", "no influence", "one image", "no image", "NaN", "often undefined"],
)
def test_what_has_no_interval(statistic: Statistic, images: int) -> None:
    assert bootstrap_intervals({"it": statistic}, images) == {"it": None}


def test_it_stays_on_its_scale() -> None:
    influence_N = np.array([-1.0] + [1 / 99] * 99)
    low, high = bootstrap_intervals({"it": linear(0.999, influence_N)}, 100)["it"] or (0, 0)
    assert 0.9 < low < 0.999
    assert high == 1


def test_the_weights_that_are_drawn_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CELLS", 3000)
    monkeypatch.setattr(bootstrap, "_BLOCK", 100)
    monkeypatch.setattr(bootstrap, "_FEWEST_RESAMPLES", 20)
    shapes: list[tuple[int, ...]] = []

    def values(weights_RN: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        shapes.append(weights_RN.shape)
        return weights_RN[:, 0]

    bootstrap_intervals({"it": Statistic(values=values)}, 50)
    assert {shape[1] for shape in shapes} == {50}
    assert max(shape[0] for shape in shapes) == 2
    assert sum(shape[0] for shape in shapes) == 60 + 50 + 1
    shapes.clear()
    bootstrap_intervals({"it": Statistic(values=values)}, 200)
    assert sum(shape[0] for shape in shapes) == 20 + 20 + 1
