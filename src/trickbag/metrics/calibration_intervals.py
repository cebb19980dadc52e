"""95 % intervals of calibration errors over images.

A calibration error is a sum over cells (bins of confidence, or bins of each class's probability) of
absolute gaps between frequency and probability. Chance alone makes a gap of every cell: the error
is too high, the more cells there are for the images, and the mean of its resamples is higher still,
so that no bootstrap gives an honest interval. These intervals are drawn apart instead, so that they
hold whatever the gaps are:

    E + 1.96 s   and   E - sqrt(2 / pi) sum_c s_c - 1.96 s

with the error E = sum_c |g_c|, the standard error s of the sum, and s_c that of the gap of a cell.
The high end holds as a mean of absolute values is at least the absolute value of the mean; the low
end as it is greater by no more than the mean absolute value of a normal deviate.

Shapes: N images, K classes, B bins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.calibration_errors import (
    BINS,
    equal_count_bins,
    equal_width_bins,
    negative_log_likelihoods,
)
from trickbag.metrics.probabilities import Confidences, softmax
from trickbag.metrics.temperature import calibrated_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from trickbag.metrics.bootstrap import Interval

__all__ = [
    "adaptive_ece_interval",
    "calibrated_confidences",
    "calibrated_losses",
    "classwise_ece_interval",
    "ece_interval",
]

_Z = 1.959963984540054
_CHUNK = 1 << 22
"""Probabilities that are binned at once."""


def ece_interval(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> Interval:
    """Return the interval, in percent, of the expected calibration error (`ece`)."""
    return _gap_interval(equal_width_bins(confidence_N), confidence_N, right_N)


def adaptive_ece_interval(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]
) -> Interval:
    """Return the interval, in percent, of `adaptive_ece`, whose bins are taken as they are."""
    return _gap_interval(equal_count_bins(confidence_N), confidence_N, right_N)


def classwise_ece_interval(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], bins: int = BINS
) -> Interval:
    """Return the interval, in percent, of `classwise_ece`.

    With many classes for the images the low end is 0: most cells have no image of their class.
    """
    images, classes = logits_NK.shape
    cells = bins * classes
    gap_C, seen_C, expected_C = np.zeros((3, cells))
    for rows, place_NK, share_NK, gap_NK in _cells_of_classes(logits_NK, labels_N, bins):
        del rows
        for total_C, value_NK in (
            (gap_C, gap_NK),
            (seen_C, gap_NK**2),
            (expected_C, share_NK * (1 - share_NK)),
        ):
            total_C += np.bincount(place_NK.ravel(), value_NK.ravel(), minlength=cells)
    signs_C, signed_N = np.sign(gap_C), np.empty(images)
    for rows, place_NK, _, gap_NK in _cells_of_classes(logits_NK, labels_N, bins):
        signed_N[rows] = (signs_C[place_NK] * gap_NK).sum(axis=1)
    return _interval(gap_C, seen_C, expected_C, signed_N, scale=1 / classes)


def calibrated_confidences(
    logits_NK: NDArray[Any],
    labels_N: NDArray[np.int64],
    divisor: float | NDArray[np.float64],
) -> Confidences:
    """Return the confidences of logits divided by a temperature, or by one for each image."""
    return Confidences.of(calibrated_logits(logits_NK, divisor), labels_N)


def calibrated_losses(
    logits_NK: NDArray[Any],
    labels_N: NDArray[np.int64],
    divisor: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the negative log-likelihood (N,) of logits divided by a temperature, in nats."""
    return negative_log_likelihoods(calibrated_logits(logits_NK, divisor), labels_N)


def _cells_of_classes(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], bins: int
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
    """Yield rows of images, and for each class: cell, probability, and 0 or 1 less it."""
    images, classes = logits_NK.shape
    step = max(1, _CHUNK // classes)
    for start in range(0, images, step):
        rows = slice(start, min(start + step, images))
        share_NK = softmax(logits_NK[rows])
        gap_NK = -share_NK
        gap_NK[np.arange(len(gap_NK)), labels_N[rows]] += 1
        yield rows, equal_width_bins(share_NK, bins) + bins * np.arange(classes), share_NK, gap_NK


def _gap_interval(
    bin_N: NDArray[np.int64], confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]
) -> Interval:
    gap_N = right_N - confidence_N
    gap_B = _sums(bin_N, gap_N)
    seen_B, expected_B = _sums(bin_N, gap_N**2), _sums(bin_N, confidence_N * (1 - confidence_N))
    return _interval(gap_B, seen_B, expected_B, np.sign(gap_B)[bin_N] * gap_N)


def _sums(bin_N: NDArray[np.int64], values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    sums_B: NDArray[Any] = np.bincount(bin_N, weights=values_N)
    return sums_B


def _interval(
    gap_C: NDArray[np.float64],
    seen_C: NDArray[np.float64],
    expected_C: NDArray[np.float64],
    signed_N: NDArray[np.float64],
    scale: float = 1.0,
) -> Interval:
    """Return the interval of the sum of absolute gaps, which are sums over images, in percent.

    A gap's variance is what was seen, or what the probabilities expect where that is more: in a
    cell of rare hits often none is seen.
    """
    images = len(signed_N)
    error = float(np.abs(gap_C).sum()) / images
    chance = math.sqrt(2 / math.pi) * float(np.sqrt(np.maximum(seen_C, expected_C)).sum()) / images
    margin = _Z * float(signed_N.std()) / math.sqrt(images)
    low, high = error - chance - margin, error + margin
    return (
        round(100 * max(0.0, scale * low), 8),
        round(100 * min(1.0, scale * high), 8),
    )
