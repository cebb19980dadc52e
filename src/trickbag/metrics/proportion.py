"""Intervals of proportions: of how many images of a number something is so.

Shapes: K proportions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LEVEL", "clopper_pearson", "exact_interval", "lower_limit", "wilson"]

LEVEL = 0.95
"""The confidence of intervals."""


def clopper_pearson(
    right_K: ArrayLike, total_K: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact limits (K,), in [0, 1], of the proportions of `right_K` in `total_K`.

    Each limit is missed with a probability of (1 - level) / 2 at most, whatever the proportion is
    and however few images there are; the interval is therefore wider than need be. Of 0 images it
    is all of [0, 1]. Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits
    illustrated in the case of the binomial".
    """
    # Imported late: few commands need it.
    from scipy.special import betaincinv

    right, total = np.broadcast_arrays(
        np.asarray(right_K, np.float64), np.asarray(total_K, np.float64)
    )
    tail = (1 - level) / 2
    wrong = total - right
    # The beta function has no value at 0, where the limit is known.
    low = np.where(right > 0, betaincinv(np.where(right > 0, right, 1), wrong + 1, tail), 0.0)
    high = np.where(wrong > 0, betaincinv(right + 1, np.where(wrong > 0, wrong, 1), 1 - tail), 1.0)
    return low, high


def exact_interval(right: int, total: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the interval of Clopper and Pearson in percent; None of no images."""
    if total <= 0:
        return None
    low, high = clopper_pearson(right, total, level)
    return round(100 * float(low), 8), round(100 * float(high), 8)


def lower_limit(right: int, total: int, confidence: float) -> float:
    """Return the lower limit, in [0, 1], that a proportion exceeds with a confidence at least."""
    return float(clopper_pearson(right, total, 2 * confidence - 1)[0])


def wilson(
    share_K: ArrayLike, total_K: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % score limits (K,), in [0, 1], of shares in numbers of images.

    They hold on average over the proportions, not for each: they are narrower than the exact ones.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z, share, total = 1.959963984540054, np.asarray(share_K), np.asarray(total_K, np.float64)
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)
