"""One temperature for the logits of a network, after training (Guo et al. 2017, section 4.2).

Shapes: N images, K classes. Everything is numpy in float64. A temperature T divides the logits:
probabilities are `softmax(logits / T)`. The predicted class stays; T > 1 makes it less sure.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trickbag.metrics.calibration_errors import negative_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "FOLDS",
    "LARGEST",
    "SMALLEST",
    "Status",
    "Temperature",
    "calibrated_logits",
    "cross_fitted",
    "fit_temperature",
    "fold_of_images",
    "logits_of",
]

SMALLEST, LARGEST = 1e-3, 1e3
"""The bounds of every temperature."""

FOLDS = 5
"""The number of parts of cross-fitting."""

_LIMIT = math.log(LARGEST)
_PRECISION = 1e-10
"""The error of the logarithm of a temperature."""

_CHUNK = 1 << 17
"""Logits that are summed up at once: they stay in the processor's cache."""

Status = Literal["fitted", "most_confident", "least_confident", "undefined"]


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A temperature, the images that it was fitted on, and what the fit came to.

    `loss` is the negative log-likelihood of these images at temperature 1, `calibrated_loss` at
    `value`, both in nats, None without images. `status`:

    - fitted: the likelihood has its maximum at `value`.
    - most_confident: the images are too few for as low a temperature as is best for them, as where
      all are predicted right: it would make every confidence 1. `value` is the bound of
      `fit_temperature`.
    - least_confident: the logits say nothing of the labels, or the contrary: `value` is the
      largest temperature.
    - undefined: there are no images or fewer than two classes, or the logits of each image are all
      equal; `value` is 1.
    """

    value: float
    images: int
    status: Status
    loss: float | None = None
    calibrated_loss: float | None = None

    @property
    def reason(self) -> str | None:
        """Why the temperature is not the one of the maximal likelihood; None where it is."""
        if self.status == "most_confident":
            return (
                f"temperature {self.value:.4g} is a bound: {self.images:,} validation images, "
                "nearly all predicted right, are too few for a lower one"
            )
        if self.status == "least_confident":
            return (
                f"temperature {self.value:.4g} is a bound: the network's logits say nothing of the "
                f"labels of {self.images:,} validation images"
            )
        if self.status == "undefined":
            return (
                f"temperature 1: {self.images:,} validation images with finite logits that differ "
                "between classes say nothing of the confidence"
            )
        return None


def fit_temperature(logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> Temperature:
    """Return the temperature of the highest likelihood of the labels (N,).

    The negative log-likelihood is convex in 1 / T; its minimum is the root of its derivative,
    bracketed and found to ten digits. Bounds: SMALLEST and LARGEST, and the temperature at which
    the mean confidence is (N + 1) / (N + 2), the share that Laplace's rule of succession expects
    after N right predictions of N; without it N images that are all predicted right would give a
    confidence of 1 to everything. Images with a logit that is not finite are left out. Raises
    ValueError for logits and labels that do not fit together.
    """
    labels_N = np.asarray(labels_N)
    if logits_NK.ndim != 2 or labels_N.shape != logits_NK.shape[:1]:
        raise ValueError(
            f"logits have shape {logits_NK.shape}, labels {labels_N.shape}: must be (N, K), (N,)"
        )
    rows = _Rows.of(logits_NK, labels_N)
    value, status = rows.fit(rows.all, 0.0)
    return Temperature(
        value=value,
        images=len(rows.labels),
        status=status,
        loss=negative_log_likelihood(rows.shifted, rows.labels),
        calibrated_loss=negative_log_likelihood(rows.shifted / value, rows.labels),
    )


def fold_of_images(labels_N: NDArray[np.int64], folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold (N,) of each image: folds of equal size, each class spread over them.

    It follows from the labels and their order alone.
    """
    fold_N = np.empty(len(labels_N), np.int64)
    fold_N[np.argsort(labels_N, kind="stable")] = np.arange(len(labels_N)) % folds
    return fold_N


