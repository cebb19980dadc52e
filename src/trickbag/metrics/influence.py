"""The influence of single images on numbers that are ranks or means over classes.

Such a number is, to first order, its value plus the weighted mean of these influences: with them an
interval costs no more than the number itself, however many classes there are. They are those of the
infinitesimal jackknife (Jaeckel 1972; Efron 1982, chapter 6). Their mean is 0.

Shapes: N images, K classes. Everything is numpy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.metrics.ranking import placements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "auc_influence",
    "aurc_influence",
    "label_f1_influence",
    "macro_f1_influence",
    "macro_influence",
    "precision_influence",
]


def auc_influence(
    scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Return the influence (N,) on the area under the ROC curve; None where it is undefined.

    Its mean square is the variance of DeLong et al. 1988, times the number of images.
    """
    if not positive_N.any() or positive_N.all() or np.isnan(scores_N).any():
        return None
    placed_N = placements(scores_N, positive_N)
    share = positive_N.mean()
    area = placed_N[positive_N].mean()
    influence_N: NDArray[np.float64] = (placed_N - area) / np.where(positive_N, share, 1 - share)
    return influence_N


def precision_influence(
    scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Return the influence (N,) on the average precision; None where it is undefined.

    The average precision is the mean, over the positive images, of the precision at their scores.
    An image changes the mean, and the precision at each score that is not above its own.
    """
    if not positive_N.any() or np.isnan(scores_N).any():
        return None
    runs = _Runs.of(scores_N)
    positive = positive_N[runs.order]
    right = runs.up_to(positive)
    precision, positives = right / runs.number, int(positive.sum())
    average = precision[positive].sum() / positives
    change = positive * (precision - average + runs.from_on(positive / runs.number))
    change = change - runs.from_on(positive * right / runs.number**2)
    return runs.unsorted(change * len(scores_N) / positives)


def aurc_influence(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the influence (N,) on the area under the risk-coverage curve.

    An image changes the mean, and the risk at each confidence that is not above its own.
    """
    runs = _Runs.of(confidence_N)
    wrong = ~right_N[runs.order]
    errors = runs.up_to(wrong)
    risk = errors / runs.number
    change = risk - risk.mean() + wrong * runs.from_on(1 / runs.number)
    return runs.unsorted(change - runs.from_on(errors / runs.number**2))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Runs:
    """N images in the order of falling scores, those of equal scores together.

    `order` are their places; `starts` and `ends` the places, in this order, of the first and the
    last image with the score of each. `number` counts the images with at least the score of each.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, scores_N: NDArray[np.float64]) -> _Runs:
        order = np.argsort(-scores_N, kind="stable")
        is_last = np.append(np.diff(scores_N[order]) != 0, True)
        ends = np.flatnonzero(is_last)
        run = np.cumsum(is_last) - is_last
        starts = np.concatenate([[0], ends[:-1] + 1])
        return cls(order=order, starts=starts[run], ends=ends[run])

    @property
    def number(self) -> NDArray[np.float64]:
        return self.ends.astype(np.float64) + 1

    def up_to(self, values: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Sum over the images with at least the score of each."""
        return np.cumsum(values, dtype=np.float64)[self.ends]

    def from_on(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the images with at most the score of each."""
        return np.cumsum(values[::-1])[::-1][self.starts]

    def unsorted(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values, which are in this order, in the order of the images."""
        result = np.empty(len(values))
        result[self.order] = values
        return result


def macro_influence(
    influences: Iterable[NDArray[np.float64] | None], images: int
) -> NDArray[np.float64]:
    """Return the influence (N,) on the mean over the classes for which it is defined."""
    total_N, classes = np.zeros(images), 0
    for influence_N in influences:
        if influence_N is not None:
            total_N += influence_N
            classes += 1
    return total_N / max(1, classes)


def macro_f1_influence(
    predicted_N: NDArray[np.int64], labels_N: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Return the influence (N,) on the mean F1 over the classes shown or predicted.

    A predicted class of -1 is none.
    """
    right_N, called_N = predicted_N == labels_N, predicted_N >= 0
    right_K = np.bincount(labels_N[right_N], minlength=classes)
    total_K = np.bincount(labels_N, minlength=classes)
    total_K = total_K + np.bincount(predicted_N[called_N], minlength=classes)
    defined = max(1, int((total_K > 0).sum()))
    share_K = 1 / np.maximum(1, total_K)
    f1_share_K = 2 * right_K * share_K**2
    change_N = 2 * right_N * share_K[labels_N] - f1_share_K[labels_N]
    change_N = change_N - np.where(called_N, f1_share_K[predicted_N], 0.0)
    influence_N: NDArray[np.float64] = change_N * len(labels_N) / defined
    return influence_N


def label_f1_influence(
    predicted_NK: NDArray[np.bool_], labels_NK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the influence (N,) on the mean F1 over the labels that are true or predicted.

    An image has any number of labels.
    """
    right_K = (predicted_NK & labels_NK).sum(axis=0)
    total_K = predicted_NK.sum(axis=0) + labels_NK.sum(axis=0)
    defined = max(1, int((total_K > 0).sum()))
    share_K = 1 / np.maximum(1, total_K)
    change_N = (predicted_NK & labels_NK) @ (2 * share_K)
    change_N = change_N - (predicted_NK.astype(np.int8) + labels_NK) @ (2 * right_K * share_K**2)
    influence_N: NDArray[np.float64] = change_N * len(labels_NK) / defined
    return influence_N
