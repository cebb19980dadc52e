"""The quadratic kappa, against scikit-learn and by its definition."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from trickbag.metrics.agreement import quadratic_kappa, weighted_kappa


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_it_is_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(classes)
    labels_N = rng.integers(0, classes, 150)
    predicted_N = np.clip(labels_N + rng.integers(-2, 3, 150), 0, classes - 1)
    # With all classes, also those that no image has: the distance between two is of their numbers.
    kappa = partial(
        cohen_kappa_score, labels_N, predicted_N, labels=range(classes), weights="quadratic"
    )
    expected = kappa()
    assert quadratic_kappa(predicted_N, labels_N) == pytest.approx(expected, rel=1e-12)
    weights_RN = rng.integers(0, 3, (2, 150)).astype(float)
    expected = [kappa(sample_weight=weights_N) for weights_N in weights_RN]
    assert weighted_kappa(weights_RN, predicted_N, labels_N) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("predicted", "labels", "kappa"),
    [
        ([0, 1, 2], [0, 1, 2], 1.0),
        ([2, 1, 0], [0, 1, 2], -1.0),
        ([1, 1, 1], [0, 1, 2], 0.0),
        ([19_999, 0], [0, 19_999], -1.0),
        ([1, 1], [1, 1], None),
        ([3], [3], None),
        ([3], [1], 0.0),
        ([], [], None),
    ],
)
def test_by_hand(predicted: list[int], labels: list[int], kappa: float | None) -> None:
    expected = None if kappa is None else pytest.approx(kappa, abs=1e-12)
    assert quadratic_kappa(np.array(predicted, int), np.array(labels, int)) == expected
