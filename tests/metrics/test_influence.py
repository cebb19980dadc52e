"""The influence of single images: the change of scikit-learn's metrics with an image's weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from trickbag.metrics.influence import (
    auc_influence,
    aurc_influence,
    label_f1_influence,
    macro_f1_influence,
    macro_influence,
    precision_influence,
)
from trickbag.metrics.selective import aurc

N, STEP = 16, 1e-6
RNG = np.random.default_rng(3)
# With ties, as of a network that gives many images the same score.
SCORES = np.round(RNG.random(N) * 8) / 8
POSITIVE = RNG.random(N) < 0.4
LABELS = RNG.integers(0, 4, N)
PREDICTED = np.where(RNG.random(N) < 0.6, LABELS, RNG.integers(0, 5, N))
SETS = RNG.random((2, N, 3)) < 0.5


def weighted_aurc(weights_N: np.ndarray[Any, Any]) -> float:
    at_least_NN = SCORES[None, :] >= SCORES[:, None]
    risk_N = at_least_NN @ (weights_N * ~POSITIVE) / (at_least_NN @ weights_N)
    return float(weights_N @ risk_N / weights_N.sum())


@pytest.mark.parametrize(
    ("influence_N", "metric"),
    [
        (
            auc_influence(SCORES, POSITIVE),
            lambda w: sk.roc_auc_score(POSITIVE, SCORES, sample_weight=w),
        ),
        (
            precision_influence(SCORES, POSITIVE),
            lambda w: sk.average_precision_score(POSITIVE, SCORES, sample_weight=w),
        ),
        (aurc_influence(SCORES, POSITIVE), weighted_aurc),
        (
            macro_f1_influence(PREDICTED, LABELS, 6),
            lambda w: sk.f1_score(LABELS, PREDICTED, average="macro", sample_weight=w),
        ),
        (
            label_f1_influence(*SETS),
            lambda w: sk.f1_score(SETS[1], SETS[0], average="macro", sample_weight=w),
        ),
    ],
    ids=["auc", "average precision", "aurc", "macro f1", "f1 of labels"],
)
def test_it_is_the_change_with_the_weight_of_an_image(
    influence_N: np.ndarray[Any, Any], metric: Callable[[np.ndarray[Any, Any]], float]
) -> None:
    ones_N = np.ones(N)
    heavier_NN = ones_N + STEP * np.eye(N)
    changes_N = [N * (metric(weights_N) - metric(ones_N)) / STEP for weights_N in heavier_NN]
    assert influence_N == pytest.approx(np.array(changes_N), abs=1e-4)
    assert influence_N.mean() == pytest.approx(0, abs=1e-12)


def test_aurc_by_its_definition() -> None:
    assert aurc(SCORES, POSITIVE) == pytest.approx(weighted_aurc(np.ones(N)), rel=1e-12)


def test_a_class_that_is_undefined_has_no_influence() -> None:
    assert auc_influence(SCORES, np.ones(N, bool)) is None
    assert auc_influence(SCORES, np.zeros(N, bool)) is None
    assert precision_influence(SCORES, np.zeros(N, bool)) is None
    assert precision_influence(np.where(POSITIVE, np.nan, SCORES), POSITIVE) is None
    one_N = np.arange(3.0)
    assert macro_influence([None, one_N, None], 3).tolist() == [0, 1, 2]
    assert macro_influence([None], 3).tolist() == [0, 0, 0]
