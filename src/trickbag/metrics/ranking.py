"""Metrics of two classes that follow from the order of scores alone.

Shapes: N images. Everything is numpy in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["roc_auc"]


def roc_auc(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve, in [0, 1].

    It is the share of the pairs of a positive and a negative image in which the positive one has
    the higher score; a pair of equal scores counts half. Pairs are counted exactly, by rank. None
    if there is no positive or no negative image, or if a score is NaN.
    """
    positive, negative = scores_N[positive_N], np.sort(scores_N[~positive_N])
    if not len(positive) or not len(negative) or np.isnan(scores_N).any():
        return None
    # Below each positive image: the negative ones that are lower, and those lower or equal.
    lower = np.searchsorted(negative, positive, side="left")
    lower_or_equal = np.searchsorted(negative, positive, side="right")
    doubled = int(lower.sum(dtype=np.int64)) + int(lower_or_equal.sum(dtype=np.int64))
    return doubled / (2 * len(positive) * len(negative))
