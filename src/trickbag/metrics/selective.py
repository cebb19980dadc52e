"""Accuracy where images of low confidence are rejected, and the threshold for a wanted accuracy.

Shapes: N images, T thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.metrics.proportion import lower_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Acceptance",
    "RiskCoverage",
    "aurc",
    "choose_threshold",
    "risk_coverage",
]

_CURVE_POINTS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """How many images have at least a confidence, and how many of them are right.

    `thresholds` (T,) are the confidences that occur, the highest first; `accepted` and `right` (T,)
    count the images that have at least so much. `images` counts all, also those without a
    confidence, which no threshold accepts.
    """

    thresholds: NDArray[np.float64]
    accepted: NDArray[np.int64]
    right: NDArray[np.int64]
    images: int

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """The share (T,) of the accepted images that are right, in [0, 1]."""
        return self.right / np.maximum(1, self.accepted)

    def curve(self) -> list[tuple[float, float, float]]:
        """Return up to 200 points: coverage and accuracy in percent, and the threshold."""
        places = np.arange(len(self.thresholds))
        if len(places) > _CURVE_POINTS:
            # Evenly spread over the images; the ends stay.
            wanted = np.linspace(self.accepted[0], self.accepted[-1], _CURVE_POINTS)
            places = np.unique(np.searchsorted(self.accepted, wanted))
        coverage, accuracy = 100 * self.accepted / max(1, self.images), 100 * self.accuracy
        return [(float(coverage[t]), float(accuracy[t]), float(self.thresholds[t])) for t in places]


def risk_coverage(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> RiskCoverage:
    """Count the images above each confidence; NaN is none."""
    finite_N = np.isfinite(confidence_N)
    confidence, right = confidence_N[finite_N], right_N[finite_N]
    order = np.argsort(-confidence, kind="stable")
    confidence = confidence[order]
    last = np.flatnonzero(np.append(np.diff(confidence) != 0, True)) if len(order) else order
    return RiskCoverage(
        thresholds=confidence[last],
        accepted=last + 1,
        right=np.cumsum(right[order], dtype=np.int64)[last],
        images=len(confidence_N),
    )


def aurc(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> float | None:
    """Return the area under the risk-coverage curve, in [0, 1]; less is better.

    It is the mean, over the images, of the share of errors among the images that are at least as
    confident (Geifman et al. 2019, "Bias-reduced uncertainty estimation"; images of
    equal confidence are taken together). It is small if there are few errors, and if these have low
    confidences. None without images, or if a confidence is NaN.
    """
    if not len(confidence_N) or np.isnan(confidence_N).any():
        return None
    curve = risk_coverage(confidence_N, right_N)
    at_T = np.diff(curve.accepted, prepend=0)
    return float(((1 - curve.accuracy) * at_T).sum() / len(confidence_N))


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """The threshold of the confidence from which on a prediction is accepted.

    `target` is the wanted accuracy and `accuracy` that of the `accepted` of `images`, in percent.
    `accuracy_low` is the limit, in percent, that the accuracy exceeds with a `confidence` of, in
    percent; it allows for the choice of the threshold on the same images. `basis` is `bound` where
    that limit reaches the target, `estimate` where only the accuracy does, and `none` where no
    threshold reaches it: then `threshold` is None, and the numbers are those of all images.
    `needed` is the number of accepted images, all of them right, at which the limit would reach the
    target; None for a target of 100 %, which no number shows.
    """

    target: float
    confidence: float
    basis: Literal["bound", "estimate", "none"]
    threshold: float | None
    accepted: int
    images: int
    accuracy: float | None
    accuracy_low: float | None
    needed: int | None

    @property
    def coverage(self) -> float | None:
        """The accepted images in percent of all; None without images."""
        return 100 * self.accepted / self.images if self.images else None

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Return the acceptance as plain data."""
        return {**vars(self), "coverage": self.coverage}


def choose_threshold(curve: RiskCoverage, target: float, confidence: float = 95.0) -> Acceptance:
    """Return the threshold with the largest coverage that gives an accuracy of `target` percent.

    Chosen is the lowest threshold for which the exact lower limit of the accuracy reaches the
    target: a binary search over T thresholds makes at most `log2(T) + 1` tests, among which the
    probability to be wrong is divided (the algorithm SGR of Geifman and El-Yaniv 2017, "Selective
    classification for deep neural networks"). If no test succeeds, it is the lowest threshold at
    which the images themselves reach the target: the accuracy on others may be lower. A threshold
    lies halfway to the next lower confidence; where all images are accepted it is 0.
    """
    number = len(curve.thresholds)
    tests = max(1, number.bit_length())
    level = 1 - (1 - confidence / 100) / tests

    def limit(t: int) -> float:
        return 100 * lower_limit(int(curve.right[t]), int(curve.accepted[t]), level)

    best, low, high = -1, 0, number - 1
    while low <= high:
        middle = (low + high + 1) // 2
        if limit(middle) >= target:
            best, low = middle, middle + 1
        else:
            high = middle - 1
    basis: Literal["bound", "estimate", "none"] = "bound"
    if best < 0:
        reaching = np.flatnonzero(100 * curve.accuracy >= target - 1e-9)
        best, basis = (int(reaching[-1]), "estimate") if len(reaching) else (number - 1, "none")
    return Acceptance(
        target=target,
        confidence=confidence,
        basis=basis,
        threshold=None if basis == "none" else _between(curve, best),
        accepted=int(curve.accepted[best]) if number else 0,
        images=curve.images,
        accuracy=100 * float(curve.accuracy[best]) if number else None,
        accuracy_low=limit(best) if number else None,
        needed=math.ceil(math.log(1 - level) / math.log(target / 100)) if target < 100 else None,
    )


def _between(curve: RiskCoverage, place: int) -> float:
    """Return a threshold that accepts the images of a place and of those before it."""
    if place + 1 == len(curve.thresholds):
        return 0.0
    return float((curve.thresholds[place] + curve.thresholds[place + 1]) / 2)
