"""Calibration errors and proper scores of stored logits, against other implementations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from trickbag.metrics.calibration_errors import (
    adaptive_ece,
    brier_score,
    classwise_ece,
    ece,
    equal_width_bins,
    negative_log_likelihood,
)
from trickbag.metrics.classification import Classification
from trickbag.metrics.confidence_gap import ConfidenceGap
from trickbag.metrics.expected_ece import expected_ece
from trickbag.metrics.probabilities import Confidences, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = (ece, adaptive_ece, classwise_ece, brier_score, negative_log_likelihood)


def sample(n: int = 300, classes: int = 4) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng((n, classes))
    logits_NK = 2 * rng.normal(size=(n, classes))
    return logits_NK, np.where(rng.random(n) < 0.7, logits_NK.argmax(1), rng.integers(classes))


def gap_of_bins(
    share_N: NDArray[np.float64], hit_N: NDArray[np.float64], parts: list[NDArray[np.int64]]
) -> float:
    """The definition, bin by bin: the mean over the images of |frequency - mean probability|."""
    gaps = [len(i) * abs(hit_N[i].mean() - share_N[i].mean()) for i in parts if len(i)]
    return 100 * float(np.sum(gaps)) / len(share_N)


def test_ece_is_that_of_the_counters() -> None:
    logits_NK, labels_N = sample()
    counter = Classification(4)
    counter.update(torch.tensor(logits_NK), torch.tensor(labels_N))
    metrics = counter.compute()
    assert ece(logits_NK, labels_N) == pytest.approx(metrics["ece"], rel=1e-12)
    assert negative_log_likelihood(logits_NK, labels_N) == pytest.approx(metrics["loss"], rel=1e-12)


def test_they_are_scikit_learns() -> None:
    logits_NK, labels_N = sample()
    p_NK = softmax(logits_NK)
    assert negative_log_likelihood(logits_NK, labels_N) == pytest.approx(log_loss(labels_N, p_NK))
    brier = brier_score_loss(labels_N, p_NK, labels=range(4), scale_by_half=False)
    assert brier_score(logits_NK, labels_N) == pytest.approx(brier)
    gaps = []
    for k in range(4):
        hit_N = labels_N == k
        frequency, share = calibration_curve(hit_N, p_NK[:, k], n_bins=15)
        counts = np.bincount(equal_width_bins(p_NK[:, k]), minlength=15)
        gaps.append(np.abs(frequency - share) @ counts[counts > 0] / len(hit_N))
    assert classwise_ece(logits_NK, labels_N) == pytest.approx(100 * np.mean(gaps))


@pytest.mark.parametrize("n", [1, 7, 15, 300])
def test_adaptive_bins_hold_equally_many_images(n: int) -> None:
    logits_NK, labels_N = sample(n)
    images = Confidences.of(logits_NK, labels_N)
    order = np.argsort(images.confidence)
    # Image number i of n stands at (i + 1/2) / n of the way.
    bins = np.floor((np.arange(n) + 0.5) * 15 / n)
    parts = [order[bins == b] for b in range(15)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    expected = gap_of_bins(images.confidence, images.right.astype(float), parts)
    assert adaptive_ece(logits_NK, labels_N) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 1)), min_size=1, max_size=9
    ),
    seed=st.integers(0, 9),
)
def test_the_order_of_images_changes_nothing(rows: list[tuple[int, int, int]], seed: int) -> None:
    table = np.array(rows)
    logits_NK, labels_N = table[:, :2].astype(float), table[:, 2]
    order = np.random.default_rng(seed).permutation(len(rows))
    for metric in ALL:
        assert metric(logits_NK[order], labels_N[order]) == pytest.approx(
            metric(logits_NK, labels_N), abs=1e-9
        )


def test_what_is_not_defined_is_none() -> None:
    logits_NK, labels_N = sample()
    logits_NK[3, 1] = np.nan
    for metric in ALL:
        assert metric(logits_NK, labels_N) is None
        assert metric(np.zeros((0, 4)), np.zeros(0, np.int64)) is None
    assert expected_ece(np.zeros(0)) is None
    assert expected_ece(np.array([0.5, np.nan])) is None
    assert ConfidenceGap.of(np.array([np.nan]), np.array([True])) is None


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([1.0], 0.0),
        ([0.5], 50.0),
        ([0.3], 42.0),  # 0.3 * 0.7 + 0.7 * 0.3
        ([0.5, 0.5], 25.0),
        ([0.5, 0.9], (50.0 + 18.0) / 2),  # two bins of one image
        # One bin of three: sums 0 to 3 with the chances 1, 3, 3, 1 of 8, about 1.5.
        ([0.5] * 3, 25.0),
    ],
)
def test_the_expected_error_by_hand(shares: list[float], expected: float) -> None:
    assert expected_ece(np.array(shares)) == pytest.approx(expected, abs=1e-9)


def test_the_expected_error_is_that_of_drawn_labels() -> None:
    rng = np.random.default_rng(0)
    logits_NK = 3 * rng.normal(size=(359, 10))
    shares_N = softmax(logits_NK).max(axis=1)
    bins = [np.flatnonzero(equal_width_bins(shares_N) == b) for b in range(15)]
    drawn = [
        gap_of_bins(shares_N, (rng.random(359) < shares_N).astype(float), bins) for _ in range(400)
    ]
    error = np.std(drawn) / math.sqrt(len(drawn))
    assert expected_ece(shares_N) == pytest.approx(np.mean(drawn), abs=4 * error)


def test_the_expected_error_of_many_images() -> None:
    # The mean deviation of a binomial distribution, De Moivre's formula, as logarithms.
    n, p = 20_000, 0.98
    m = math.floor(n * p) + 1
    chance = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
    chance += m * math.log(p) + (n - m + 1) * math.log(1 - p)
    assert expected_ece(np.full(n, p)) == pytest.approx(
        100 * 2 * m * math.exp(chance) / n, rel=1e-6
    )


@pytest.mark.parametrize(
    ("confidence", "right", "images", "large"),
    [
        (0.83, 0.98, 359, True),  # underconfident, as label smoothing and mixup leave a network
        (0.98, 0.83, 359, True),
        (0.98, 0.98, 359, False),
        (0.98, 0.96, 50_000, False),  # no chance, but a difference that hardly matters
        (0.6, 0.8, 20, False),  # a large difference of few images
        (1.0, 0.0, 1, False),
    ],
)
def test_a_gap_beyond_chance(confidence: float, right: float, images: int, large: bool) -> None:
    right_N = np.arange(images) < round(right * images)
    gap = ConfidenceGap.of(np.full(images, confidence), right_N)
    assert gap is not None
    assert gap.is_large is large
    assert gap.confidence == pytest.approx(100 * confidence)
    assert f"{images:,} images" in gap.text
