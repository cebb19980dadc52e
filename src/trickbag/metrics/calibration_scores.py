"""The metrics of calibration of an evaluation's logits, and the summary of a calibration.

Shapes: N images, K classes, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from trickbag.metrics.calibration_errors import (
    BINS,
    adaptive_ece,
    brier_score,
    classwise_ece,
    ece,
    equal_width_bins,
    negative_log_likelihood,
)
from trickbag.metrics.expected_ece import expected_ece
from trickbag.metrics.probabilities import Confidences
from trickbag.metrics.reliability import Reliability
from trickbag.metrics.temperature import (
    LARGEST,
    SMALLEST,
    Status,
    Temperature,
    calibrated_logits,
    cross_fitted,
    fit_temperature,
)
from trickbag.ranges import AtLeast, Between
from trickbag.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CALIBRATED",
    "Calibration",
    "ReliabilityBins",
    "calibrated_scores",
    "calibration_scores",
]

CALIBRATED = ("calibrated_ece", "calibrated_loss", "ece_of_calibrated")
"""The metrics of calibrated confidences."""


def calibration_scores(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64]
) -> dict[str, float | None]:
    """Return `adaptive_ece`, `classwise_ece` and `brier` of the probabilities as they are.

    All are None where a logit is not finite.
    """
    return {
        "adaptive_ece": adaptive_ece(logits_NK, labels_N),
        "classwise_ece": classwise_ece(logits_NK, labels_N),
        "brier": brier_score(logits_NK, labels_N),
    }


def calibrated_scores(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], temperature: float | None = None
) -> dict[str, float | None]:
    """Return the metrics of calibrated confidences; all None where a logit is not finite.

    `calibrated_ece`, `calibrated_loss`, and beside them `ece_of_calibrated`, the mean calibration
    error that a perfectly calibrated predictor of these confidences has on as many images.
    `temperature` calibrates them; it must not have been fitted on these images. None calibrates
    each image with a temperature that was fitted on the other folds of these images.
    """
    divisor = cross_fitted(logits_NK, labels_N) if temperature is None else temperature
    if divisor is None:
        return dict.fromkeys(CALIBRATED)
    calibrated_NK = calibrated_logits(logits_NK, divisor)
    return {
        "calibrated_ece": ece(calibrated_NK, labels_N),
        "calibrated_loss": negative_log_likelihood(calibrated_NK, labels_N),
        "ece_of_calibrated": expected_ece(Confidences.of(calibrated_NK, labels_N).confidence),
    }


_Images = Annotated[int, AtLeast(0, 2**53)]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins(Settings):
    """Numbers of images, and of those predicted `right`, in B bins of confidence of equal width.

    `confidence` is the sum over a bin's images, each in [0, 1].
    """

    images: tuple[_Images, ...]
    right: tuple[_Images, ...]
    confidence: tuple[Annotated[float, AtLeast(0.0, 2.0**53)], ...]

    @classmethod
    def of(cls, images: Confidences) -> ReliabilityBins:
        """Count the images with a finite confidence."""
        finite_N = np.isfinite(images.confidence)
        confidence_N, right_N = images.confidence[finite_N], images.right[finite_N]
        bin_N = equal_width_bins(confidence_N)
        sums = (None, right_N, confidence_N)
        counts_B, right_B, confidence_B = (
            np.bincount(bin_N, weights=weights, minlength=BINS) for weights in sums
        )
        return cls(
            images=tuple(map(int, counts_B)),
            right=tuple(map(int, right_B)),
            confidence=tuple(map(float, confidence_B)),
        )

    def reliability(self) -> Reliability:
        """Return accuracy and mean confidence of each bin."""
        counts_B = np.array(self.images)
        filled_B = np.where(counts_B > 0, counts_B, np.nan)
        right_B, confidence_B = np.array(self.right), np.array(self.confidence)
        return Reliability(
            counts=counts_B,
            accuracy=right_B / filled_B,
            confidence=confidence_B / filled_B,
            ece=float(100 * np.abs(right_B - confidence_B).sum() / max(1, counts_B.sum())),
        )


@dataclass(frozen=True, kw_only=True)
class Calibration(Settings):
    """The temperature of a network's weights, and accuracy against confidence with and without it.

    The temperature was fitted on `images`; `status` is that of `metrics.temperature.Temperature`.
    `before` has the confidences without a temperature, `after` those that cross-fitting calibrates,
    on the images of the other folds; None where there are fewer than two images.
    """

    temperature: Annotated[float, Between(SMALLEST / 2, 2 * LARGEST)]
    status: Status
    images: _Images
    before: ReliabilityBins
    after: ReliabilityBins | None

    @property
    def reason(self) -> str | None:
        """Why the temperature is not the one of the maximal likelihood; None where it is."""
        fitted = Temperature(value=self.temperature, images=self.images, status=self.status)
        return fitted.reason

    @classmethod
    def of(cls, logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> Calibration:
        """Fit a temperature to logits (N, K) with labels (N,), and judge it by cross-fitting."""
        fitted = fit_temperature(logits_NK, labels_N)
        finite_N = np.isfinite(logits_NK).all(axis=1)
        logits, labels = logits_NK[finite_N], labels_N[finite_N]
        divisor_N = cross_fitted(logits, labels)
        after = None
        if divisor_N is not None:
            calibrated_NK = calibrated_logits(logits, divisor_N)
            after = ReliabilityBins.of(Confidences.of(calibrated_NK, labels))
        return cls(
            temperature=fitted.value,
            status=fitted.status,
            images=fitted.images,
            before=ReliabilityBins.of(Confidences.of(logits, labels)),
            after=after,
        )
