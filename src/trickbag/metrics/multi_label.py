"""Metrics of images with several labels, and the thresholds that turn probabilities into labels.

Shapes: N images, K classes. Everything is numpy in float64, on the stored probabilities of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.per_class import ClassScore
from trickbag.metrics.ranking import roc_auc

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelScore", "MultiLabel", "average_precision", "best_thresholds", "f1"]


def average_precision(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float | None:
    """Return the average precision of one class, in [0, 1]; None if no image has the class.

    `sum_n (R_n - R_{n-1}) P_n` over the distinct scores in descending order, without interpolation:
    images with equal scores are taken together.
    """
    if not positive_N.any():
        return None
    order = np.argsort(-scores_N, kind="stable")
    scores, right = scores_N[order], np.cumsum(positive_N[order])
    # The last place of each run of equal scores.
    last = np.append(np.diff(scores) != 0, True)
    predicted, right = np.flatnonzero(last) + 1, right[last]
    recall = right / right[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * right / predicted))


def f1(right: float, predicted: float, positive: float) -> float | None:
    """Return F1, in [0, 1], of numbers of labels; None if no label is predicted and none is true.

    right: predicted and true. predicted: predicted, true or not. positive: true, predicted or not.
    """
    return 2 * right / (predicted + positive) if predicted + positive else None


def best_thresholds(
    scores_NK: NDArray[np.float64], labels_NK: NDArray[np.int64]
) -> tuple[float, ...]:
    """Return, for each class, the threshold in (0, 1) with the best F1.

    A score from the threshold up means the label. The threshold lies halfway between two scores of
    the images (or a score and 0); of equally good ones it is the nearest to 0.5. A class that no
    image has, or every image, has the threshold 0.5.

    Thresholds fit the images that they are chosen on, the more so the fewer images a class has: F1
    at these thresholds is honest only on other images.
    """
    return tuple(
        _best_threshold(scores, positive)
        for scores, positive in zip(scores_NK.T, labels_NK.T > 0, strict=True)
    )


def _best_threshold(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float:
    if not positive_N.any() or positive_N.all():
        return 0.5
    levels = np.unique(scores_N)
    thresholds = (levels + np.concatenate([[0.0], levels[:-1]])) / 2
    # For each threshold, the number of labels predicted, and of those predicted right.
    place = np.searchsorted(levels, scores_N)
    predicted = np.cumsum(np.bincount(place, minlength=len(levels))[::-1])[::-1]
    right = np.cumsum(np.bincount(place[positive_N], minlength=len(levels))[::-1])[::-1]
    f1_scores = 2 * right / (predicted + positive_N.sum())
    # All that are equal but for rounding.
    best = np.flatnonzero(f1_scores >= f1_scores.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


@dataclass(frozen=True, kw_only=True)
class LabelScore(ClassScore):
    """The scores of one class of images with several labels, as predicted from `threshold` up.

    average_precision: in percent, None if no image has the class.
    """

    average_precision: float | None
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain data; `positives` is the former name of `support`."""
        return super().to_dict() | {"positives": self.support}


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiLabel:
    """Probabilities `scores` (N, K) with `labels` (N, K) of 0 and 1, and a threshold per class."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    thresholds: tuple[float, ...]

    @classmethod
    def of(
        cls,
        scores_NK: NDArray[np.float64],
        labels_NK: NDArray[np.int64],
        thresholds: tuple[float, ...] | None,
    ) -> MultiLabel:
        """Measure at the given thresholds; None takes the best ones for these very images."""
        return cls(
            scores=scores_NK,
            labels=labels_NK,
            thresholds=best_thresholds(scores_NK, labels_NK) if thresholds is None else thresholds,
        )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted labels, (N, K) of 0 and 1."""
        return (self.scores >= np.array(self.thresholds)).astype(np.int64)

    def per_class(self) -> list[LabelScore]:
        """Return the scores of every class, in order."""
        predicted_NK, labels_NK = self.predicted > 0, self.labels > 0
        scores = []
        for k, threshold in enumerate(self.thresholds):
            positive_N, predicted_N = labels_NK[:, k], predicted_NK[:, k]
            counts = (int(n.sum()) for n in (positive_N & predicted_N, predicted_N, positive_N))
            scores.append(
                LabelScore(
                    **vars(ClassScore.of(*counts)),
                    average_precision=_percent(average_precision(self.scores[:, k], positive_N)),
                    threshold=threshold,
                )
            )
        return scores

    def metrics(self) -> dict[str, float | None]:
        """Return `map`, `auc_ovr`, `f1`, `f1_micro`, `f1_at_half`, in percent, None if undefined.

        map: the mean of the average precision over the classes that an image has. auc_ovr: the mean
        of the area under the ROC curve over the classes that some images have and others have not.
        f1: the mean of F1 over the classes, at the thresholds; f1_at_half: at 0.5. f1_micro: F1 of
        all labels together, at the thresholds.
        """
        classes = self.per_class()
        half = MultiLabel(
            scores=self.scores, labels=self.labels, thresholds=(0.5,) * len(self.thresholds)
        ).per_class()
        labels, predicted = self.labels > 0, self.predicted > 0
        micro = f1((labels & predicted).sum(), predicted.sum(), labels.sum())
        return {
            "map": _mean([score.average_precision for score in classes]),
            "auc_ovr": _percent(self._mean_area()),
            "f1": _mean([score.f1 for score in classes]),
            "f1_micro": _percent(micro),
            "f1_at_half": _mean([score.f1 for score in half]),
        }

    def _mean_area(self) -> float | None:
        if len(self.thresholds) < 2:
            return None
        columns = zip(self.scores.T, self.labels.T > 0, strict=True)
        return _mean([roc_auc(scores_N, positive_N) for scores_N, positive_N in columns])


def _percent(share: float | np.floating[Any] | None) -> float | None:
    return None if share is None else 100 * float(share)


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
