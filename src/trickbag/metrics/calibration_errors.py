"""How far probabilities are from frequencies: calibration errors and proper scores of logits.

Shapes: N images, K classes, B bins. Everything is numpy in float64. Errors are in percent. All are
undefined, None, without images and where a logit is not finite. The negative log-likelihood is the
metric `loss` of an evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.probabilities import Confidences, log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BINS",
    "adaptive_ece",
    "bin_gap",
    "brier_score",
    "classwise_ece",
    "ece",
    "equal_count_bins",
    "equal_width_bins",
    "negative_log_likelihood",
    "negative_log_likelihoods",
]

BINS = 15
"""The number of bins of confidence, as in the papers."""

_CHUNK = 1 << 22
"""Probabilities that are binned at once."""


def equal_width_bins(share_N: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each share in [0, 1]: bins of equal width, open below and closed above."""
    # A share of 0 would fall into bin -1, one rounded to above 1 behind the last bin.
    return np.clip(np.ceil(share_N * bins).astype(np.int64) - 1, 0, bins - 1)


def equal_count_bins(confidence_N: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence: bins of equally many images.

    Images with equal confidence share a bin, so that their order changes nothing.
    """
    _, group_N, counts = np.unique(confidence_N, return_inverse=True, return_counts=True)
    # The middle of the places, from 0 to N, that the images of a confidence take in the order.
    middle = np.cumsum(counts) - counts / 2
    bin_N: NDArray[np.int64] = np.floor(middle * bins / len(confidence_N)).astype(np.int64)[group_N]
    return bin_N


def bin_gap(
    bin_N: NDArray[np.int64], confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]
) -> float:
    """Return `sum_b n_b |accuracy_b - confidence_b|`, in images."""
    # n_b |right_b / n_b - sum_b / n_b| in a form that needs no division by an empty bin's 0.
    return float(np.abs(np.bincount(bin_N, weights=right_N - confidence_N)).sum())


def ece(logits_NK: NDArray[Any], labels_N: NDArray[np.int64], bins: int = BINS) -> float | None:
    """Return the expected calibration error: `100 / N sum_b n_b |accuracy_b - confidence_b|`.

    The bins of confidence have equal width (Guo et al. 2017, equation 3).
    """
    if not _is_defined(logits_NK):
        return None
    images = Confidences.of(logits_NK, labels_N)
    bin_N = equal_width_bins(images.confidence, bins)
    return 100 * bin_gap(bin_N, images.confidence, images.right) / len(labels_N)


def adaptive_ece(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], bins: int = BINS
) -> float | None:
    """Return the calibration error over bins of equally many images, in percent.

    Such bins are those of Nguyen & O'Connor 2015; the mean over them is the AdaECE of Mukhoti et
    al. 2020. Images with equal confidence share a bin, so that their order changes nothing.
    """
    if not _is_defined(logits_NK):
        return None
    images = Confidences.of(logits_NK, labels_N)
    bin_N = equal_count_bins(images.confidence, bins)
    return 100 * bin_gap(bin_N, images.confidence, images.right) / len(labels_N)


def classwise_ece(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], bins: int = BINS
) -> float | None:
    """Return the mean over the classes of the calibration error of each class's probability.

    `100 / K sum_k sum_b n_kb / N |frequency_kb - probability_kb|`, in percent, with the probability
    of every class of every image in bins of equal width (Kull et al. 2019).
    With many classes it is small, as most probabilities are near 0.
    """
    if not _is_defined(logits_NK):
        return None
    n, classes = logits_NK.shape
    gap_KB = np.zeros(classes * bins)
    step = max(1, _CHUNK // classes)
    for start in range(0, n, step):
        chunk_NK = softmax(logits_NK[start : start + step])
        place_NK = equal_width_bins(chunk_NK, bins) + bins * np.arange(classes)
        chunk_NK[np.arange(len(chunk_NK)), labels_N[start : start + step]] -= 1
        gap_KB += np.bincount(place_NK.ravel(), chunk_NK.ravel(), minlength=len(gap_KB))
    return float(100 * np.abs(gap_KB).sum() / (classes * n))


def brier_score(logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> float | None:
    """Return the mean over images of `sum_k (p_k - y_k)^2`, in [0, 2] (Brier 1950)."""
    if not _is_defined(logits_NK):
        return None
    error_NK = softmax(logits_NK)
    error_NK[np.arange(len(labels_N)), labels_N] -= 1
    return float(np.square(error_NK, out=error_NK).sum() / len(labels_N))


def negative_log_likelihood(logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> float | None:
    """Return the mean over images of `-log p_label`, in nats."""
    if not _is_defined(logits_NK):
        return None
    return float(negative_log_likelihoods(logits_NK, labels_N).mean())


def negative_log_likelihoods(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return `-log p_label` (N,) of each image, in nats; NaN where a logit is not finite."""
    loss_N: NDArray[np.float64] = -log_softmax(logits_NK)[np.arange(len(labels_N)), labels_N]
    return loss_N


def _is_defined(logits_NK: NDArray[Any]) -> bool:
    return len(logits_NK) > 0 and bool(np.isfinite(logits_NK).all())
