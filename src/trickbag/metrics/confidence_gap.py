"""Whether stated confidences fit the accuracy, beyond what chance explains.

Shapes: N images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ConfidenceGap"]

_POINTS = 3.0
"""Percentage points from which a difference matters to a person."""

_ERRORS = 3.0
"""Standard errors from which chance does not explain a difference."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceGap:
    """The mean confidence of N images beside the share that is predicted right, in percent.

    `standard_error`, in points, is that of the accuracy if the confidences were right:
    `100 / N sqrt(sum_i p_i (1 - p_i))`, but at least that of half an image.
    """

    images: int
    confidence: float
    accuracy: float
    standard_error: float

    @classmethod
    def of(cls, confidence_N: NDArray[np.float64], right_N: NDArray[Any]) -> ConfidenceGap | None:
        """Return the gap of the images with a finite confidence; None if there are none."""
        finite_N = np.isfinite(confidence_N)
        shares, n = confidence_N[finite_N], int(finite_N.sum())
        if not n:
            return None
        # Confidences of exactly 1 would make any mistake impossible, also that of rounding.
        spread = max(0.5, math.sqrt(float(np.sum(shares * (1 - shares)))))
        return cls(
            images=n,
            confidence=float(100 * shares.mean()),
            accuracy=float(100 * np.mean(right_N[finite_N])),
            standard_error=100 * spread / n,
        )

    @property
    def is_large(self) -> bool:
        """Whether the gap is both above 3 points and above 3 standard errors."""
        gap = abs(self.confidence - self.accuracy)
        return gap > max(_POINTS, _ERRORS * self.standard_error)

    @property
    def text(self) -> str:
        """The gap in words."""
        return (
            f"the mean confidence of {self.images:,} images is {self.confidence:.1f} %, and "
            f"{self.accuracy:.1f} % are predicted right"
        )
