"""Metrics of images with several labels, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from trickbag.metrics.multi_label import MultiLabel, average_precision, best_thresholds, f1


def random_case(
    seed: int, n: int = 40, classes: int = 5, levels: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Make scores with ties, and labels that are correlated with them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, classes))
    scores = np.round((0.3 * labels + rng.random((n, classes))) / 1.4 * levels) / levels
    return scores, labels.astype(np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_scikit_learns(seed: int) -> None:
    scores, labels = random_case(seed)
    measured = MultiLabel.of(scores, labels, None)
    predicted = measured.predicted
    values = measured.metrics()
    assert values["map"] == pytest.approx(
        100 * sk.average_precision_score(labels, scores, average="macro")
    )
    assert values["f1"] == pytest.approx(100 * sk.f1_score(labels, predicted, average="macro"))
    assert values["f1_micro"] == pytest.approx(
        100 * sk.f1_score(labels, predicted, average="micro")
    )
    assert values["f1_at_half"] == pytest.approx(
        100 * sk.f1_score(labels, scores >= 0.5, average="macro")
    )
    for k, score in enumerate(measured.per_class()):
        assert score.support == score.to_dict()["positives"] == labels[:, k].sum()
        assert score.recall == pytest.approx(100 * sk.recall_score(labels[:, k], predicted[:, k]))
        assert score.f1 == pytest.approx(100 * sk.f1_score(labels[:, k], predicted[:, k]))


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_is_better_than_the_chosen_one(seed: int, n: int) -> None:
    scores, labels = random_case(seed, n=n, classes=2, levels=6)
    for k, threshold in enumerate(best_thresholds(scores, labels)):
        assert 0 <= threshold <= 1
        if 0 < labels[:, k].sum() < n:
            best = max(sk.f1_score(labels[:, k], scores[:, k] >= level) for level in scores[:, k])
            assert sk.f1_score(labels[:, k], scores[:, k] >= threshold) == pytest.approx(best)


def test_thresholds_by_hand() -> None:
    scores = np.array([[0.1, 0.2, 0.9], [0.3, 0.4, 0.8], [0.7, 0.6, 0.7], [0.9, 0.8, 0.6]])
    labels = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0]])
    # Halfway between 0.3 and 0.7; between 0.2 and 0.4; no image has the third.
    assert best_thresholds(scores, labels) == pytest.approx((0.5, 0.3, 0.5))


def test_what_is_not_defined_is_none() -> None:
    assert average_precision(np.array([0.5]), np.array([False])) is None
    assert f1(0, 0, 0) is None
    scores, labels = np.full((3, 2), 0.2), np.array([[1, 0], [0, 0], [1, 0]])
    first, second = MultiLabel.of(scores, labels, (0.5, 0.5)).per_class()
    assert (first.f1, second.f1) == (0.0, None)
    assert (first.average_precision, second.average_precision) == (pytest.approx(200 / 3), None)
    nothing = MultiLabel.of(np.zeros((0, 2)), np.zeros((0, 2), np.int64), None)
    assert set(nothing.metrics().values()) == {None}
    assert nothing.thresholds == (0.5, 0.5)
