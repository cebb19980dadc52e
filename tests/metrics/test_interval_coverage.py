"""How often 95 % intervals hold the number of all images there are, by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trickbag.metrics.bootstrap import mean_intervals
from trickbag.metrics.label_intervals import label_intervals
from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.outcomes import class_intervals
from trickbag.metrics.probabilities import softmax
from trickbag.metrics.scores import class_scores
from trickbag.metrics.temperature import cross_fitted

Array = np.ndarray[Any, Any]
TRIES, IMAGES, POPULATION = 150, 250, 60_000


def check(name: str, held: list[bool]) -> None:
    # The share of tries has a standard error of 1.8 points.
    assert 0.90 <= np.mean(held) <= 1, (name, np.mean(held))


def intervals(logits_NK: Array, labels_N: Array) -> dict[str, tuple[float, float]]:
    return class_intervals(logits_NK, labels_N, cross_fitted(logits_NK, labels_N))


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "images"), [(2, 250), (10, 100), (100, 250)])
@pytest.mark.parametrize("spread", [1.5, 4.0])
def test_a_calibrated_predictor_has_no_error_in_its_intervals(
    classes: int, images: int, spread: float
) -> None:
    rng = np.random.default_rng(classes)
    names = ("ece", "adaptive_ece", "classwise_ece", "calibrated_ece")
    held: dict[str, list[bool]] = {name: [] for name in names}
    for _ in range(60):
        logits_NK = spread * rng.normal(size=(images, classes))
        above_NK = softmax(logits_NK).cumsum(axis=1) > rng.random((images, 1))
        drawn = intervals(logits_NK, above_NK.argmax(axis=1))
        for name in names:
            held[name].append(drawn[name][0] == 0)
    for name, each in held.items():
        assert np.mean(each) >= 0.95, (name, np.mean(each))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 6])
def test_of_one_label(classes: int) -> None:
    rng = np.random.default_rng(classes)

    def sample(images: int) -> tuple[Array, Array]:
        labels_N = np.minimum(rng.geometric(0.4, images) - 1, classes - 1)
        logits_NK = rng.normal(size=(images, classes))
        logits_NK[np.arange(images), labels_N] += 1.5
        return (1.4 * logits_NK).astype(np.float32), labels_N

    logits_NK, labels_N = sample(POPULATION)
    # Of so many images an interval is as narrow as its number.
    wide = intervals(logits_NK, labels_N)
    truth = {name: (low + high) / 2 for name, (low, high) in wide.items()}
    scores = class_scores(logits_NK, labels_N)
    truth |= {name: score for name in truth if (score := scores.get(name)) is not None}
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(TRIES):
        for name, (low, high) in intervals(*sample(IMAGES)).items():
            held[name].append(low <= truth[name] <= high)
    assert {"loss", "ece", "macro_f1", "auc_ovr", "quadratic_kappa", "aurc"} <= set(held)
    assert {"adaptive_ece", "classwise_ece", "calibrated_ece", "calibrated_loss"} <= set(held)
    for name, each in held.items():
        check(name, each)


@pytest.mark.parametrize(("a", "b", "images"), [(0.15, 1.5, 50), (4.0, 0.5, 50)])
def test_of_a_mean_of_shares_of_images(a: float, b: float, images: int) -> None:
    # As of flips along sequences and of pairs of shifted views: each image has its own probability.
    rng = np.random.default_rng(0)
    held = []
    for _ in range(TRIES):
        shares_N = rng.binomial(30, rng.beta(a, b, images)) / 30
        low, high = mean_intervals({"mean": shares_N})["mean"]
        held.append(low <= a / (a + b) <= high)
    check("mean", held)


@pytest.mark.slow
def test_of_several_labels() -> None:
    rng = np.random.default_rng(0)
    shares_K, thresholds = np.array([0.5, 0.2, 0.1]), (0.5, 0.4, 0.3)

    def sample(images: int) -> tuple[MultiLabel, Array]:
        labels_NK = (rng.random((images, 3)) < shares_K).astype(np.int64)
        logits_NK = (rng.normal(size=(images, 3)) + 2 * labels_NK - 1).astype(np.float32)
        scores_NK = 1 / (1 + np.exp(-logits_NK.astype(np.float64)))
        return MultiLabel.of(scores_NK, labels_NK, thresholds), logits_NK

    truth = sample(POPULATION)[0].metrics()
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(TRIES):
        multi_label, logits_NK = sample(IMAGES)
        intervals = label_intervals(multi_label, multi_label.metrics(), logits_NK)
        for name in truth:
            low, high = intervals[name]
            held[name].append(low <= (truth[name] or 0) <= high)
    for name, each in held.items():
        check(name, each)
