"""Accuracy against coverage, the area under it, and the threshold for a wanted accuracy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trickbag.metrics.selective import Acceptance, aurc, choose_threshold, risk_coverage

Array = np.ndarray[Any, Any]


def test_the_curve_counts_images_of_equal_confidence_together() -> None:
    confidence_N = np.array([0.5, 0.9, 0.5, np.nan, 0.7])
    right_N = np.array([True, True, False, True, False])
    curve = risk_coverage(confidence_N, right_N)
    assert curve.thresholds.tolist() == [0.9, 0.7, 0.5]
    assert curve.accepted.tolist() == [1, 2, 4]
    assert curve.right.tolist() == [1, 1, 2]
    assert curve.images == 5
    assert curve.curve() == [(20.0, 100.0, 0.9), (40.0, 50.0, 0.7), (80.0, 50.0, 0.5)]
    order = np.random.default_rng(0).permutation(5)
    assert risk_coverage(confidence_N[order], right_N[order]).curve() == curve.curve()


def test_a_long_curve_is_thinned_between_its_ends() -> None:
    confidence_N = np.linspace(0, 1, 5000)
    points = risk_coverage(confidence_N, confidence_N > 0.1).curve()
    assert len(points) <= 200
    assert points[0] == (0.02, 100.0, 1.0)
    assert points[-1][0] == 100
    assert max(np.diff([point[0] for point in points])) < 1


def test_the_area_by_hand() -> None:
    right_N = np.array([True, False, True, True])
    # Errors among the first 1, 2, 3 and 4: 0, 1/2, 1/3, 1/4.
    expected = (1 / 2 + 1 / 3 + 1 / 4) / 4
    assert aurc(np.array([0.9, 0.8, 0.7, 0.6]), right_N) == pytest.approx(expected)
    assert aurc(np.full(4, 0.3), right_N) == pytest.approx(1 / 4)
    assert aurc(np.array([0.9, 0.1, 0.7, 0.6]), right_N) == pytest.approx(1 / 16)
    assert aurc(np.zeros(0), np.zeros(0, bool)) is None
    assert aurc(np.array([np.nan, 0.5]), np.array([True, True])) is None


def sample(images: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    confidence_N = rng.random(images)
    return confidence_N, rng.random(images) < confidence_N**0.1


def chosen(images: int, target: float) -> Acceptance:
    return choose_threshold(risk_coverage(*sample(images)), target)


def test_a_threshold_whose_limit_reaches_the_target() -> None:
    confidence_N, right_N = sample(2000)
    acceptance = chosen(2000, 95.0)
    assert acceptance.basis == "bound"
    assert acceptance.threshold is not None
    accepted_N = confidence_N >= acceptance.threshold
    assert acceptance.accepted == accepted_N.sum()
    assert acceptance.coverage == pytest.approx(accepted_N.sum() / 20)
    assert acceptance.accuracy == pytest.approx(100 * right_N[accepted_N].mean())
    assert acceptance.accuracy_low is not None
    assert 95 <= acceptance.accuracy_low < (acceptance.accuracy or 0)
    assert acceptance.images == 2000
    # No image lies on the threshold, on which rounding would decide.
    assert np.abs(confidence_N - acceptance.threshold).min() > 0


def test_few_images_show_nothing_with_confidence() -> None:
    acceptance = chosen(40, 95.0)
    assert acceptance.basis == "estimate"
    assert acceptance.accuracy is not None
    assert acceptance.accuracy >= 95
    assert acceptance.accuracy_low is not None
    assert acceptance.accuracy_low < 95


def test_a_target_that_is_reached_by_all_images_rejects_none() -> None:
    acceptance = chosen(2000, 50.0)
    assert (acceptance.basis, acceptance.threshold, acceptance.accepted) == ("bound", 0.0, 2000)


@pytest.mark.parametrize("images", [0, 1, 50])
def test_a_target_out_of_reach_has_no_threshold(images: int) -> None:
    curve = risk_coverage(np.linspace(0.1, 0.9, images), np.zeros(images, bool))
    acceptance = choose_threshold(curve, 80.0)
    assert (acceptance.basis, acceptance.threshold) == ("none", None)
    assert (acceptance.images, acceptance.accepted) == (images, images)
    assert acceptance.to_dict()["coverage"] == (100 if images else None)


def test_images_without_a_confidence_are_never_accepted() -> None:
    confidence_N = np.array([np.nan, 0.9, 0.8])
    acceptance = choose_threshold(risk_coverage(confidence_N, np.ones(3, bool)), 60.0)
    assert (acceptance.accepted, acceptance.images) == (2, 3)
    assert acceptance.basis == "estimate"


@pytest.mark.slow
def test_the_limit_holds_as_often_as_it_says() -> None:
    # Of images whose accuracy is confidence**0.1 the true accuracy above t is known.
    targets, missed, tries = 96.0, 0, 300
    for seed in range(tries):
        acceptance = choose_threshold(risk_coverage(*sample(600, seed)), targets)
        if acceptance.basis != "bound":
            continue
        t = acceptance.threshold or 0.0
        truth = 100 * (1 - t**1.1) / 1.1 / (1 - t)
        missed += truth < targets
    # 5 % of the tries at most, and the noise of so many.
    assert missed / tries < 0.05 + 2 * math.sqrt(0.05 * 0.95 / tries)
