"""Scores of kept logits against scikit-learn, what leaves them undefined, and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from trickbag.metrics.classification import Classification
from trickbag.metrics.metric import EVALUATED
from trickbag.metrics.outcomes import class_intervals, mean_recall_interval, outcome_scores
from trickbag.metrics.ranking import roc_auc, sensitivity_at_specificity
from trickbag.metrics.scores import class_scores
from trickbag.metrics.temperature import cross_fitted

Array = np.ndarray[Any, Any]
N = 120


def sample(classes: int, images: int = N, skill: float = 1.5) -> tuple[Array, Array]:
    rng = np.random.default_rng(classes)
    labels_N = rng.integers(0, classes, images)
    logits_NK = rng.normal(size=(images, classes))
    logits_NK[np.arange(images), labels_N] += skill
    # Rounded, so that images have equal scores.
    return np.round(logits_NK, 1).astype(np.float32), labels_N


@pytest.mark.parametrize("classes", [2, 3, 7, 30])
def test_they_are_scikit_learns(classes: int) -> None:
    logits_NK, labels_N = sample(classes)
    scores = outcome_scores(logits_NK, labels_N)
    shares_NK = torch.from_numpy(logits_NK).double().softmax(1).numpy()
    areas = [sk.roc_auc_score(labels_N == k, shares_NK[:, k]) for k in sorted({*labels_N.tolist()})]
    assert scores["auc_ovr"] == pytest.approx(100 * np.mean(areas), rel=1e-9)
    if classes < 10:
        shares = shares_NK if classes > 2 else shares_NK[:, 1]
        area = sk.roc_auc_score(labels_N, shares, multi_class="ovr", average="macro")
        assert scores["auc_ovr"] == pytest.approx(100 * area, rel=1e-9)
    kappa = sk.cohen_kappa_score(
        labels_N, logits_NK.argmax(1), labels=range(classes), weights="quadratic"
    )
    assert scores["quadratic_kappa"] == pytest.approx(kappa, rel=1e-9)


@pytest.mark.parametrize("specificity", [0.95, 0.5, 1.0, 0.0])
def test_sensitivity_is_read_from_the_roc_curve(specificity: float) -> None:
    logits_N2, labels_N = sample(2)
    scores_N = logits_N2[:, 1].astype(float) - logits_N2[:, 0]
    fpr, tpr, _ = sk.roc_curve(labels_N, scores_N, drop_intermediate=False)
    expected = tpr[1 - fpr >= specificity - 1e-9].max()
    assert sensitivity_at_specificity(scores_N, labels_N == 1, specificity) == pytest.approx(
        expected, rel=1e-12
    )
    if specificity == 0.95:
        scores = outcome_scores(logits_N2, labels_N)
        assert scores["sensitivity_at_95"] == pytest.approx(100 * expected, rel=1e-12)
        assert scores["auc_ovr"] == pytest.approx(100 * (roc_auc(scores_N, labels_N == 1) or 0))


def test_a_twentieth_of_the_negative_images_may_be_called_positive() -> None:
    scores_N = np.array([*range(20), 18.5, 17.5])
    positive_N = np.arange(22) >= 20
    assert sensitivity_at_specificity(scores_N, positive_N) == 0.5
    assert sensitivity_at_specificity(-scores_N, positive_N) == 0


def undefined(logits: list[list[float]], labels: list[int]) -> set[str]:
    logits_NK = np.array(logits, np.float32).reshape(len(labels), -1)
    scores = outcome_scores(logits_NK, np.array(labels, np.int64))
    return {name for name, value in scores.items() if value is None}


ALL = {"auc_ovr", "quadratic_kappa", "sensitivity_at_95", "aurc"}


@pytest.mark.parametrize(
    ("logits", "labels", "names"),
    [
        ([[0.1, 2.0], [1.0, 0.3]], [1, 0], set()),
        ([[0.1, 2.0, 0.0], [1.0, 0.3, 0.0]], [1, 0], {"sensitivity_at_95"}),
        # All images show one class: nothing is ranked, and chance makes no error.
        ([[0.1, 2.0], [0.2, 0.3]], [1, 1], {"auc_ovr", "quadratic_kappa", "sensitivity_at_95"}),
        ([[0.1, 2.0]], [1], {"auc_ovr", "quadratic_kappa", "sensitivity_at_95"}),
        ([[0.1]], [0], {"auc_ovr", "quadratic_kappa", "sensitivity_at_95"}),
        ([[np.nan, np.nan], [1.0, 0.3]], [1, 0], ALL),
    ],
    ids=["two classes", "three classes", "one class shown", "one image", "one class", "NaN"],
)
def test_what_is_not_defined(logits: list[list[float]], labels: list[int], names: set[str]) -> None:
    assert undefined(logits, labels) == names


def test_without_images_nothing_is_defined() -> None:
    none = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    assert set(outcome_scores(*none).values()) == {None}
    assert class_intervals(*none) == {}


@pytest.mark.parametrize("classes", [2, 7])
def test_every_metric_has_an_interval_around_it(classes: int) -> None:
    logits_NK, labels_N = sample(classes)
    counter = Classification(classes)
    counter.update(torch.from_numpy(logits_NK), torch.from_numpy(labels_N))
    metrics = counter.compute() | class_scores(logits_NK, labels_N)
    assert metrics.pop("ece_of_calibrated") is not None  # a mean over chance, not over images
    if classes == 2:
        metrics["auc"] = metrics["auc_ovr"]
    divisor_N = cross_fitted(logits_NK, labels_N)
    intervals = class_intervals(logits_NK, labels_N, divisor_N)
    defined = {name for name, value in metrics.items() if value is not None}
    assert set(intervals) == defined
    assert defined <= set(EVALUATED)
    for name, (low, high) in intervals.items():
        value = metrics[name]
        assert value is not None
        assert low < high
        assert low <= value <= high, name
    assert class_intervals(logits_NK, labels_N, divisor_N) == intervals
    # Without a temperature there is no calibrated metric.
    raw = class_intervals(logits_NK, labels_N)
    assert set(intervals) - set(raw) == {"calibrated_ece", "calibrated_loss"}
    assert raw.items() <= intervals.items()


def test_of_perfect_predictions_only_counts_say_how_rare_errors_are() -> None:
    labels_N = np.arange(40) % 4
    logits_NK = 30 * np.eye(4, dtype=np.float32)[labels_N]
    intervals = class_intervals(logits_NK, labels_N)
    assert intervals["top1"] == pytest.approx((91.19, 100), abs=0.01)
    assert 80 < intervals["balanced_accuracy"][0] < 90
    assert not {"auc_ovr", "quadratic_kappa", "macro_f1", "aurc"} & set(intervals)


def test_a_single_image_has_exact_intervals_alone() -> None:
    logits_NK, labels_N = sample(7, images=1)
    assert set(class_intervals(logits_NK, labels_N)) == {"top1", "top5", "balanced_accuracy"}


def test_images_without_logits_are_wrong() -> None:
    logits_NK, labels_N = sample(3)
    logits_NK[:2] = np.nan
    intervals = class_intervals(logits_NK, labels_N)
    assert set(intervals) == {"top1", "balanced_accuracy", "macro_f1"}
    right = (logits_NK[2:].argmax(1) == labels_N[2:]).sum()
    assert intervals["top1"][0] < 100 * right / N < intervals["top1"][1]


def test_the_interval_of_the_mean_recall() -> None:
    right_N = np.arange(90) % 10 > 0
    labels_N = np.arange(90) % 3
    low, high = mean_recall_interval(right_N, labels_N, 5) or (0, 0)
    # As many images in each class: about that of the accuracy, 81 of 90.
    assert (low, high) == pytest.approx((81, 94), abs=1.5)
    assert mean_recall_interval(right_N[:0], labels_N[:0], 5) is None
