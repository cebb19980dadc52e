"""Accuracy against confidence, in bins: what a reliability diagram shows.

Shapes: N images, B bins of confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.calibration_errors import BINS, equal_width_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Accuracy against confidence in B bins of equal width.

    `counts`, `accuracy` and `confidence` are (B,); the last two lie in [0, 1], and are NaN in a bin
    without images. `ece` is the expected calibration error in percent.
    """

    counts: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    ece: float


def reliability(
    confidence_N: NDArray[np.float64], right_N: NDArray[Any], bins: int = BINS
) -> Reliability | None:
    """Compare confidence with accuracy (Guo et al. 2017, section 2); None without images.

    Bins are open below and closed above, as in `trickbag.metrics.classification.Classification`.
    """
    if not len(confidence_N):
        return None
    bin_N = equal_width_bins(confidence_N, bins)
    counts_B = np.bincount(bin_N, minlength=bins)
    right_B = np.bincount(bin_N, weights=right_N, minlength=bins)
    sum_B = np.bincount(bin_N, weights=confidence_N, minlength=bins)
    filled_B = np.where(counts_B > 0, counts_B, np.nan)
    return Reliability(
        counts=counts_B,
        accuracy=right_B / filled_B,
        confidence=sum_B / filled_B,
        ece=float(100 * np.abs(right_B - sum_B).sum() / len(confidence_N)),
    )