def cross_fitted(
    logits_NK: NDArray[Any], labels_N: NDArray[np.int64], folds: int = FOLDS
) -> NDArray[np.float64] | None:
    """Return a temperature (N,) for each image: that of the images of the other folds.

    What comes of them is as good as the temperature of all images is on other images of the kind;
    on the images that it was fitted on it flatters. None for fewer than two images with finite
    logits; an image without has a temperature of 1.
    """
    finite_N = np.isfinite(logits_NK).all(axis=1)
    rows = _Rows.of(logits_NK, labels_N)
    if (n := len(rows.labels)) < 2:
        return None
    folds = min(folds, n)
    fold_N = fold_of_images(rows.labels, folds)
    ordered = rows.at(np.argsort(fold_N, kind="stable"))
    ends = np.cumsum(np.bincount(fold_N, minlength=folds)).tolist()
    # All folds differ little from the whole, from which each search begins.
    near = -math.log(ordered.fit(ordered.all, 0.0)[0])
    values = [
        ordered.fit((slice(0, start), slice(end, n)), near)[0]
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    temperature_N = np.ones(len(labels_N))
    temperature_N[finite_N] = np.array(values)[fold_N]
    return temperature_N


def calibrated_logits(
    logits_NK: NDArray[Any], temperature: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Divide logits by a temperature, or by one for each image, (N,); float64."""
    divisor = np.asarray(temperature, np.float64)
    result_NK: NDArray[np.float64] = logits_NK / (divisor[:, None] if divisor.ndim else divisor)
    return result_NK


def logits_of(probabilities_NK: NDArray[Any]) -> NDArray[np.float64]:
    """Return logits of probabilities, their logarithms, with which a temperature can be fitted.

    For probabilities that have no logits of their own, such as a mean of several predictions:
    `fit_temperature(logits_of(p), labels)`, and `softmax(logits_of(p) / T)` are calibrated. A
    probability of 0 counts as the smallest number of float64.
    """
    smallest = np.finfo(np.float64).tiny
    result_NK: NDArray[np.float64] = np.log(
        np.maximum(np.asarray(probabilities_NK, np.float64), smallest)
    )
    return result_NK


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Images with finite logits; `shifted` are the logits less the highest of each image.

    `shifted` are (N, K), `labels` and `shifted_label`, those of the labels, (N,). A shift changes
    no probability.
    """

    labels: NDArray[np.int64]
    shifted: NDArray[np.float64]
    shifted_label: NDArray[np.float64]

    @classmethod
    def of(cls, logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> _Rows:
        finite_N = np.isfinite(logits_NK).all(axis=1)
        if not finite_N.all():
            logits_NK, labels_N = logits_NK[finite_N], labels_N[finite_N]
        highest_N1 = logits_NK.max(axis=1, keepdims=True, initial=-np.inf)
        shifted_NK = np.subtract(logits_NK, highest_N1, dtype=np.float64)
        return cls(
            labels=labels_N,
            shifted=shifted_NK,
            shifted_label=shifted_NK[np.arange(len(labels_N)), labels_N],
        )

    @property
    def all(self) -> tuple[slice, ...]:
        """All images, as the parts of `fit`."""
        return (slice(0, len(self.labels)),)

    def at(self, order: NDArray[np.int64]) -> _Rows:
        """Return the images in another order."""
        return _Rows(
            labels=self.labels[order],
            shifted=self.shifted[order],
            shifted_label=self.shifted_label[order],
        )

    def fit(self, parts: Sequence[slice], near: float) -> tuple[float, Status]:
        """Return the temperature of parts of the images; `near` is where to look, as log(1 / T)."""
        n: int = sum(part.stop - part.start for part in parts)
        if n == 0 or not any(self.shifted[part].any() for part in parts):
            return 1.0, "undefined"

        @functools.cache
        def sums(log_inverse: float) -> tuple[float, float]:
            return self._sums(parts, math.exp(log_inverse))

        def slope(log_inverse: float) -> float:
            return float(sums(log_inverse)[0])

        def excess(log_inverse: float) -> float:
            return float(sums(log_inverse)[1]) / n - (n + 1) / (n + 2)

        place = _root(slope, near)
        if place <= -_LIMIT:
            return LARGEST, "least_confident"
        if excess(place) > 0:
            return math.exp(-_root(excess, place)), "most_confident"
        return (math.exp(-place), "fitted") if place < _LIMIT else (SMALLEST, "most_confident")

    def _sums(self, parts: Sequence[slice], inverse: float) -> tuple[float, float]:
        """Return the sums over images of the loss's derivative by 1 / T, and of the confidence."""
        derivative = confidence = 0.0
        step = max(1, _CHUNK // self.shifted.shape[1])
        for part in parts:
            for start in range(part.start, part.stop, step):
                rows = slice(start, min(start + step, part.stop))
                shifted_NK = self.shifted[rows]
                weight_NK = np.exp(inverse * shifted_NK)
                total_N = weight_NK.sum(axis=1)
                mean_N = np.einsum("nk,nk->n", weight_NK, shifted_NK) / total_N
                derivative += float(np.sum(mean_N - self.shifted_label[rows]))
                # The weight of the highest logit is 1.
                confidence += float(np.sum(1 / total_N))
        return derivative, confidence


def _root(increasing: Callable[[float], float], near: float) -> float:
    """Return where an increasing function is 0, within the limits; one of them if it is nowhere."""
    from scipy.optimize import brentq

    low = high = near
    step = 0.05 if near else 0.5
    if increasing(near) > 0:
        while increasing(low) > 0:
            if low <= -_LIMIT:
                return -_LIMIT
            low, high, step = max(low - step, -_LIMIT), low, 2 * step
    else:
        while increasing(high) <= 0:
            if high >= _LIMIT:
                return _LIMIT
            low, high, step = high, min(high + step, _LIMIT), 2 * step
    return float(brentq(increasing, low, high, xtol=_PRECISION))
