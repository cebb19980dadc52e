"""The calibration error that chance alone gives: that of a predictor whose confidences are right.

Shapes: N images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.metrics.calibration_errors import BINS, equal_width_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["expected_ece"]


def expected_ece(confidence_N: NDArray[np.float64], bins: int = BINS) -> float | None:
    """Return the mean ECE, in percent, of a perfectly calibrated predictor of these confidences.

    Such a predictor is right about each image with the probability that it states, and still its
    accuracy in a bin differs from the mean confidence by chance: the fewer the images, the more. It
    is the exact mean, `100 / N sum_b E|R_b - sum_i p_i|`, over the distribution of the number `R_b`
    of right predictions in a bin, a sum of independent draws with the probabilities `p_i`. None
    without images, or if a confidence is not finite.
    """
    if not len(confidence_N) or not np.isfinite(confidence_N).all():
        return None
    share_N = np.clip(np.asarray(confidence_N, np.float64), 0, 1)
    bin_N = equal_width_bins(share_N, bins)
    gap = sum(_mean_deviation(share_N[bin_N == b]) for b in np.unique(bin_N))
    return float(100 * gap / len(share_N))


def _mean_deviation(share_N: NDArray[np.float64]) -> float:
    """Return the mean absolute deviation from its mean of a sum of draws of 0 or 1."""
    chance = _distribution(share_N)
    return float(np.abs(np.arange(len(chance)) - share_N.sum()) @ chance)


def _distribution(share_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chances (N + 1,) of the sums 0 to N of draws of 1 with these probabilities."""
    # Pairs of distributions are convolved until one is left, all pairs of a round at once.
    rounds = (len(share_N) - 1).bit_length()
    chances = np.zeros((1 << rounds, 2))
    chances[:, 0] = 1  # of the draws that fill up to a power of two, which are 0
    chances[: len(share_N)] = np.stack([1 - share_N, share_N], axis=1)
    for _ in range(rounds):
        length = 2 * chances.shape[1] - 1
        spectra = np.fft.rfft(chances, n=1 << (length - 1).bit_length(), axis=1)
        size = 2 * (spectra.shape[1] - 1)
        chances = np.fft.irfft(spectra[0::2] * spectra[1::2], n=size, axis=1)[:, :length]
    result: NDArray[np.float64] = chances[0, : len(share_N) + 1]
    return result
