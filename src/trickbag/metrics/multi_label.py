"""Metrics of images with several labels each, and thresholds that turn probabilities into labels.

Shapes: N images, K classes. Everything here is numpy, in float64, on probabilities that were kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ClassScore", "MultiLabel", "average_precision", "best_thresholds", "f1"]


def average_precision(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float | None:
    """Return the average precision of one class, in [0, 1]; None where no image has it.

    `sum_n (R_n - R_{n-1}) P_n` over the distinct scores from the highest down, without
    interpolation: images of equal score are taken together.
    """
    if not positive_N.any():
        return None
    order = np.argsort(-scores_N, kind="stable")
    scores, right = scores_N[order], np.cumsum(positive_N[order])
    last = np.append(np.diff(scores) != 0, True)  # of each run of equal scores
    taken, right = np.flatnonzero(last) + 1, right[last]
    recall = right / right[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * right / taken))


def f1(right: float, predicted: float, positive: float) -> float | None:
    """Return F1 in [0, 1] of counts: the labels given rightly, given at all, and there; None where
    there are none."""
    return 2 * right / (predicted + positive) if predicted + positive else None


def best_thresholds(
    scores_NK: NDArray[np.float64], labels_NK: NDArray[np.int64]
) -> tuple[float, ...]:
    """Return for each class the threshold in (0, 1) from which on a score means the label, chosen for the best F1.

    It lies halfway between two scores of the images (or a score and 0), of equally good ones the
    nearest to 0.5; a class that no image has, or every image, keeps 0.5. Of many classes with few
    images this fits the images it is chosen on: metrics at these thresholds are worth what other
    images say of them.
    """
    return tuple(
        _best_threshold(scores, positive)
        for scores, positive in zip(scores_NK.T, labels_NK.T > 0, strict=True)
    )


def _best_threshold(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float:
    if not positive_N.any() or positive_N.all():
        return 0.5
    levels = np.unique(scores_N)  # ascending
    middles = (levels + np.concatenate([[0.0], levels[:-1]])) / 2
    # The labels given from each level on, and how many of them are right.
    place = np.searchsorted(levels, scores_N)
    given = np.cumsum(np.bincount(place, minlength=len(levels))[::-1])[::-1]
    right = np.cumsum(np.bincount(place[positive_N], minlength=len(levels))[::-1])[::-1]
    gain = 2 * right / (given + positive_N.sum())
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """What was found for one class: images that have it, average precision and F1 in percent (None
    where undefined)."""

    positives: int
    average_precision: float | None
    f1: float | None
    threshold: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiLabel:
    """`scores` are probabilities (N, K), `labels` (N, K) of 0 and 1, `thresholds` one for each
    class."""

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
        """Measure at given thresholds, or at those that are the best for these very images."""
        return cls(
            scores=scores_NK,
            labels=labels_NK,
            thresholds=best_thresholds(scores_NK, labels_NK) if thresholds is None else thresholds,
        )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The labels that the probabilities come to, (N, K) of 0 and 1."""
        return (self.scores >= np.array(self.thresholds)).astype(np.int64)

    def per_class(self) -> list[ClassScore]:
        """Score every class, in order."""
        found = []
        for k, threshold in enumerate(self.thresholds):
            positive_N, given_N = self.labels[:, k] > 0, self.predicted[:, k] > 0
            found.append(
                ClassScore(
                    positives=int(positive_N.sum()),
                    average_precision=_percent(average_precision(self.scores[:, k], positive_N)),
                    f1=_percent(f1((positive_N & given_N).sum(), given_N.sum(), positive_N.sum())),
                    threshold=threshold,
                )
            )
        return found

    def metrics(self) -> dict[str, float | None]:
        """Return `map`, `f1`, `f1_micro` and `f1_at_half`, in percent, None where undefined.

        `map` is the mean of the average precision over the classes that an image has; `f1` the mean
        over the classes of F1 at the thresholds, `f1_at_half` at 0.5; `f1_micro` is F1 of all
        labels together at the thresholds.
        """
        classes = self.per_class()
        half = MultiLabel(
            scores=self.scores, labels=self.labels, thresholds=(0.5,) * len(self.thresholds)
        ).per_class()
        labels, given = self.labels > 0, self.predicted > 0
        return {
            "map": _mean([one.average_precision for one in classes]),
            "f1": _mean([one.f1 for one in classes]),
            "f1_micro": _percent(f1((labels & given).sum(), given.sum(), labels.sum())),
            "f1_at_half": _mean([one.f1 for one in half]),
        }


def _percent(share: float | np.floating[Any] | None) -> float | None:
    return None if share is None else 100 * float(share)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
