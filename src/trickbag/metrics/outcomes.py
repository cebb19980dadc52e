"""Scores of images of one label each that need the logits of all images, and their intervals.

Shapes: N images, K classes, B bins of confidence, R sets of weights of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.agreement import quadratic_kappa, weighted_kappa
from trickbag.metrics.bootstrap import (
    Interval,
    Statistic,
    bootstrap_intervals,
    linear,
    mean_of,
)
from trickbag.metrics.calibration_intervals import (
    adaptive_ece_interval,
    calibrated_confidences,
    calibrated_losses,
    classwise_ece_interval,
    ece_interval,
)
from trickbag.metrics.influence import (
    auc_influence,
    aurc_influence,
    macro_f1_influence,
    macro_influence,
)
from trickbag.metrics.probabilities import log_softmax
from trickbag.metrics.proportion import exact_interval, wilson
from trickbag.metrics.ranking import (
    auc_ovr,
    by_class,
    sensitivity_at_specificity,
    weighted_sensitivity,
)
from trickbag.metrics.selective import aurc

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["class_intervals", "mean_recall_interval", "outcome_scores"]

_ROWS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outputs:
    """What the logits of each of N images come to.

    `predicted` is the class of the highest logit, -1 without finite logits. `log_confidence` is the
    logarithm of its probability, `loss` minus that of the label's, in nats. `brier` is the sum of
    the squared errors of the probabilities. `right5` says whether the label is among the five
    highest logits.
    """

    predicted: NDArray[np.int64]
    log_confidence: NDArray[np.float64]
    loss: NDArray[np.float64]
    brier: NDArray[np.float64]
    right5: NDArray[np.bool_]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, logits_NK: NDArray[np.floating[Any]], labels_N: NDArray[np.int64]) -> _Outputs:
        images, classes = logits_NK.shape
        predicted, right5 = np.empty(images, np.int64), np.zeros(images, np.bool_)
        log_confidence, loss, brier = np.empty((3, images))
        smaller_K = np.arange(classes)
        # In blocks: in float64 all logits would take twice the memory that they have.
        for start in range(0, images, _ROWS):
            rows = slice(start, start + _ROWS)
            logits, labels = logits_NK[rows], labels_N[rows, None]
            finite = ~np.isnan(logits).any(axis=1)
            predicted[rows] = np.where(finite, logits.argmax(axis=1), -1)
            logprob = log_softmax(logits)
            log_confidence[rows] = logprob.max(axis=1)
            loss[rows] = -np.take_along_axis(logprob, labels, axis=1)[:, 0]
            brier[rows] = np.exp(2 * logprob).sum(axis=1) - 2 * np.exp(-loss[rows]) + 1
            logit = np.take_along_axis(logits, labels, axis=1)
            before = (logits > logit) | ((logits == logit) & (smaller_K < labels))
            right5[rows] = finite & (before.sum(axis=1) < 5)
        return cls(
            predicted=predicted,
            log_confidence=log_confidence,
            loss=loss,
            brier=brier,
            right5=right5,
            labels=labels_N,
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        right_N: NDArray[np.bool_] = self.predicted == self.labels
        return right_N

    @property
    def finite(self) -> bool:
        """Whether all logits are finite."""
        return bool((self.predicted >= 0).all())


def outcome_scores(
    logits_NK: NDArray[np.floating[Any]], labels_N: NDArray[np.int64]
) -> dict[str, float | None]:
    """Return `auc_ovr`, `quadratic_kappa`, `sensitivity_at_95` and `aurc`; None where undefined.

    All but kappa are in percent. The classes are numbered in their order, which kappa weighs by;
    the second of two classes is the positive one. A score is None without images, and if a logit is
    NaN. Labels must not be negative.
    """
    classes, binary = logits_NK.shape[1], logits_NK.shape[1] == 2
    outputs = _Outputs.of(logits_NK, labels_N)
    kappa = sensitivity = area = None
    if outputs.finite and len(labels_N):
        kappa = quadratic_kappa(outputs.predicted, labels_N) if classes > 1 else None
        area = aurc(outputs.log_confidence, outputs.right)
        if binary:
            sensitivity = sensitivity_at_specificity(_difference(logits_NK), labels_N == 1)
    return {
        "auc_ovr": _percent(auc_ovr(logits_NK, labels_N)),
        "quadratic_kappa": kappa,
        "sensitivity_at_95": _percent(sensitivity),
        "aurc": _percent(area),
    }


def class_intervals(
    logits_NK: NDArray[np.floating[Any]],
    labels_N: NDArray[np.int64],
    divisor: float | NDArray[np.float64] | None = None,
) -> dict[str, Interval]:
    """Return the 95 % intervals, over images, of the metrics of images of one label each.

    They are in the units of the metrics. `top1` and `top5` have exact intervals, see
    `clopper_pearson`; `balanced_accuracy` that of a function here, calibration errors those of
    `calibration_intervals`; the others those of `bootstrap_intervals`, for which areas and means
    over classes stand for their influences. A metric that is undefined, or whose resamples do not
    vary, has none. `divisor` is the temperature of the calibrated metrics, which is taken as it is,
    or one for each image, (N,); without it they have no intervals. The result is the same for the
    same logits.
    """
    images, classes = logits_NK.shape
    if not images:
        return {}
    outputs = _Outputs.of(logits_NK, labels_N)
    intervals = {
        "top1": exact_interval(int(outputs.right.sum()), images),
        "top5": exact_interval(int(outputs.right5.sum()), images) if classes > 5 else None,
        "balanced_accuracy": mean_recall_interval(outputs.right, labels_N, classes),
    }
    statistics = _statistics(outputs, logits_NK)
    if outputs.finite and images > 1:
        confidence_N = np.exp(outputs.log_confidence)
        intervals |= {
            "ece": ece_interval(confidence_N, outputs.right),
            "adaptive_ece": adaptive_ece_interval(confidence_N, outputs.right),
            "classwise_ece": classwise_ece_interval(logits_NK, labels_N),
        }
        if divisor is not None:
            calibrated = calibrated_confidences(logits_NK, labels_N, divisor)
            intervals["calibrated_ece"] = ece_interval(calibrated.confidence, calibrated.right)
            losses_N = calibrated_losses(logits_NK, labels_N, divisor)
            statistics["calibrated_loss"] = mean_of(losses_N)
    scaled = bootstrap_intervals(statistics, images)
    for name, interval in scaled.items():
        in_percent = name not in ("loss", "calibrated_loss", "brier", "quadratic_kappa")
        intervals[name] = interval and _scaled(interval, 100 if in_percent else 1)
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _statistics(outputs: _Outputs, logits_NK: NDArray[np.floating[Any]]) -> dict[str, Statistic]:
    """Return the metrics that are resampled, as functions of the weights of the images."""
    classes, labels_N, right_N = logits_NK.shape[1], outputs.labels, outputs.right
    influence_N = macro_f1_influence(outputs.predicted, labels_N, classes)
    f1 = _macro_f1(outputs.predicted, labels_N, classes)
    statistics = {"macro_f1": linear(f1, influence_N)}
    if not outputs.finite:
        return statistics
    log_confidence_N = outputs.log_confidence
    statistics |= {
        "loss": mean_of(outputs.loss),
        "brier": mean_of(outputs.brier, high=2.0),
        "aurc": linear(
            aurc(log_confidence_N, right_N) or 0.0, aurc_influence(log_confidence_N, right_N)
        ),
    }
    if classes < 2:
        return statistics
    statistics["quadratic_kappa"] = Statistic(
        values=partial(weighted_kappa, predicted_N=outputs.predicted, labels_N=labels_N), low=-1.0
    )
    area = auc_ovr(logits_NK, labels_N)
    if area is not None:
        influence_N = macro_influence(
            (auc_influence(scores, labels_N == k) for k, scores in enumerate(by_class(logits_NK))),
            len(labels_N),
        )
        statistics["auc_ovr"] = linear(area, influence_N)
        if classes == 2:
            statistics["auc"] = statistics["auc_ovr"]
            statistics["sensitivity_at_95"] = Statistic(
                values=partial(
                    weighted_sensitivity,
                    scores_N=_difference(logits_NK),
                    positive_N=labels_N == 1,
                ),
                share_of=int((labels_N == 1).sum()),
            )
    return statistics


def mean_recall_interval(
    right_N: NDArray[np.bool_], labels_N: NDArray[np.int64], classes: int
) -> Interval | None:
    """Return the 95 % interval, in percent, of the mean recall over the classes shown.

    It is put together from the score intervals of the recalls (the method of variance estimates
    recovery, Zou and Donner 2008, "Construction of confidence limits about effect measures: a
    general approach"), and so has a width where every image is predicted rightly. None without
    images.
    """
    support_K = np.bincount(labels_N, minlength=classes)
    right_K = np.bincount(labels_N[right_N], minlength=classes)[support_K > 0]
    support_K = support_K[support_K > 0]
    if not len(support_K):
        return None
    recall_K = right_K / support_K
    low_K, high_K = wilson(recall_K, support_K)
    mean, number = float(recall_K.mean()), len(support_K)
    low = mean - float(np.sqrt(((recall_K - low_K) ** 2).sum())) / number
    high = mean + float(np.sqrt(((high_K - recall_K) ** 2).sum())) / number
    return round(100 * max(0.0, low), 8), round(100 * min(1.0, high), 8)


def _macro_f1(predicted_N: NDArray[np.int64], labels_N: NDArray[np.int64], classes: int) -> float:
    right_K = np.bincount(labels_N[predicted_N == labels_N], minlength=classes)
    total_K = np.bincount(labels_N, minlength=classes)
    total_K = total_K + np.bincount(predicted_N[predicted_N >= 0], minlength=classes)
    defined_K = total_K > 0
    return float((2 * right_K[defined_K] / total_K[defined_K]).mean())


def _difference(logits_N2: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return by how much the second of two logits is higher, which ranks images as auc does."""
    first, second = np.asarray(logits_N2, dtype=np.float64).T
    difference_N: NDArray[np.float64] = second - first
    return difference_N


def _scaled(interval: Interval, scale: float) -> Interval:
    # Multiplication brings back digits that were rounded away.
    return round(scale * interval[0], 8), round(scale * interval[1], 8)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
