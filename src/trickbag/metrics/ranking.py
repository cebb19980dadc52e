"""Metrics of classes that follow from the order of scores alone.

Shapes: N images, K classes, R sets of weights of the images, T thresholds. Everything is numpy in
float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "SPECIFICITY",
    "auc_ovr",
    "by_class",
    "macro_auc",
    "placements",
    "roc_auc",
    "sensitivity_at_specificity",
    "weighted_sensitivity",
]

SPECIFICITY = 0.95
"""The specificity of the metric `sensitivity_at_95`."""

_CLASSES = 64
"""Classes whose scores are copied at a time: those of all would take the memory of the logits."""


def roc_auc(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve, in [0, 1].

    It is the share of the pairs of a positive and a negative image in which the positive one has
    the higher score; a pair of equal scores counts half. Pairs are counted exactly, by rank. None
    if there is no positive or no negative image, or if a score is NaN.
    """
    positive, negative = scores_N[positive_N], scores_N[~positive_N]
    if not len(positive) or not len(negative) or np.isnan(scores_N).any():
        return None
    # The few are sorted and the many looked up: of a thousand classes each has few images.
    swapped = len(positive) < len(negative)
    few, many = (positive, negative) if swapped else (negative, positive)
    few = np.sort(few)
    # Below each of the many: the few that are lower, and those lower or equal.
    lower = np.searchsorted(few, many, side="left")
    lower_or_equal = np.searchsorted(few, many, side="right")
    doubled = int(lower.sum(dtype=np.int64)) + int(lower_or_equal.sum(dtype=np.int64))
    pairs = 2 * len(positive) * len(negative)
    return (pairs - doubled if swapped else doubled) / pairs


def placements(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return, for each image, the share of the images of the other kind that it is in order with.

    For a positive image these are the negative ones with a lower score, for a negative image the
    positive ones with a higher score; equal scores count half. The mean over the positive images,
    and that over the negative ones, is the area under the ROC curve (DeLong et al. 1988). There
    must be images of both kinds, and no NaN.
    """
    placed_N = np.empty(len(scores_N))
    for sign, kind_N in ((1.0, positive_N), (-1.0, ~positive_N)):
        others = np.sort(sign * scores_N[~kind_N])
        scores = sign * scores_N[kind_N]
        below = np.searchsorted(others, scores, side="left")
        below = below + np.searchsorted(others, scores, side="right")
        placed_N[kind_N] = below / (2 * len(others))
    return placed_N


def by_class(logits_NK: NDArray[np.floating[Any]]) -> Iterator[NDArray[np.float64]]:
    """Yield, class by class, the logarithms (N,) of the probabilities of the images.

    By them images are ranked: the probabilities themselves are 1 for every logit that is large
    enough.
    """
    images, classes = logits_NK.shape
    norm_N = np.empty(images)
    for start in range(0, images, 4096):
        rows = np.asarray(logits_NK[start : start + 4096], dtype=np.float64)
        top = rows.max(axis=1, initial=-np.inf)
        norm_N[start : start + 4096] = top + np.log(np.exp(rows - top[:, None]).sum(axis=1))
    for start in range(0, classes, _CLASSES):
        # Transposed once for many: single columns lie far apart in memory.
        block = logits_NK[:, start : start + _CLASSES].T.astype(np.float64, order="C")
        yield from block - norm_N


def macro_auc(areas: list[float | None]) -> float | None:
    """Return the mean of the areas that are defined; None if none is."""
    defined = [area for area in areas if area is not None]
    return sum(defined) / len(defined) if defined else None


def auc_ovr(logits_NK: NDArray[np.floating[Any]], labels_N: NDArray[np.int64]) -> float | None:
    """Return the mean area under the ROC curve of each class against the rest, in [0, 1].

    Images are ranked by the probability of the class. The mean is over the classes that some
    images show and others do not; None if there is no such class, or if a logit is NaN. It is
    scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")` where each class has images.
    """
    if not len(labels_N) or logits_NK.shape[1] < 2 or np.isnan(logits_NK).any():
        return None
    return macro_auc(
        [roc_auc(scores_N, labels_N == k) for k, scores_N in enumerate(by_class(logits_NK))]
    )


def sensitivity_at_specificity(
    scores_N: NDArray[np.float64],
    positive_N: NDArray[np.bool_],
    specificity: float = SPECIFICITY,
) -> float | None:
    """Return the highest sensitivity at which the specificity is at least `specificity`.

    An image is called positive if its score is at least a threshold; thresholds are the scores of
    the images, and one above all of them. Sensitivity is the share of the positive images that are
    called positive, specificity that of the negative ones that are not; all lie in [0, 1]. None
    without positive or without negative images, or if a score is NaN.
    """
    if not positive_N.any() or positive_N.all() or np.isnan(scores_N).any():
        return None
    weights_1N = np.ones((1, len(scores_N)))
    return float(weighted_sensitivity(weights_1N, scores_N, positive_N, specificity)[0])


def weighted_sensitivity(
    weights_RN: NDArray[np.float64],
    scores_N: NDArray[np.float64],
    positive_N: NDArray[np.bool_],
    specificity: float = SPECIFICITY,
) -> NDArray[np.float64]:
    """Return the sensitivity (R,) as `sensitivity_at_specificity`, of images with weights (R, N).

    NaN where the weights leave no positive or no negative image.
    """
    order = np.argsort(-scores_N, kind="stable")
    # The last place of each run of equal scores: they are called positive together.
    last = np.append(np.diff(scores_N[order]) != 0, True)
    sorted_RN, positive = weights_RN[:, order], positive_N[order]
    right_RT = np.cumsum(sorted_RN * positive, axis=1)[:, last]
    wrong_RT = np.cumsum(sorted_RN * ~positive, axis=1)[:, last]
    # A hair more, as 1 - 0.95 is no exact number.
    allowed_R1 = (1 - specificity + 1e-9) * wrong_RT[:, -1:]
    thresholds_R = (wrong_RT <= allowed_R1).sum(axis=1)
    called_R = np.where(thresholds_R > 0, right_RT[np.arange(len(right_RT)), thresholds_R - 1], 0.0)
    defined_R = (right_RT[:, -1] > 0) & (wrong_RT[:, -1] > 0)
    return np.where(defined_R, called_R / np.maximum(right_RT[:, -1], 1e-300), np.nan)
