"""The difference of two predictors that answer for the same images, with an interval over them.

Shapes: N images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["PairedDifference", "paired_difference"]

_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

_HALVINGS = 60


class PairedDifference(NamedTuple):
    """The mean of a difference of shares, from -1 to 1, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    right_N: NDArray[np.bool_], reference_N: NDArray[np.bool_]
) -> PairedDifference:
    """Return by how much the share of right answers is above that of a reference.

    Both answer for the same N images. The interval is the score interval of Tango (1998, Statistics
    in Medicine 17, equations 5 to 8); it leaves 0 out where the z of McNemar's test, without
    continuity correction, is above 1.96. Raises ValueError without images.
    """
    right, reference = np.asarray(right_N, bool), np.asarray(reference_N, bool)
    if right.shape != reference.shape or right.ndim != 1 or not len(right):
        raise ValueError(f"answers {right.shape} and {reference.shape}: must be (N,), N above 0")
    n = len(right)
    better, worse = int((right & ~reference).sum()), int((~right & reference).sum())
    mean = (better - worse) / n
    return PairedDifference(
        mean,
        _crossing(lambda delta: _score(better, worse, n, delta) > _Z, -1.0, mean),
        _crossing(lambda delta: _score(better, worse, n, delta) > -_Z, mean, 1.0),
    )


def _score(better: int, worse: int, n: int, delta: float) -> float:
    """Return Tango's statistic of a difference `delta`; it falls as `delta` grows."""
    b = -better - worse + (2 * n - better + worse) * delta
    root = math.sqrt(max(b * b + 8 * n * worse * delta * (1 - delta), 0.0))
    share = max((root - b) / (4 * n), 0.0)
    variance = n * (2 * share + delta * (1 - delta))
    difference = better - worse - n * delta
    if variance <= 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(variance)


def _crossing(is_below: Callable[[float], Any], low: float, high: float) -> float:
    """Return where a condition that holds at `low` ceases to hold, up to `high`."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
